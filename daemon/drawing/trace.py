"""What the page needs of a replay: the moments and decisions of each passage, and a few of its faces."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import cv2

from daemon.core.passages.gatekeeper import Decision
from daemon.core.passages.traces import Moment
from daemon.core.values import Frame, Image, View

JPEG_QUALITY = 85


class Witness(Protocol):
    """An observer of a replay. It changes no decision."""

    def decided(self, decision: Decision) -> None:
        """A decision. It comes before its frame; those that the end of the recording causes come after the last frame."""
        ...

    def saw(self, frame: Frame, view: View, moments: Sequence[Moment]) -> None:
        """A frame, its faces, and a moment for each face in the same order."""
        ...


@dataclass(frozen=True, slots=True)
class Portrait:
    """A face of a passage: its aligned crop as a JPEG file, and the moment of its frame."""

    jpeg: bytes
    moment: Moment


@dataclass(slots=True)
class Trace:
    """One passage. The keys of `portraits` are the names in passage.FACES; `last` is the face in the last frame."""

    passage: int
    moments: list[Moment] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    portraits: dict[str, Portrait] = field(default_factory=dict)
    last: tuple[Moment, Image] | None = None

    @property
    def main(self) -> str | None:
        """The person of this passage: the one named last, else the one who was nearest to its fused vector most often."""
        named = [decision.person for decision in self.decisions if decision.person is not None]
        if named:
            return named[-1]
        nearest = [moment.fused.person for moment in self.moments if moment.fused is not None and moment.fused.person is not None]
        return max(sorted(set(nearest)), key=nearest.count) if nearest else None


@dataclass(slots=True)
class Tracer:
    """A witness that keeps what the page needs. With `faces` False it keeps no picture of anybody."""

    faces: bool = True
    traces: dict[int, Trace] = field(default_factory=dict)
    frames: int = 0
    first_s: float = 0.0
    last_s: float = 0.0
    first_at: float = 0.0
    size: tuple[int, int] = (0, 0)
    _live: set[int] = field(default_factory=set)

    def decided(self, decision: Decision) -> None:
        """Keep a decision, and its face if the frame has been seen already."""
        trace = self.traces.setdefault(decision.passage, Trace(decision.passage))
        trace.decisions.append(decision)
        if trace.last is not None and trace.last[0].number == decision.number:
            _keep(trace, "decided", *trace.last)

    def saw(self, frame: Frame, view: View, moments: Sequence[Moment]) -> None:
        """Keep what a frame showed."""
        if not self.frames:
            self.first_s, self.first_at = frame.at_s, frame.captured_at
        self.frames, self.last_s, self.size = self.frames + 1, frame.at_s, (frame.image.shape[1], frame.image.shape[0])
        for moment, probe in zip(moments, view.probes, strict=True):
            trace = self.traces.setdefault(moment.passage, Trace(moment.passage))
            trace.moments.append(moment)
            if self.faces:
                trace.last = moment, probe.crop
                _look_at(trace, moment, probe.crop)
        # A passage that ended long ago gets no more decisions, so its crop is no longer needed.
        live = {moment.passage for moment in moments}
        for passage in self._live - live:
            trace = self.traces[passage]
            if trace.last is not None and frame.at_s - trace.last[0].at_s > LINGERS_S:
                trace.last = None
        self._live = live | {passage for passage in self._live if self.traces[passage].last is not None}


LINGERS_S = 60.0
"""How long the face of a passage out of view is kept, in case a decision follows. No configuration ends a passage later than this."""


def _look_at(trace: Trace, moment: Moment, crop: Image) -> None:
    """Keep the face if the page shows it."""
    if any(decision.number == moment.number for decision in trace.decisions):
        _keep(trace, "decided", moment, crop)
    if moment.aside:
        _keep(trace, "aside", moment, crop)
    if moment.single is None or moment.aside:
        return
    if "first" not in trace.portraits:
        _keep(trace, "first", moment, crop)
    for name, further in (("least", -1), ("most", 1)):
        best = trace.portraits.get(name)
        if best is None or best.moment.single is None or further * (moment.single.similarity - best.moment.single.similarity) > 0:
            _keep(trace, name, moment, crop)


def _keep(trace: Trace, name: str, moment: Moment, crop: Image) -> None:
    """Keep a crop, which is RGB, as a JPEG file."""
    encoded = cv2.imencode(".jpg", crop[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
    trace.portraits[name] = Portrait(encoded.tobytes(), moment)
