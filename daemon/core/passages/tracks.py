"""Tracks: which face of this frame is which face of the last one. Place and motion decide, and the looks of a face where they are known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import hypot, inf

from daemon.core.boxes import Box, iou

MIN_IOU = 0.2
MAX_SHIFT = 0.6
"""Between two frames a face may move by less than this share of its width and stay itself (somebody walks, or a frame was dropped)."""
RETURN_SHIFT = 3.0
"""A face that was lost may come back less than this many of its widths away, if it looks the same."""
FORESIGHT_S = 0.3
"""How long a face is expected to keep its speed. Boxes jitter, so a speed that is measured from them is soon wrong."""
TINY = 1e-6
"""Faces are never taken for the same by a similarity below this, whatever `same` is: nothing is left of it but rounding."""
STEADY = 0.5
"""How much weight the newest motion has in the speed of a track."""

STEADY_IOU = 0.6
"""A face that stays itself beyond doubt overlaps by as much with its last place, and with where it should be by now."""
APART = 1.5
"""... and no other face is nearer than this many widths."""

Likeness = Mapping[tuple[int, int], float]
"""(track number, place in `boxes`) to the similarity of the two faces; only for those where both have a vector."""


@dataclass(slots=True)
class Track:
    """A face that is in view, or was a moment ago. `speed` is (x, y) in pixels a second."""

    number: int
    box: Box
    first_s: float
    last_s: float
    speed: tuple[float, float] = (0.0, 0.0)

    def expected(self, at_s: float) -> Box:
        """Where the face should be by now."""
        wait = min(at_s - self.last_s, FORESIGHT_S)
        return Box(self.box.x + self.speed[0] * wait, self.box.y + self.speed[1] * wait, self.box.width, self.box.height)

    def move(self, box: Box, at_s: float) -> None:
        """The face was seen again."""
        wait = at_s - self.last_s
        if wait > 0:
            (x0, y0), (x1, y1) = self.box.centre, box.centre
            new = (x1 - x0) / wait, (y1 - y0) / wait
            self.speed = self.speed[0] + STEADY * (new[0] - self.speed[0]), self.speed[1] + STEADY * (new[1] - self.speed[1])
        self.box, self.last_s = box, at_s


@dataclass(slots=True)
class Tracker:
    """The tracks of one camera. Their numbers count from 1 and are never used again. From the similarity `same` upwards two faces look the
    same."""

    lost_s: float
    same: float = 1.0
    tracks: list[Track] = field(default_factory=list)
    _next: int = 1
    _seen_s: float = -inf
    """The time of the last frame."""

    def update(self, boxes: Sequence[Box], at_s: float, likeness: Likeness | None = None) -> list[Track]:
        """The track of each box, in the order of `boxes`. A box that belongs to no track begins a new one."""
        near = self._closeness(boxes, at_s, likeness if likeness is not None else {})
        taken: dict[int, Track] = {}
        used: set[int] = set()
        for _, number, i, track in sorted(near, key=lambda pair: (-pair[0], pair[1], pair[2])):
            if i not in taken and number not in used:
                taken[i] = track
                used.add(number)
        for i, box in enumerate(boxes):
            if i in taken:
                taken[i].move(box, at_s)
            else:
                taken[i] = self._begin(box, at_s)
        self._seen_s = at_s
        return [taken[i] for i in range(len(boxes))]

    def sure(self, boxes: Sequence[Box], at_s: float) -> list[Track | None]:
        """The track that each box continues beyond doubt, None where there is any: the face was in the last frame, has hardly moved or
        grown since, and is alone where it is. `update` gives such a box to this track even if its face has no vector."""
        beside: list[list[tuple[Track, Box]]] = [[] for _ in boxes]
        crowded: set[int] = set()
        for track in self.tracks:
            ahead = track.expected(at_s)
            close = [i for i, box in enumerate(boxes) if _within(track.box, box, APART) or _within(ahead, box, APART)]
            for i in close:
                beside[i].append((track, ahead))
            if len(close) > 1:
                crowded.add(track.number)
        return [self._surely(found, box, crowded) for found, box in zip(beside, boxes, strict=True)]

    def _surely(self, beside: list[tuple[Track, Box]], box: Box, crowded: set[int]) -> Track | None:
        if len(beside) != 1:
            return None
        ((track, ahead),) = beside
        if track.number in crowded or track.last_s != self._seen_s:
            return None
        return track if iou(track.box, box) >= STEADY_IOU and iou(ahead, box) >= STEADY_IOU else None

    def cut(self, track: Track) -> Track:
        """The track shows another face now: end it, and return a new track in its place."""
        self.tracks = [t for t in self.tracks if t.number != track.number]
        return self._begin(track.box, track.last_s)

    def expire(self, at_s: float) -> list[Track]:
        """Remove and return the tracks that were not seen for longer than `lost_s`. A clock that went backwards ends them too."""
        gone = [t for t in self.tracks if not 0 <= at_s - t.last_s <= self.lost_s]
        self.tracks = [t for t in self.tracks if 0 <= at_s - t.last_s <= self.lost_s]
        return gone

    def _begin(self, box: Box, at_s: float) -> Track:
        track = Track(self._next, box, at_s, at_s)
        self._next += 1
        self.tracks.append(track)
        return track

    def _closeness(self, boxes: Sequence[Box], at_s: float, likeness: Likeness) -> list[tuple[float, int, int, Track]]:
        """How well each box fits each track: (closeness, track number, place, track) for those that do. The looks of the faces decide
        between places that are about equally near. In a crowd most pairs are far apart, so that is asked first."""
        found = []
        for track in self.tracks:
            ahead = track.expected(at_s)
            for i, box in enumerate(boxes):
                near, alike = 0.0, likeness.get((track.number, i))
                if _within(track.box, box, 1.0) or _within(ahead, box, 1.0):
                    near = max(_nearness(track.box, box), _nearness(ahead, box))
                if near > 0:
                    found.append((near + max(0.0, alike if alike is not None else 0.0), track.number, i, track))
                elif alike is not None and alike >= max(self.same, TINY) and _may_return(track.box, box):
                    found.append((MIN_IOU * alike, track.number, i, track))
        return found


def _within(old: Box, new: Box, widths: float) -> bool:
    """Whether two boxes may overlap, or their centres be nearer to each other than so many widths of the boxes (at least 1)."""
    reach = widths * (old.width + new.width) / 2
    if abs(old.x - new.x + (old.width - new.width) / 2) > reach:
        return False
    return abs(old.y - new.y + (old.height - new.height) / 2) <= max(reach, (old.height + new.height) / 2)


def _nearness(old: Box, new: Box) -> float:
    """The overlap of two boxes (IoU), or a small positive number if they are of similar size and near each other, or 0 for two faces."""
    overlap = iou(old, new)
    if overlap >= MIN_IOU:
        return overlap
    shift = _shift(old, new)
    return MIN_IOU * (1 - shift / MAX_SHIFT) if _like_size(old, new) and shift < MAX_SHIFT else 0.0


def _may_return(old: Box, new: Box) -> bool:
    """Whether a face that was lost may have come back here."""
    return _like_size(old, new) and _shift(old, new) < RETURN_SHIFT


def _shift(old: Box, new: Box) -> float:
    """The distance of the centres, in widths of the boxes; infinite for boxes without a width."""
    size = (old.width + new.width) / 2
    (x0, y0), (x1, y1) = old.centre, new.centre
    return hypot(x0 - x1, y0 - y1) / size if size > 0 else inf


def _like_size(old: Box, new: Box) -> bool:
    """Whether two boxes are of similar size."""
    return old.width > 0 and 0.6 < new.width / old.width < 1.67
