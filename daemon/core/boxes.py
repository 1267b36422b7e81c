"""Boxes in picture coordinates (x to the right, y down, pixels)."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle: its top left corner and its size, in pixels of the frame that it was found in."""

    x: float
    y: float
    width: float
    height: float

    @property
    def area(self) -> float:
        return self.width * self.height

    @property
    def side(self) -> float:
        """The side of a square of the same area: one number for the size of a face, whatever shape its detector draws."""
        return math.sqrt(max(self.width, 0.0) * max(self.height, 0.0))

    @property
    def centre(self) -> tuple[float, float]:
        return self.x + self.width / 2, self.y + self.height / 2


def overlap(a: Box, b: Box) -> float:
    """The area that two boxes share, square pixels; 0 when they are apart, empty or only touch."""
    width = min(a.x + a.width, b.x + b.width) - max(a.x, b.x)
    height = min(a.y + a.height, b.y + b.height) - max(a.y, b.y)
    return width * height if width > 0 and height > 0 else 0.0


def iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes, 0 (apart or empty) to 1 (the same)."""
    shared = overlap(a, b)
    if shared <= 0:
        return 0.0
    # `y + height - y` rounds: for a very thin box the overlap can come out larger than the box itself.
    shared = min(shared, a.area, b.area)
    return shared / (a.area + b.area - shared) if shared > 0 else 0.0
