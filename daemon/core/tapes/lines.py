"""The flight recorder's lines: what a gate saw and concluded, frame by frame, without pictures and without vectors.

A line is JSON. Frames without a face share one line for up to EMPTY_S seconds, so that a quiet night takes little room. People are named by
their pseudonym in the audit chain, which a revocation erases.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite

import msgspec

from daemon.core.messages import utc
from daemon.core.passages.gatekeeper import Decision, Gatekeeper
from daemon.core.values import View

EMPTY_S = 60.0

Name = Callable[[str], str | None]
"""Gives a person's pseudonym, or None where there is none."""


class FaceLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """A face in a frame. `box` is x, y, width, height in pixels; `person`, `similarity` and `rival` are of the last look at its passage.

    `good` counts the frames in its evidence; `centred` is the similarity without what all faces at the gate share (see `Match`); `answer`
    is the decision and the reason that hold now.
    """

    passage: int
    box: tuple[int, int, int, int]
    score: float
    quality: str
    good: int
    similarity: float | None = None
    rival: float | None = None
    centred: float | None = None
    person: str | None = None
    answer: str | None = None


class FrameLine(msgspec.Struct, frozen=True):
    """A frame with faces. `at` is the time of its capture."""

    at: str
    frame: int
    faces: list[FaceLine]


class EmptyLine(msgspec.Struct, frozen=True):
    """`empty` frames without a face, up to frame `frame`."""

    at: str
    since: str
    frame: int
    empty: int


class DecisionLine(msgspec.Struct, frozen=True):
    """A decision, after it was stored. `at` is the capture of the frame that led to it."""

    at: str
    decision: str
    reason: str
    person: str | None
    passage: int
    frame: int
    similarity: float | None
    changes: bool
    centred: float | None = None


class CameraLine(msgspec.Struct, frozen=True):
    """The camera came up, went down or ended."""

    at: str
    camera: str
    detail: str | None


Line = FrameLine | EmptyLine | DecisionLine | CameraLine


@dataclass(slots=True)
class Quiet:
    """The frames without a face of one gate, since the last line."""

    since: float = 0.0
    last: float = 0.0
    frame: int = 0
    count: int = 0

    def add(self, view: View) -> EmptyLine | None:
        """Count one more frame. Returns the line of those before where it is due, or where time stepped back."""
        line = self.end() if self.count and not 0 <= view.captured_at - self.since < EMPTY_S else None
        if not self.count:
            self.since = view.captured_at
        self.last, self.frame, self.count = view.captured_at, view.number, self.count + 1
        return line

    def end(self) -> EmptyLine | None:
        """The line of all frames counted so far, if there are any."""
        count, self.count = self.count, 0
        return EmptyLine(utc(self.last), utc(self.since), self.frame, count) if count else None


def frame_line(view: View, keeper: Gatekeeper, name: Name) -> FrameLine:
    """The line of a frame that the keeper has just observed."""
    faces = []
    for probe, sighting in zip(view.probes, keeper.sightings, strict=False):
        passage, match, box = keeper.passages.get(sighting.track), sighting.match, probe.face.box
        ruling = passage.ruling if passage is not None else None
        faces.append(
            FaceLine(
                passage=sighting.track,
                box=(round(box.x), round(box.y), round(box.width), round(box.height)),
                score=_rounded(probe.face.score) or 0.0,
                quality=probe.quality.value,
                good=passage.evidence.good if passage is not None else 0,
                similarity=_rounded(match.similarity) if match is not None else None,
                rival=_rounded(match.rival) if match is not None else None,
                centred=_rounded(match.centred) if match is not None else None,
                person=name(match.person) if match is not None and match.person is not None else None,
                answer=f"{ruling.verdict.value} {ruling.reason.value}" if ruling is not None else None,
            )
        )
    return FrameLine(utc(view.captured_at), view.number, faces)


def decision_line(decision: Decision, name: Name) -> DecisionLine:
    """The line of a decision that is stored."""
    return DecisionLine(
        at=utc(decision.captured_at),
        decision=decision.verdict.value,
        reason=decision.reason.value,
        person=name(decision.person) if decision.person is not None else None,
        passage=decision.passage,
        frame=decision.number,
        similarity=_rounded(decision.similarity),
        changes=decision.changes,
        centred=_rounded(decision.centred),
    )


@dataclass(frozen=True, slots=True)
class LineEncoder:
    """Turns lines into the chunks of a tape."""

    def encode(self, line: Line) -> bytes:
        return b"L" + msgspec.json.encode(line)


def _rounded(value: float | None) -> float | None:
    """Rounded to what a replay compares; None where it is not a finite number."""
    return round(float(value), 3) if value is not None and isfinite(value) else None
