"""A passage on the page: its similarities over time, against the threshold."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import floor, isfinite

from markupsafe import Markup

from daemon.core.passages.gatekeeper import Decision
from daemon.core.passages.rules import HOLD, Rules
from daemon.core.passages.traces import Moment
from daemon.core.values import Match, Quality, Verdict
from daemon.drawing import selection
from daemon.drawing.stretches import band, steps, stretches
from daemon.drawing.timeline import time_axis
from daemon.drawing.trace import Trace
from daemon.drawing.words import STATES, VERDICTS
from daemon.pages import svg
from daemon.pages.svg import Point, Scale

WIDTHS = {"wide": (720.0, 8), "narrow": (360.0, 4)}
"""The widths that a chart is drawn in, for a screen and for a phone, and how many times are written below it at most."""
LEFT, RIGHT, TOP, PLOT, RUG = 64.0, 26.0, 40.0, 240.0, 15.0


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawn chart, the places of the moments that are in it, and the seconds from the recording's start at its left and right end."""

    svg: Markup
    drawn: Sequence[int]
    from_s: float
    to_s: float


def similarities(trace: Trace, rules: Rules, first_s: float, limit: int, size: str) -> Chart:
    """A passage's chart of about `limit` frames."""
    width, max_ticks = WIDTHS[size]
    moments = trace.moments
    drawn = selection.shown(moments, {decision.number for decision in trace.decisions}, limit)
    shown = [moments[place] for place in drawn]
    step, apart_s = steps(moments)
    x = Scale(moments[0].at_s - first_s, max(moments[-1].at_s - first_s, moments[0].at_s - first_s + step), LEFT, width - RIGHT)
    values = [v for m in shown for found in (m.single, m.fused) if found for v in (found.similarity, found.rival) if isfinite(v) and v > -1]
    y = Scale(floor(min([0.0, *values]) * 5) / 5, 1.0, TOP + PLOT, TOP)
    reasons = [quality for quality in Quality if quality is not Quality.OK and any(m.quality is quality for m in moments)]
    bottom = TOP + PLOT + RUG * len(reasons) + (6 if reasons else 0)
    at = [x(moment.at_s - first_s) for moment in shown]
    parts = [
        _accepting(rules.threshold, x, y),
        time_axis(x, TOP, bottom, max_ticks),
        _levels(x, y),
        band(stretches(moments), x, first_s, 28, tall=2 / 3),
        _hold(rules.threshold, shown, at, y),
        *_frames_alone(trace.main, shown, at, y),
        *_fused_lines(trace.main, shown, at, y, [selection.visits(moments, apart_s)[place] for place in drawn]),
        svg.diamonds(
            [(x(m.at_s - first_s), _height(y, m.fused)) for m in (moments[place] for place in selection.searches(moments)) if m.fused],
            4.5,
            "look",
        ),
        *_poor_frames(moments, reasons, x, first_s),
        *_flags(trace.decisions, x, first_s),
        *_names(rules.threshold, shown, x, y),
        f'<line class="cursor" x1="-9" x2="-9" y1="{svg.place(TOP)}" y2="{svg.place(bottom)}"/>',
    ]
    label = f"Similarities of passage {trace.passage} over time; the text beside it says what was decided and why"
    return Chart(svg.drawing(width, bottom + 24, label, *parts, kind=f"similarities {size}"), drawn, x.low, x.high)


def _accepting(threshold: float | None, x: Scale, y: Scale) -> str:
    """The threshold, and the area above it."""
    if threshold is None:
        return ""
    level = _clamped(y, threshold)
    area = svg.box(x.start, TOP, x.end - x.start, max(0.0, level - TOP), "accepting")
    return area + svg.line((x.start, level), (x.end, level), "threshold")


def _levels(x: Scale, y: Scale) -> str:
    return "".join(
        svg.line((x.start, y(value)), (x.end, y(value)), "grid") + svg.text((x.start - 6, y(value) + 4), f"{value:.1f}", "tick", "end")
        for value in y.ticks(6)
    )


def _recognised(moment: Moment) -> bool:
    return moment.ruling is not None and moment.ruling.person is not None


def _hold(threshold: float | None, shown: Sequence[Moment], at: Sequence[float], y: Scale) -> str:
    """The level down to which somebody stays recognised, where somebody is."""
    if threshold is None:
        return ""
    level = _clamped(y, threshold - HOLD)
    runs: list[list[float]] = []
    before = False
    for px, moment in zip(at, shown, strict=True):
        holds = _recognised(moment)
        if holds and not before:
            runs.append([])
        if holds:
            runs[-1].append(px)
        before = holds
    return "".join(svg.line((run[0], level), (run[-1], level), "hold") for run in runs)


def _frames_alone(main: str | None, shown: Sequence[Moment], at: Sequence[float], y: Scale) -> Iterable[str]:
    """What each frame says alone; those set aside have a mark of their own."""

    def dots(own: bool) -> list[Point]:
        found = ((px, m.single) for px, m in zip(at, shown, strict=True) if m.single is not None and not m.aside)
        return [(px, _height(y, single)) for px, single in found if (single.person == main) is own]

    yield svg.dots(dots(own=False), 2.4, "single other")
    yield svg.dots(dots(own=True), 2.4, "single")
    yield svg.diamonds([(px, _height(y, m.single)) for px, m in zip(at, shown, strict=True) if m.aside and m.single], 5, "aside")


def _fused_lines(main: str | None, shown: Sequence[Moment], at: Sequence[float], y: Scale, visits: Sequence[int]) -> Iterable[str]:
    """What the frames say together: the next nearest person, and the nearest, apart by whether that is the passage's person."""

    def nearest(own: bool) -> Callable[[Match], float | None]:
        return lambda match: match.similarity if (match.person == main) is own else None

    lines = (("rival", lambda match: match.rival if match.rival > -1 else None), ("best other", nearest(False)), ("best", nearest(True)))
    for kind, of in lines:
        yield from (svg.path(run, kind) for run in _runs(shown, at, y, visits, of))


def _runs(
    shown: Sequence[Moment], at: Sequence[float], y: Scale, visits: Sequence[int], of: Callable[[Match], float | None]
) -> list[list[Point]]:
    """A line over time, broken where it has no value and where the face was away."""
    runs: list[list[Point]] = []
    last: int | None = None
    for px, moment, visit in zip(at, shown, visits, strict=True):
        value = of(moment.fused) if moment.fused is not None else None
        if value is not None and visit != last:
            runs.append([])
        if value is not None:
            runs[-1].append((px, _clamped(y, value)))
        last = visit if value is not None else None
    return runs


def _poor_frames(moments: Sequence[Moment], reasons: Sequence[Quality], x: Scale, first_s: float) -> Iterable[str]:
    """A row of ticks for each reason."""
    for place, quality in enumerate(reasons):
        top = TOP + PLOT + 6 + RUG * place
        places = sorted({round(x(m.at_s - first_s), 0) for m in moments if m.quality is quality})
        yield svg.text((LEFT - 6, top + 10), quality.value.replace("_", " "), "tick", "end")
        yield svg.marks(places, top + 2, top + RUG - 3, "poor-tick")


def _flags(decisions: Sequence[Decision], x: Scale, first_s: float) -> Iterable[str]:
    """The decisions of a passage: a line and, above it, what was decided; only its sign where the next one is too near for words."""
    right = x.end + RIGHT
    for decision in sorted(decisions, key=lambda d: d.at_s, reverse=True):
        state, at = VERDICTS[decision.verdict], x(decision.at_s - first_s)
        sign, word = STATES[state]
        said = f"{sign} {word}{f' as {decision.person}' if decision.person and decision.verdict is Verdict.ACCEPT else ''}"
        yield svg.line((at, 20), (at, TOP + PLOT), f"decided {state}")
        if right - at > 10 + 8 * len(said):
            yield svg.text((at + 4, 13), said, f"flag {state}")
        elif right > x.end and at > 8 * len(said):
            yield svg.text((at - 4, 13), said, f"flag {state}", "end")
            at -= 8 * len(said)
        else:
            yield svg.text((at, 13), sign, f"flag {state}", "middle")
        right = min(at, x.end)


def _names(threshold: float | None, shown: Sequence[Moment], x: Scale, y: Scale) -> Iterable[str]:
    """The names of the two levels, written over everything else."""
    if threshold is None:
        return
    yield svg.text((x.start + 5, _clamped(y, threshold) - 6), f"threshold τ {threshold:.3f}", "tau")
    if any(map(_recognised, shown)):
        below = _clamped(y, threshold - HOLD) + 14
        yield svg.text((x.end - 4, below), f"stays recognised down to {threshold - HOLD:.3f}", "tau", "end")


def _height(y: Scale, match: Match) -> float:
    return _clamped(y, match.similarity)


def _clamped(y: Scale, value: float) -> float:
    return y(min(max(value, y.low), y.high)) if isfinite(value) else y(y.low)
