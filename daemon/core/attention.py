"""Where to look for faces in the pictures of one camera: where something moves, and where a face was a moment ago.

The whole picture is searched at least every `WHOLE_S` seconds. Between these searches a face can only be where something has changed since
the place was searched last, or where it stood then. A place that is not searched shows nobody new: it costs nothing, and it is no evidence.

The picture is compared in cells of half the smallest wanted face, each with its mean grey. A sensor's noise is almost gone in a mean of
hundreds of pixels, while an edge that moves by a few pixels is not.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import floor, inf, log2
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from daemon.core.boxes import Box, iou
from daemon.core.values import Face, Image

WHOLE_S = 0.4
"""After so many seconds the whole picture is searched, whether anything moves or not."""
MOVES_S = 0.1
"""While somebody is in view, what moves elsewhere is searched only this often: hands and clothes move all the time."""
MOVES = 2.0
"""A cell has changed if its mean differs by more than this, in grey levels of 255 (bench/attention.py)."""
NOISES = 6.0
"""Or by more than so many times what all cells differ by at the median: the noise of a camera in the dark."""
MOST_MOVES = 4.0
"""A change of this size is never taken for noise."""
SURELY_S = 1.0
"""A face is looked for where it was for this long after it was seen last."""
ROOM = 0.75
"""How far around a face it is looked for, in sides of its box: it moves, and what is around it helps to find it."""
SHRINKS = 0.36
"""A known face is looked for down to this share of its size. It is then seen with about 56 pixels, which places the landmarks of a face
half covered or turned away; with 30 pixels they are off by a tenth of the face (clip `learn`, frames 26 to 36). But in the dark a search
with more pixels than in the whole picture may miss a face that the whole picture shows, because their noise is not averaged."""
MOST = 0.6
"""If so much of the picture is to be searched, it is searched as a whole."""
EDGE_PX = 2.0
"""A box that comes so near to the edge of a region may be a part of a face."""


class Region(NamedTuple):
    """A part of a picture, in whole pixels: `right` and `bottom` are the first outside. Faces below `least_px` are not looked for."""

    left: int
    top: int
    right: int
    bottom: int
    least_px: float

    @property
    def area(self) -> int:
        return (self.right - self.left) * (self.bottom - self.top)

    def cut(self, image: Image) -> Image:
        """This part of a picture, without a copy."""
        return image[self.top : self.bottom, self.left : self.right]

    def holds(self, box: Box, everything: "Region") -> bool:
        """Whether the middle of a box is in this part of a picture; where the middle is outside the picture, the nearest pixel counts. Of
        parts that do not overlap, one at most holds a box."""
        x, y = box.centre
        x, y = min(max(x, everything.left), everything.right - 1), min(max(y, everything.top), everything.bottom - 1)
        return self.left <= x < self.right and self.top <= y < self.bottom


def whole(image: Image, least_px: float) -> Region:
    """All of a picture."""
    return Region(0, 0, image.shape[1], image.shape[0], least_px)


@dataclass(slots=True)
class Attention:
    """Owned by the one thread that looks at a camera's pictures. `min_face_px` is the side of the smallest face that matters."""

    min_face_px: int
    _cells: npt.NDArray[np.float32] | None = None
    _shape: tuple[int, ...] = ()
    _whole_s: float = 0.0
    _moves_s: float = 0.0
    _at_s: float = 0.0
    _before_s: float = 0.0
    _missed_s: float = -inf
    """When a known face was not seen again. For a while then, no face is searched with more pixels than in the whole picture."""
    _faces: list[tuple[Box, float]] = field(default_factory=list)

    @property
    def thorough(self) -> bool:
        """Whether the last picture is searched wherever something moves. In the others only known faces are looked for."""
        return self._moves_s == self._at_s

    @property
    def _closely(self) -> bool:
        """Whether known faces are searched with more pixels than in the whole picture."""
        return not 0 <= self._at_s - self._missed_s <= SURELY_S

    def where(self, image: Image, at_s: float) -> list[Region]:
        """The regions of a BGR picture to be searched; none if nobody can be new in it. They do not overlap. `at_s` is the time of the
        picture in seconds; a clock that went backwards, or another size of picture, begins anew."""
        cells, everything = _cells(image, self.min_face_px), whole(image, self.min_face_px)
        known, self._shape, self._before_s, self._at_s = image.shape == self._shape, image.shape, self._at_s, at_s
        self._faces = [(box, seen_s) for box, seen_s in self._faces if known and 0 <= at_s - seen_s <= SURELY_S]
        if self._cells is None or not known or at_s < self._before_s or not at_s - self._whole_s < WHOLE_S:
            return self._all(cells, everything, at_s)
        change = np.abs(cells - self._cells)
        moved = change > min(max(MOVES, NOISES * float(np.median(change))), MOST_MOVES)
        regions = [self._near(box, everything) for box, _ in self._faces]
        if not self._faces or at_s - self._moves_s >= MOVES_S:
            self._moves_s = at_s
            regions += _around(moved, everything)
        regions = joined([region for region in regions if region.area > 0])
        if sum(region.area for region in regions) > MOST * everything.area:
            return self._all(cells, everything, at_s)
        down, across = cells.shape[0] / everything.bottom, cells.shape[1] / everything.right
        for region in regions:
            if region.least_px > self.min_face_px:
                continue  # somebody smaller may have come here, and is still to be looked for
            rows = slice(int(np.ceil(region.top * down)), int(region.bottom * down))
            columns = slice(int(np.ceil(region.left * across)), int(region.right * across))
            self._cells[rows, columns] = cells[rows, columns]
        return regions

    def saw(self, regions: Sequence[Region], faces: Sequence[Face]) -> bool:
        """Take the faces that were found there. False if the whole picture must be searched: one of them may be cut off by the edge of its
        region, or lies beside all of them, or a face of the picture before is missing."""
        everything = Region(0, 0, self._shape[1], self._shape[0], self.min_face_px)
        if not all(any(_shows(region, face.box, everything) for region in regions) for face in faces):
            self._cells = None  # the next answer of `where` is the whole picture
            return False
        boxes = [face.box for face in faces]
        missing = any(seen_s == self._before_s and not any(iou(box, new) > 0 for new in boxes) for box, seen_s in self._faces)
        if missing and self._closely and list(regions) != [everything]:
            self._cells, self._missed_s = None, self._at_s
            return False
        old = [(box, seen_s) for box, seen_s in self._faces if not any(iou(box, new) > 0 for new in boxes)]
        self._faces = [*((box, self._at_s) for box in boxes), *old]
        return True

    def _near(self, box: Box, everything: Region) -> Region:
        """Where a known face is looked for. The smallest size is one of few, so that the picture is always scaled in the same few ways."""
        steps = floor(2 * log2(SHRINKS * box.side / self.min_face_px))
        steps = steps if self._closely else max(0, steps)
        return _grown(box, ROOM * box.width, ROOM * box.height, everything, self.min_face_px * 2 ** (steps / 2))

    def _all(self, cells: npt.NDArray[np.float32], everything: Region, at_s: float) -> list[Region]:
        self._cells, self._whole_s, self._moves_s = cells, at_s, at_s
        return [everything]


def joined(regions: Sequence[Region]) -> list[Region]:
    """The same places, without an overlap: regions that share pixels become one."""
    done: list[Region] = []
    for region in regions:
        while True:
            other = next((one for one in done if _overlap(one, region)), None)
            if other is None:
                break
            done.remove(other)
            region = _both(region, other)
        done.append(region)
    return done


def _both(a: Region, b: Region) -> Region:
    return Region(min(a.left, b.left), min(a.top, b.top), max(a.right, b.right), max(a.bottom, b.bottom), min(a.least_px, b.least_px))


def _overlap(a: Region, b: Region) -> bool:
    return a.left < b.right and b.left < a.right and a.top < b.bottom and b.top < a.bottom


def _cells(image: Image, min_face_px: int) -> npt.NDArray[np.float32]:
    """The mean green of each cell, float32 [rows, columns]."""
    cell = max(4, min_face_px // 2)
    step = max(1, cell // 8)
    green = np.ascontiguousarray(image[::step, ::step, 1])
    size = max(1, round(image.shape[1] / cell)), max(1, round(image.shape[0] / cell))
    return np.asarray(cv2.resize(green, size, interpolation=cv2.INTER_AREA), np.float32)


def _around(moved: npt.NDArray[np.bool_], everything: Region) -> list[Region]:
    """A region around each group of cells that have changed: a face may lie half beside what has changed of it."""
    if not moved.any():
        return []
    grown = cv2.dilate(moved.astype(np.uint8), np.ones((3, 3), np.uint8))
    _, _, groups, _ = cv2.connectedComponentsWithStats(grown, connectivity=8)
    across, down = everything.right / moved.shape[1], everything.bottom / moved.shape[0]
    boxes = [Box(left * across, top * down, width * across, height * down) for left, top, width, height, _ in groups[1:].tolist()]
    room = everything.least_px
    return [_grown(box, room, room, everything, everything.least_px) for box in boxes]


def _grown(box: Box, x: float, y: float, everything: Region, least_px: float) -> Region:
    """The region of a box with `x` and `y` pixels around it, as far as the picture goes."""
    left, top = max(0, int(box.x - x)), max(0, int(box.y - y))
    right, bottom = int(np.ceil(box.x + box.width + x)), int(np.ceil(box.y + box.height + y))
    return Region(left, top, min(everything.right, right), min(everything.bottom, bottom), least_px)


def _shows(region: Region, box: Box, everything: Region) -> bool:
    """Whether a region holds a box and all of it: only where the picture ends may it reach the edge."""
    return (
        region.holds(box, everything)
        and (box.x >= region.left + EDGE_PX or region.left <= 0)
        and (box.y >= region.top + EDGE_PX or region.top <= 0)
        and (box.x + box.width <= region.right - EDGE_PX or region.right >= everything.right)
        and (box.y + box.height <= region.bottom - EDGE_PX or region.bottom >= everything.bottom)
    )
