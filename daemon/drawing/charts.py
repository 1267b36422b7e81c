"""A passage on the page: its similarities over time, against the threshold."""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from math import floor, isfinite, nan

from daemon.core.passages.gatekeeper import Decision
from daemon.core.passages.rules import HOLD, Rules
from daemon.core.passages.traces import Moment, State
from daemon.core.values import Quality, Verdict
from daemon.drawing.timeline import TALL, steps, stretches, time_axis
from daemon.drawing.trace import Trace
from daemon.drawing.words import STATES, VERDICTS
from daemon.pages import svg
from daemon.pages.svg import Point, Scale

WIDTH, LEFT, RIGHT, TOP, PLOT, RUG = 720.0, 64.0, 26.0, 40.0, 240.0, 15.0
MOST_LOOKS = 40


def similarities(trace: Trace, rules: Rules, first_s: float, most: int) -> tuple[str, list[int], Scale]:
    """A passage's chart of about `most` frames; which of its moments are in it; and its scale of seconds from the recording's start."""
    moments = trace.moments
    decided = {decision.number for decision in trace.decisions}
    drawn = _drawn(moments, decided, most)
    shown = [moments[place] for place in drawn]
    step, apart = steps(moments)
    x = Scale(moments[0].at_s - first_s, max(moments[-1].at_s - first_s, moments[0].at_s - first_s + step), LEFT, WIDTH - RIGHT)
    values = [v for m in shown for found in (m.single, m.fused) if found for v in (found.similarity, found.rival) if isfinite(v) and v > -1]
    y = Scale(floor(min([0.0, *values]) * 5) / 5, 1.0, TOP + PLOT, TOP)
    reasons = [quality for quality in Quality if quality is not Quality.OK and any(m.quality is quality for m in moments)]
    bottom = TOP + PLOT + RUG * len(reasons) + (6 if reasons else 0)
    at = [x(moment.at_s - first_s) for moment in shown]
    all_spells, main = _spells(moments, apart), trace.main
    spells = [all_spells[place] for place in drawn]
    threshold = rules.threshold
    held = _held(shown, at) if threshold is not None else []
    hold = _clamped(y, threshold - HOLD) if threshold is not None else 0.0
    parts = [
        *_accepting(threshold, y),
        time_axis(x, TOP, bottom, 8),
        "".join(
            svg.line((LEFT, y(v)), (WIDTH - RIGHT, y(v)), "grid") + svg.text((LEFT - 6, y(v) + 4), f"{v:.1f}", "tick", "end")
            for v in y.ticks(6)
        ),
        _state_strip(moments, x, first_s),
        *(svg.line((run[0], hold), (run[-1], hold), "hold") for run in held),
        svg.dots(_singles(shown, at, y, main, own=False), 2.4, "single other"),
        svg.dots(_singles(shown, at, y, main, own=True), 2.4, "single"),
        svg.diamonds([(px, _clamped(y, m.single.similarity)) for px, m in zip(at, shown, strict=True) if m.aside and m.single], 5, "aside"),
        *(svg.path(run, "rival") for run in _runs(shown, at, y, spells, _rival)),
        *(svg.path(run, "best other") for run in _runs(shown, at, y, spells, lambda m: _fused(m, main, own=False))),
        *(svg.path(run, "best") for run in _runs(shown, at, y, spells, lambda m: _fused(m, main, own=True))),
        svg.diamonds(
            [(x(m.at_s - first_s), _clamped(y, m.fused.similarity)) for m in (moments[place] for place in _looks(moments)) if m.fused],
            4.5,
            "look",
        ),
        *_rug(moments, reasons, x, first_s),
        *_flags(trace.decisions, x, first_s),
        *_levels(threshold, y, bool(held)),
        f'<line class="cursor" x1="-9" x2="-9" y1="{svg.place(TOP)}" y2="{svg.place(bottom)}"/>',
    ]
    label = f"Similarities of passage {trace.passage} over time; the text beside it says what was decided and why"
    return svg.drawing(WIDTH, bottom + 24, label, *parts, kind="similarities"), drawn, x


def _drawn(moments: Sequence[Moment], decided: set[int], most: int) -> list[int]:
    """The places of the moments to draw: all, or the lowest and highest of each stretch, and those that mean something."""
    single = svg.thinned([m.single.similarity if m.single else nan for m in moments], most // 2, lambda i: moments[i].number in decided)
    fused = svg.thinned([m.fused.similarity if m.fused else nan for m in moments], most // 4)
    asides = [place for place, moment in enumerate(moments) if moment.aside]
    return sorted({*single, *fused, *_some(asides, most // 8), *_looks(moments)})


def _looks(moments: Sequence[Moment]) -> list[int]:
    """The places where the gate searched: once a second, so in a recording of hours too many to mark."""
    return _some([place for place, moment in enumerate(moments) if moment.looked], MOST_LOOKS)


def _some(places: Sequence[int], most: int) -> list[int]:
    return [places[i] for i in svg.thinned([0.0] * len(places), most)]


def _accepting(threshold: float | None, y: Scale) -> Iterable[str]:
    if threshold is None:
        return ()
    level, right = _clamped(y, threshold), WIDTH - RIGHT
    return (
        svg.box(LEFT, TOP, right - LEFT, max(0.0, level - TOP), "accepting"),
        svg.line((LEFT, level), (right, level), "threshold"),
    )


def _levels(threshold: float | None, y: Scale, held: bool) -> Iterable[str]:
    """What the two levels are called, written over everything else."""
    if threshold is None:
        return
    yield svg.text((LEFT + 5, _clamped(y, threshold) - 6), f"threshold τ {threshold:.3f}", "tau")
    if held:
        below = _clamped(y, threshold - HOLD) + 14
        yield svg.text((WIDTH - RIGHT - 4, below), f"stays so down to {threshold - HOLD:.3f}", "tau", "end")


def _held(shown: Sequence[Moment], at: Sequence[float]) -> list[list[float]]:
    """Where in the drawing somebody is recognised, stretch by stretch."""
    runs: list[list[float]] = []
    before = False
    for px, moment in zip(at, shown, strict=True):
        holds = moment.ruling is not None and moment.ruling.person is not None
        if holds and not before:
            runs.append([])
        if holds:
            runs[-1].append(px)
        before = holds
    return runs


def _state_strip(moments: Sequence[Moment], x: Scale, first_s: float) -> str:
    """The same band as in the timeline, above the plot."""
    by_state: dict[State, list[tuple[float, float]]] = {}
    for run in stretches(moments):
        left, right = x(run.from_s - first_s), min(x(run.to_s - first_s), WIDTH - RIGHT)
        of_state = by_state.setdefault(run.state, [])
        if of_state and left - of_state[-1][1] < 0.3:
            of_state[-1] = of_state[-1][0], right
        else:
            of_state.append((left, right))
    return "".join(svg.boxes(runs, 28 - TALL[state] / 3, TALL[state] / 1.5, f"state {state}") for state, runs in by_state.items())


def _singles(shown: Sequence[Moment], at: Sequence[float], y: Scale, main: str | None, own: bool) -> list[Point]:
    return [
        (px, _clamped(y, m.single.similarity))
        for px, m in zip(at, shown, strict=True)
        if m.single is not None and not m.aside and (m.single.person == main) is own
    ]


def _runs(
    shown: Sequence[Moment], at: Sequence[float], y: Scale, spells: Sequence[int], of: Callable[[Moment], float | None]
) -> list[list[Point]]:
    """A line over time, broken where it has no value and where the face was away: `spells` number the times it was there."""
    runs: list[list[Point]] = []
    last: int | None = None
    for px, moment, spell in zip(at, shown, spells, strict=True):
        value = of(moment)
        if value is not None and spell != last:
            runs.append([])
        if value is not None:
            runs[-1].append((px, _clamped(y, value)))
        last = spell if value is not None else None
    return runs


def _fused(moment: Moment, main: str | None, own: bool) -> float | None:
    """The fused similarity where it is one to that person (`own`), or where it is one to somebody else."""
    return moment.fused.similarity if moment.fused is not None and (moment.fused.person == main) is own else None


def _rival(moment: Moment) -> float | None:
    return moment.fused.rival if moment.fused is not None and moment.fused.rival > -1 else None


def _spells(moments: Sequence[Moment], apart: float) -> list[int]:
    found = [0]
    for before, moment in pairwise(moments):
        found.append(found[-1] + (not 0 <= moment.at_s - before.at_s <= apart))
    return found


def _rug(moments: Sequence[Moment], reasons: Sequence[Quality], x: Scale, first_s: float) -> Iterable[str]:
    """Poor frames, a row of ticks for each reason."""
    for place, quality in enumerate(reasons):
        top = TOP + PLOT + 6 + RUG * place
        places = sorted({round(x(m.at_s - first_s), 0) for m in moments if m.quality is quality})
        yield svg.text((LEFT - 6, top + 10), quality.value.replace("_", " "), "tick", "end")
        yield svg.marks(places, top + 2, top + RUG - 3, "poor-tick")


def _flags(decisions: Sequence[Decision], x: Scale, first_s: float) -> Iterable[str]:
    """The decisions of a passage: a line and, above, what was decided; only its sign where the next one is too near for words."""
    ends = LEFT
    for decision in sorted(decisions, key=lambda d: d.at_s, reverse=True):
        state, at = VERDICTS[decision.verdict], x(decision.at_s - first_s)
        sign, word = STATES[state]
        said = f"{sign} {word}{f' as {decision.person}' if decision.person and decision.verdict is Verdict.ACCEPT else ''}"
        right = WIDTH if ends == LEFT else ends
        yield svg.line((at, 20), (at, TOP + PLOT), f"decided {state}")
        if right - at > 10 + 8 * len(said):
            yield svg.text((at + 4, 13), said, f"flag {state}")
        elif ends == LEFT:
            yield svg.text((at - 4, 13), said, f"flag {state}", "end")
            at -= 8 * len(said)
        else:
            yield svg.text((at, 13), sign, f"flag {state}", "middle")
        ends = at


def _clamped(y: Scale, value: float) -> float:
    return y(min(max(value, y.low), y.high)) if isfinite(value) else y(y.low)
