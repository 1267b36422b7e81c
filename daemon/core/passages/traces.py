"""What a gate made of each face in each frame, for people to look at. This changes no decision: nothing here is written back."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from daemon.core.boxes import Box
from daemon.core.passages.evidence import is_unit
from daemon.core.passages.gatekeeper import Find, Gatekeeper
from daemon.core.passages.ruling import Ruling
from daemon.core.values import Match, Quality, Vector, Verdict, View


class State(StrEnum):
    """What a face counts as in one frame: too poor to be scored, evidence for an answer still to come, or the answer that stands."""

    POOR = "poor"
    GATHERING = "gathering"
    ACCEPT = "accept"
    REJECT = "reject"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Moment:
    """One face in one frame, and how far its passage had come by then.

    `good` counts the frames fused so far, and `ruling` is the answer that stands. `single` is the nearest person to this frame alone (None
    for a face without a vector, because it is poor or the gate wanted none), and `fused` the nearest person to the passage's fused vector
    (None before its first good frame). Both are searched for here, in every frame. `looked` says whether the gate itself looked in this
    frame, and `aside` whether it set this frame aside because it did not look like the passage's face.
    """

    passage: int
    number: int
    at_s: float
    box: Box
    quality: Quality
    good: int
    ruling: Ruling | None
    single: Match | None
    fused: Match | None
    looked: bool
    aside: bool
    centred: float | None = None
    """The centred similarity of the last look; None where the gate does not ask for it (see `Match`)."""

    @property
    def standing(self) -> State:
        """What the passage counts as, whatever this frame shows."""
        return State.GATHERING if self.ruling is None else _STATES[self.ruling.verdict]

    @property
    def state(self) -> State:
        """What the face counts as in this frame."""
        return self.standing if self.quality is Quality.OK else State.POOR


_STATES = {Verdict.ACCEPT: State.ACCEPT, Verdict.REJECT: State.REJECT, Verdict.UNKNOWN: State.UNKNOWN}


def moments(keeper: Gatekeeper, view: View, vectors: Sequence[Vector | None], find: Find) -> tuple[Moment, ...]:
    """What `keeper`, which has just observed `view`, made of each face in it, in their order. `vectors` belong to `view.probes`."""
    singles = [vector if vector is not None and is_unit(vector) else None for vector in vectors]
    passages = [keeper.passages.get(sighting.track) for sighting in keeper.sightings]
    fused = [passage.evidence.fused if passage is not None and passage.evidence.good else None for passage in passages]
    asked = [vector for vector in (*singles, *fused) if vector is not None]
    answers = iter(find(np.stack(asked)) if asked else ())
    alone = [next(answers) if vector is not None else None for vector in singles]
    together = [next(answers) if vector is not None else None for vector in fused]
    found = []
    for place, (sighting, passage) in enumerate(zip(keeper.sightings, passages, strict=True)):
        vector = vectors[place]
        found.append(
            Moment(
                sighting.track,
                view.number,
                view.at_s,
                sighting.box,
                sighting.quality,
                passage.evidence.good if passage is not None else 0,
                passage.ruling if passage is not None else None,
                alone[place],
                together[place],
                passage is not None and passage.looked_s == view.at_s,
                passage is not None and vector is not None and passage.evidence.aside is vector,
                sighting.match.centred if sighting.match is not None else None,
            )
        )
    return tuple(found)
