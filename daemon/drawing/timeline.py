"""The recording from left to right on the page, with a lane for each passage."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from daemon.core.passages.gatekeeper import Decision
from daemon.core.passages.traces import Moment, State
from daemon.drawing.trace import Trace
from daemon.drawing.words import STATES, VERDICTS, clock, count
from daemon.pages import svg
from daemon.pages.svg import Scale

WIDTH, LEFT, RIGHT = 1000.0, 44.0, 26.0
LANE, MOST_LANES = 30.0, 24
TALL = {State.ACCEPT: 18.0, State.REJECT: 18.0, State.UNKNOWN: 18.0, State.GATHERING: 10.0, State.POOR: 4.0}
"""How high a stretch of a lane is: colour is not all that tells states apart."""
BLIP = 2.0
"""A face that was there for a single frame of an hour must be seen too."""
FADED_S = 0.25
"""Two sightings further apart than this, and than three usual steps, are not joined."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A face in one state from one time to another."""

    state: State
    from_s: float
    to_s: float


def stretches(moments: Sequence[Moment]) -> list[Stretch]:
    """What a passage's frames count as, run by run; a frame stands until the next one, unless the face was gone in between."""
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


def timeline(traces: Sequence[Trace], first_s: float, last_s: float) -> str:
    """The recording from left to right, and the passages one below the other; where they are many, several in a lane."""
    end_s = max([last_s, *(part.to_s for trace in traces for part in stretches(trace.moments))], default=last_s)
    scale = Scale(0.0, max(end_s - first_s, 1e-6), LEFT, WIDTH - RIGHT)
    lanes = _lanes(traces, own=len(traces) <= MOST_LANES)
    count_lanes = max(lanes.values(), default=0) + 1
    bottom = 8 + LANE * count_lanes
    parts = [time_axis(scale, 8, bottom, 12)]
    for trace in traces:
        middle = 8 + LANE * (lanes[trace.passage] + 0.5)
        parts.append(_lane(trace, scale, first_s, middle, alone=len(traces) <= MOST_LANES))
    label = f"Timeline of {count(len(traces), 'passage')} over {clock(last_s - first_s)}; the table of decisions says the same in words"
    return svg.drawing(WIDTH, bottom + 26, label, *parts, kind="timeline")


def steps(moments: Sequence[Moment]) -> tuple[float, float]:
    """The usual time from frame to frame, and the time from which on a face counts as gone in between."""
    steps = [b.at_s - a.at_s for a, b in pairwise(moments) if b.at_s > a.at_s]
    step = median(steps) if steps else 0.04
    return step, max(3 * step, FADED_S)


def _lanes(traces: Sequence[Trace], own: bool) -> dict[int, int]:
    """The lane of each passage: its own, or the first that is free again."""
    if own:
        return {trace.passage: place for place, trace in enumerate(traces)}
    ends: list[float] = []
    found = {}
    for trace in sorted(traces, key=lambda t: t.moments[0].at_s):
        begins = trace.moments[0].at_s
        lane = next((place for place, end in enumerate(ends) if end < begins), len(ends))
        ends[lane : lane + 1] = [trace.moments[-1].at_s]
        found[trace.passage] = lane
    return found


def _lane(trace: Trace, scale: Scale, first_s: float, middle: float, alone: bool) -> str:
    parts = []
    runs = stretches(trace.moments)
    left, right = scale(runs[0].from_s - first_s), scale(runs[-1].to_s - first_s)
    by_state: dict[State, list[tuple[float, float]]] = {}
    for run in runs:
        x0, x1 = scale(run.from_s - first_s), scale(run.to_s - first_s)
        of_state = by_state.setdefault(run.state, [])
        if of_state and x0 - of_state[-1][1] < 0.3:
            of_state[-1] = of_state[-1][0], x1  # what no eye could tell apart is drawn as one
        else:
            of_state.append((x0, max(x1, x0 + BLIP)))
    for state, found in by_state.items():
        parts.append(svg.boxes(found, middle - TALL[state] / 2, TALL[state], f"state {state}"))
    if alone:
        parts.append(svg.text((LEFT - 8, middle + 4), f"#{trace.passage}", "lane", "end"))
    elif right - left > 26:
        parts.append(svg.text((left + 2, middle - 10), f"#{trace.passage}", "tick"))
    for place, decision in enumerate(trace.decisions):
        at_s = decision.at_s
        # Its name goes onto the stretch that it begins, up to the next one.
        ends = [run.to_s for run in runs if run.from_s <= at_s < run.to_s and run.state is VERDICTS[decision.verdict]]
        ends += [later.at_s - 10 / WIDTH * (scale.high - scale.low) for later in trace.decisions[place + 1 : place + 2]]
        parts.append(_mark(decision, scale(at_s - first_s), middle, scale(min(ends, default=at_s) - first_s) - scale(at_s - first_s)))
    hit = svg.box(left, middle - LANE / 2, max(right - left, 4), LANE, "hit")
    said = "; ".join(f"{d.verdict.value} at {clock(d.at_s - first_s)}" for d in trace.decisions) or "no answer"
    return f'<a href="#passage-{trace.passage}"><title>passage {trace.passage}: {said}</title>{"".join(parts)}{hit}</a>'


def _mark(decision: Decision, x: float, middle: float, room: float) -> str:
    """A decision on its lane: its sign in a circle, and whom it names if there is `room` to the right."""
    state = VERDICTS[decision.verdict]
    sign, _ = STATES[state]
    circle = f'<circle class="mark {state}" cx="{svg.place(x)}" cy="{svg.place(middle)}" r="10"/>'
    named = decision.person or ""
    words = svg.text((x + 15, middle + 4.5), named, "named") if named and room > 22 + 8 * len(named) else ""
    return circle + svg.text((x, middle + 4.5), sign, "sign", "middle") + words


def time_axis(scale: Scale, top: float, bottom: float, most: int) -> str:
    """Upright lines at round times, and the times below them."""
    ticks = scale.ticks(most)
    digits = 0 if len(ticks) < 2 or ticks[1] - ticks[0] >= 1 else 1 if ticks[1] - ticks[0] >= 0.1 else 2
    return svg.marks(map(scale, ticks), top, bottom, "grid") + "".join(
        svg.text((scale(tick), bottom + 17), clock(tick, digits), "tick", "middle") for tick in ticks
    )
