"""A passage as stretches of time in one state, and the band that the timeline and the charts draw of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from daemon.core.passages.traces import Moment, State
from daemon.pages import svg
from daemon.pages.svg import Scale

TALL = {State.ACCEPT: 18.0, State.REJECT: 18.0, State.UNKNOWN: 18.0, State.GATHERING: 10.0, State.POOR: 4.0}
"""The height of a stretch. States differ in height as well as in colour."""
FADED_S = 0.25
"""Two sightings are not joined when they are further apart than this and than three usual steps."""
INDISTINCT = 0.3
"""Stretches of one state that are closer in a drawing are drawn as one: no eye could tell them apart."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A face in one state from one time to another."""

    state: State
    from_s: float
    to_s: float


def stretches(moments: Sequence[Moment]) -> list[Stretch]:
    """The states of a passage's frames, run by run. A frame stands until the next one, unless the face was gone in between."""
    step, apart = steps(moments)
    found: list[Stretch] = []
    for place, moment in enumerate(moments):
        next_s = moments[place + 1].at_s if place + 1 < len(moments) else moment.at_s + step
        end = next_s if moment.at_s <= next_s <= moment.at_s + apart else moment.at_s + step
        last = found[-1] if found else None
        if last is not None and last.state is moment.state and abs(last.to_s - moment.at_s) < 1e-6:
            found[-1] = Stretch(moment.state, last.from_s, end)
        else:
            found.append(Stretch(moment.state, moment.at_s, end))
    return found


def steps(moments: Sequence[Moment]) -> tuple[float, float]:
    """The usual time from frame to frame, and the time after which a face counts as gone in between."""
    steps = [b.at_s - a.at_s for a, b in pairwise(moments) if b.at_s > a.at_s]
    step = median(steps) if steps else 0.04
    return step, max(3 * step, FADED_S)


def band(runs: Sequence[Stretch], scale: Scale, first_s: float, middle: float, tall: float = 1.0, least_width: float = 0.0) -> str:
    """The stretches from left to right around the height `middle`, each `tall` times as high as in TALL. `scale` counts from `first_s`."""
    by_state: dict[State, list[tuple[float, float]]] = {}
    for run in runs:
        left, right = scale(run.from_s - first_s), min(scale(run.to_s - first_s), scale.end)
        drawn = by_state.setdefault(run.state, [])
        if drawn and left - drawn[-1][1] < INDISTINCT:
            drawn[-1] = drawn[-1][0], right
        else:
            drawn.append((left, max(right, left + least_width)))
    heights = {state: tall * TALL[state] for state in by_state}
    return "".join(svg.boxes(found, middle - heights[state] / 2, heights[state], f"state {state}") for state, found in by_state.items())
