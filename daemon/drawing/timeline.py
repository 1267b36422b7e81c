"""The recording from left to right on the page, with a lane for each passage."""

from collections.abc import Sequence

from markupsafe import Markup

from daemon.core.counts import counted
from daemon.core.passages.gatekeeper import Decision
from daemon.drawing.stretches import band, stretches
from daemon.drawing.trace import Trace
from daemon.drawing.words import STATES, VERDICTS, clock
from daemon.pages import svg
from daemon.pages.svg import Scale

WIDTHS = {"wide": (1000.0, 12), "narrow": (360.0, 5)}
"""The widths that a timeline is drawn in, for a screen and for a phone, and how many times are written below it at most."""
LEFT, RIGHT = 44.0, 26.0
LANE, MAX_LANES = 30.0, 24
BLIP = 2.0
"""The least width of a stretch: a face that was there for one frame of an hour must be visible."""


def timeline(traces: Sequence[Trace], first_s: float, last_s: float, size: str) -> Markup:
    """The recording from left to right, and the passages below one another; where there are many, several share a lane."""
    width, max_ticks = WIDTHS[size]
    end_s = max([last_s, *(part.to_s for trace in traces for part in stretches(trace.moments))], default=last_s)
    scale = Scale(0.0, max(end_s - first_s, 1e-6), LEFT, width - RIGHT)
    alone = len(traces) <= MAX_LANES
    lanes = _lanes(traces, alone)
    bottom = 8 + LANE * (max(lanes.values(), default=0) + 1)
    parts = [time_axis(scale, 8, bottom, max_ticks)]
    parts += [_lane(trace, scale, first_s, 8 + LANE * (lanes[trace.passage] + 0.5), alone) for trace in traces]
    label = f"Timeline of {counted(len(traces), 'passage')} over {clock(last_s - first_s)}; the table of decisions gives the same in words"
    return svg.drawing(width, bottom + 26, label, *parts, kind=f"timeline {size}")


def time_axis(scale: Scale, top: float, bottom: float, limit: int) -> str:
    """Upright lines at round times, at most `limit`, and the times below them."""
    ticks = scale.ticks(limit)
    digits = 0 if len(ticks) < 2 or ticks[1] - ticks[0] >= 1 else 1 if ticks[1] - ticks[0] >= 0.1 else 2
    return svg.marks(map(scale, ticks), top, bottom, "grid") + "".join(
        svg.text((scale(tick), bottom + 17), clock(tick, digits), "tick", "middle") for tick in ticks
    )


def _lanes(traces: Sequence[Trace], alone: bool) -> dict[int, int]:
    """The lane of each passage: its own, or the first that is free again."""
    if alone:
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
    runs = stretches(trace.moments)
    left, right = scale(runs[0].from_s - first_s), scale(runs[-1].to_s - first_s)
    parts = [band(runs, scale, first_s, middle, least_width=BLIP)]
    if alone:
        parts.append(svg.text((LEFT - 8, middle + 4), f"#{trace.passage}", "lane", "end"))
    elif right - left > 26:
        parts.append(svg.text((left + 2, middle - 10), f"#{trace.passage}", "tick"))
    before_next_s = 10 / (scale.end - scale.start) * (scale.high - scale.low)
    for place, decision in enumerate(trace.decisions):
        at_s = decision.at_s
        # The name is written on the stretch that the decision begins, up to the next decision.
        ends = [run.to_s for run in runs if run.from_s <= at_s < run.to_s and run.state is VERDICTS[decision.verdict]]
        ends += [later.at_s - before_next_s for later in trace.decisions[place + 1 : place + 2]]
        parts.append(_mark(decision, scale(at_s - first_s), middle, scale(min(ends, default=at_s) - first_s) - scale(at_s - first_s)))
    hit = svg.box(left, middle - LANE / 2, max(right - left, 4), LANE, "hit")
    said = "; ".join(f"{d.verdict.value} at {clock(d.at_s - first_s)}" for d in trace.decisions) or "no answer"
    return f'<a href="#passage-{trace.passage}"><title>passage {trace.passage}: {said}</title>{"".join(parts)}{hit}</a>'


def _mark(decision: Decision, x: float, middle: float, room: float) -> str:
    """A decision on its lane: its sign in a circle, and the person's name if there is `room` for it to the right."""
    state = VERDICTS[decision.verdict]
    sign, _ = STATES[state]
    circle = f'<circle class="mark {state}" cx="{svg.place(x)}" cy="{svg.place(middle)}" r="10"/>'
    named = decision.person or ""
    words = svg.text((x + 15, middle + 4.5), named, "named") if named and room > 22 + 8 * len(named) else ""
    return circle + svg.text((x, middle + 4.5), sign, "sign", "middle") + words
