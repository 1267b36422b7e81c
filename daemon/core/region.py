"""The part of a camera's picture in which faces count."""

from collections.abc import Sequence
from dataclasses import dataclass

from daemon.core.boxes import Box

LEAST_AREA = 1e-4
"""In a smaller part of the picture nobody's middle would ever be."""


class RegionError(ValueError):
    """These corners are no region."""


@dataclass(frozen=True, slots=True)
class Region:
    """A polygon. `corners` are (x, y) in shares of the picture's width and height, so that it holds at every resolution."""

    corners: tuple[tuple[float, float], ...]

    def holds(self, box: Box, height: int, width: int) -> bool:
        """Whether the middle of a box (pixels) in a picture of this size is inside."""
        x, y = (box.x + box.width / 2) / width, (box.y + box.height / 2) / height
        inside = False
        # A ray to the right crosses the border an odd number of times.
        for (x0, y0), (x1, y1) in zip(self.corners, (*self.corners[1:], self.corners[0]), strict=True):
            if (y0 > y) != (y1 > y) and x < x0 + (y - y0) / (y1 - y0) * (x1 - x0):
                inside = not inside
        return inside


def region(corners: Sequence[tuple[float, float]]) -> Region | None:
    """The region with these corners; None for none, which is the whole picture. Two corners are those of a box. Raises RegionError."""
    if not corners:
        return None
    if len(corners) == 1:
        raise RegionError("has one corner")
    if len(corners) == 2:
        (left, top), (right, bottom) = corners
        corners = ((left, top), (right, top), (right, bottom), (left, bottom))
    pairs = list(zip(corners, (*corners[1:], corners[0]), strict=True))
    if abs(sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in pairs)) / 2 < LEAST_AREA:
        raise RegionError("has no area, so no face could be in it")
    return Region(tuple(corners))
