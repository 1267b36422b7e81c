"""Where to look for faces in the pictures of one camera: where something moves, and where a face was a moment ago.

The whole picture is searched at least every `WHOLE_S` seconds. Between these searches a face can only be where something has changed since
the place was searched last, or where it stood then. A place that is not searched shows nobody new: it costs nothing, and it is no evidence.

The picture is compared in cells of half the smallest wanted face, each with its mean grey. A sensor's noise is almost gone in a mean of
hundreds of pixels, while an edge that moves by a few pixels is not.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import floor, inf, log2
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from daemon.core.boxes import Box, iou, overlap
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
ROOM = 0.5
"""How far around a face it is looked for, in sides of its box: it moves, and what is around it helps to find it."""
SHRINKS = 0.36
"""A known face is looked for down to this share of its size. It is then seen with about 56 pixels, which places the landmarks of a face
half covered or turned away; with 30 pixels they are off by a tenth of the face (clip `learn`, frames 26 to 36). But in the dark a finer
search may miss a face that the whole picture shows, because less of the noise is averaged away."""
MOST = 0.6
"""If so much of the picture is to be searched, it is searched as a whole."""
NESTED = 0.5
"""Two boxes of which one lies in the other by this share are of one face."""
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


def whole(image: Image, least_px: float) -> Region:
    """All of a picture."""
    return Region(0, 0, image.shape[1], image.shape[0], least_px)


Fit = Callable[[Region, Region], Region]
"""A region, and the whole picture, to a region that has all of the first and that a detector searches without waste."""


def unfitted(region: Region, everything: Region) -> Region:
    """For a detector that takes any size."""
    return region


@dataclass(slots=True)
class Attention:
    """Owned by the one thread that looks at a camera's pictures. `min_face_px` is the side of the smallest face that matters, and `fit` is
    what the detector makes of a region. Where smaller faces than `finest_px` are looked for, it has no more pixels and costs no more."""

    min_face_px: int
    fit: Fit = unfitted
    finest_px: float = 0.0
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
        """Whether the last picture was searched wherever something moved. In the others only known faces are looked for."""
        return self._moves_s == self._at_s

    @property
    def _closely(self) -> bool:
        """Whether known faces are searched with more pixels than in the whole picture."""
        return not 0 <= self._at_s - self._missed_s <= SURELY_S

    def where(self, image: Image, at_s: float) -> list[Region]:
        """The regions of a BGR picture to be searched, the finest first; none if nobody can be new in it. `at_s` is the time of the picture
        in seconds; a clock that went backwards, or another size of picture, begins anew."""
        cells, everything = _cells(image, self.min_face_px), whole(image, self.min_face_px)
        known, self._shape = image.shape == self._shape, image.shape
        self._before_s, self._at_s = self._at_s, at_s
        self._faces = [(box, seen_s) for box, seen_s in self._faces if known and 0 <= at_s - seen_s <= SURELY_S]
        near = self._fitted([self._near(box, everything) for box, _ in self._faces], everything)
        if self._cost(near) > everything.area:  # a crowd
            return self._all([], cells, everything)
        if self._cells is None or not known or at_s < self._before_s or not at_s - self._whole_s < WHOLE_S:
            return self._all(near, cells, everything)
        change = np.abs(cells - self._cells)
        moved = change > min(max(MOVES, NOISES * float(np.median(change))), MOST_MOVES)
        for region in near:
            if region.least_px <= self.min_face_px:  # else somebody smaller may have come here, and is still to be looked for
                self._searched(region, cells, everything)
                moved[self._inside(region, everything)] = False
        if near and at_s - self._moves_s < MOVES_S:
            return near
        self._moves_s = at_s
        far = self._fitted(_around(moved, everything), everything)
        if self._cost(far) > MOST * everything.area:
            return self._all(near, cells, everything)
        for region in far:
            self._searched(region, cells, everything)
        return [*near, *far]

    def saw(self, regions: Sequence[Region], found: Sequence[Sequence[Face]]) -> list[Face] | None:
        """Take the faces that were found in each region, and return each once. None if the edge of a region may have cut off one of
        them, or if a face of the picture before is missing: then ask again, and search the whole picture. Where that was searched a moment
        ago, a face that is cut off is none."""
        everything = Region(0, 0, self._shape[1], self._shape[0], self.min_face_px)
        faces: list[Face] = []
        cut: list[Face] = []
        for region, there in zip(regions, found, strict=True):
            for face in there:
                if not any(_same(face.box, other.box) for other in faces):
                    (cut if _cut_off(face.box, region, everything) else faces).append(face)
        cut = [face for face in cut if not any(_same(face.box, other.box) for other in faces)]
        missing = self._closely and any(
            seen_s == self._before_s and not any(iou(box, face.box) > 0 for face in faces) for box, seen_s in self._faces
        )
        if missing:
            self._missed_s = self._at_s
        if (cut and self._at_s - self._whole_s >= MOVES_S) or (missing and self._whole_s != self._at_s):
            self._cells = None  # the next answer of `where` has the whole picture
            return None
        old = [(box, seen_s) for box, seen_s in self._faces if not any(iou(box, face.box) > 0 for face in faces)]
        self._faces = [*((face.box, self._at_s) for face in faces), *old]
        return faces

    def _fitted(self, regions: Sequence[Region], everything: Region) -> list[Region]:
        """The same places in the sizes that the detector takes, without an overlap."""
        count, fitted = -1, joined(regions)
        while count != len(fitted):  # each round joins some, or is the last
            count, fitted = len(fitted), joined([self.fit(region, everything) for region in fitted])
        return fitted

    def _near(self, box: Box, everything: Region) -> Region:
        """Where a known face is looked for. The smallest size is one of few, so that the picture is always scaled in the same few ways."""
        steps = floor(2 * log2(max(1.0, SHRINKS * box.side) / self.min_face_px))
        steps = steps if self._closely else max(0, steps)
        return _grown(box, ROOM * box.width, ROOM * box.height, everything, self.min_face_px * 2 ** (steps / 2))

    def _all(self, near: list[Region], cells: npt.NDArray[np.float32], everything: Region) -> list[Region]:
        self._cells, self._whole_s, self._moves_s = cells, self._at_s, self._at_s
        return [*near, everything]

    def _cost(self, regions: Sequence[Region]) -> float:
        """What it costs to search regions, in pixels of a picture that is searched as a whole."""
        coarse = max(self.min_face_px, self.finest_px)
        return sum(region.area * (coarse / max(region.least_px, self.finest_px)) ** 2 for region in regions)

    def _inside(self, region: Region, everything: Region) -> tuple[slice, slice]:
        """The cells that are wholly in a region."""
        assert self._cells is not None
        down, across = self._cells.shape[0] / everything.bottom, self._cells.shape[1] / everything.right
        return (
            slice(int(np.ceil(region.top * down)), int(region.bottom * down)),
            slice(int(np.ceil(region.left * across)), int(region.right * across)),
        )

    def _searched(self, region: Region, cells: npt.NDArray[np.float32], everything: Region) -> None:
        assert self._cells is not None
        inside = self._inside(region, everything)
        self._cells[inside] = cells[inside]


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


def _same(a: Box, b: Box) -> bool:
    """Whether two boxes, found in different regions, are of one face, of which one may show only a part."""
    return overlap(a, b) > NESTED * min(a.area, b.area)


def _cut_off(box: Box, region: Region, everything: Region) -> bool:
    """Whether a box reaches an edge of its region that is not the edge of the picture."""
    return (
        (box.x < region.left + EDGE_PX and region.left > 0)
        or (box.y < region.top + EDGE_PX and region.top > 0)
        or (box.x + box.width > region.right - EDGE_PX and region.right < everything.right)
        or (box.y + box.height > region.bottom - EDGE_PX and region.bottom < everything.bottom)
    )
