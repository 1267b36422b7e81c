"""One face over frames: which face of this frame is which face of the last one."""

from dataclasses import dataclass, field

from daemon.core.boxes import Box, iou

MIN_IOU = 0.2
MAX_SHIFT = 0.6
"""A face may move by this share of its own width between two frames that show it (a walker, or a dropped frame) and stay itself."""


@dataclass(slots=True)
class Track:
    """A face that is, or was a moment ago, in view."""

    number: int
    box: Box
    first_s: float
    last_s: float


@dataclass(slots=True)
class Tracker:
    """The tracks of one camera. `number`s count from 1 and are never used again."""

    lost_s: float
    tracks: list[Track] = field(default_factory=list)
    _next: int = 1

    def update(self, boxes: list[Box], at_s: float) -> list[Track]:
        """The track of each box, in the order of `boxes`. A box near no live track begins one."""
        near = [(_closeness(track.box, box), track, i) for track in self.tracks for i, box in enumerate(boxes)]
        taken: dict[int, Track] = {}
        used: set[int] = set()
        for closeness, track, i in sorted(near, key=lambda pair: (-pair[0], pair[1].number, pair[2])):
            if closeness > 0 and i not in taken and track.number not in used:
                taken[i] = track
                used.add(track.number)
        result = []
        for i, box in enumerate(boxes):
            track = taken.get(i) or self._begin(box, at_s)
            track.box, track.last_s = box, at_s
            result.append(track)
        return result

    def _begin(self, box: Box, at_s: float) -> Track:
        track = Track(self._next, box, at_s, at_s)
        self._next += 1
        self.tracks.append(track)
        return track

    def expire(self, at_s: float) -> list[Track]:
        """Remove and return the tracks not seen for longer than `lost_s`. A clock that went backwards ends them too."""
        gone = [t for t in self.tracks if not 0 <= at_s - t.last_s <= self.lost_s]
        self.tracks = [t for t in self.tracks if 0 <= at_s - t.last_s <= self.lost_s]
        return gone


def _closeness(old: Box, new: Box) -> float:
    """Overlap of two boxes, or a small positive figure for two of like size that lie near, or 0 for two different faces."""
    overlap = iou(old, new)
    if overlap >= MIN_IOU:
        return overlap
    size = (old.width + new.width) / 2
    (x0, y0), (x1, y1) = old.centre, new.centre
    shift = max(abs(x0 - x1), abs(y0 - y1)) / size if size > 0 else 1.0
    like = 0.6 < (new.width / old.width if old.width > 0 else 0) < 1.67
    return MIN_IOU * (1 - shift / MAX_SHIFT) if like and shift < MAX_SHIFT else 0.0
