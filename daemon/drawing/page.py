"""The page about a replay: one HTML file that loads nothing, from which a person can judge whether the gate decided rightly."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from daemon.core.counts import counted, persons
from daemon.core.faces.quality import Limits
from daemon.core.passages.rules import Rules
from daemon.core.values import Verdict
from daemon.drawing import tables
from daemon.drawing.keys import chart_key, timeline_key
from daemon.drawing.passage import section
from daemon.drawing.timeline import WIDTHS, timeline
from daemon.drawing.trace import Trace, Tracer
from daemon.drawing.words import STATES, VERDICTS, clock, similarity
from daemon.pages import template

MAX_CHARTS = 100
MAX_FRAMES, MIN_FRAMES, ALL_FRAMES = 800, 80, 20_000
"""How many frames are drawn at most of a passage, of one in a crowd, and on the whole page: a page of hours must open at once."""
MAX_ROWS = 500
LONG_AGO = 86_400.0 * 365
"""Recordings that do not know their date begin at the start of the epoch."""


@dataclass(frozen=True, slots=True)
class About:
    """What a replay decided by. `recording` is a name, not a path."""

    recording: str
    gate: str
    model: str
    detector: str
    people: int
    templates: int
    rules: Rules
    policy: str
    limits: Limits
    lost_s: float


@dataclass(frozen=True, slots=True)
class Tile:
    """A number on top of the page. `kind` is its colour's CSS class, or empty."""

    kind: str
    name: str
    value: str


def render(tracer: Tracer, about: About) -> str:
    """The page. The same recording, bundle and policy give the same bytes."""
    traces = [trace for _, trace in sorted(tracer.traces.items()) if trace.moments]
    charted = _worth_a_chart(traces, about.rules)
    budget = max(MIN_FRAMES, min(MAX_FRAMES, ALL_FRAMES // max(1, len(charted))))
    decisions = sorted((d for trace in traces for d in trace.decisions), key=lambda d: (d.at_s, d.passage))
    with_chart = {trace.passage for trace in charted}
    others = [trace for trace in traces if trace.passage not in with_chart]
    last = [trace.decisions[-1].verdict for trace in traces if trace.decisions]
    tally, silent = Counter(last), len(traces) - len(last)
    return template.render(
        "daemon.drawing",
        "replay.html",
        recording=about.recording,
        facts=_facts(tracer, about),
        tiles=_tiles(tally, silent, about.rules),
        summary=_summary(traces, tally, silent),
        timelines=[timeline(traces, tracer.first_s, tracer.last_s, size) for size in WIDTHS] if traces else [],
        timeline_key=timeline_key(),
        decisions=tables.decided(decisions[:MAX_ROWS], tracer.first_s, about.rules),
        more_decisions=max(0, len(decisions) - MAX_ROWS),
        passages=[section(trace, about.rules, tracer.first_s, budget) for trace in charted],
        chart_key=chart_key(),
        others=tables.uncharted(others[:MAX_ROWS], tracer.first_s),
        more_others=max(0, len(others) - MAX_ROWS),
        with_faces=tracer.faces,
        shows_faces=tracer.faces and any(trace.portraits for trace in traces),
        settings=tables.settings(about.rules, about.lost_s, about.limits),
    )


def _worth_a_chart(traces: Sequence[Trace], rules: Rules) -> list[Trace]:
    """Passages with a good frame that were decided about or could have been. Of too many, those decided about first, then the longest."""
    scored = [t for t in traces if t.moments[-1].fused is not None and (t.decisions or t.moments[-1].good >= rules.min_frames)]
    kept = sorted(scored, key=lambda t: (not t.decisions, -len(t.moments), t.passage))[:MAX_CHARTS]
    return sorted(kept, key=lambda t: t.passage)


def _facts(tracer: Tracer, about: About) -> str:
    length = f"{counted(tracer.frames, 'frame')} of {tracer.size[0]}×{tracer.size[1]}, {clock(tracer.last_s - tracer.first_s)}"
    begins = f", from {datetime.fromtimestamp(tracer.first_at, UTC):%Y-%m-%d %H:%M:%S} UTC" if tracer.first_at > LONG_AGO else ""
    known = f"{persons(about.people)} enrolled ({counted(about.templates, 'template')})"
    return f"{length}{begins} · {known} · model {about.model} · detector {about.detector} · gate {about.gate} · policy {about.policy}"


def _tiles(tally: Mapping[Verdict, int], silent: int, rules: Rules) -> list[Tile]:
    verdicts = [Tile(VERDICTS[v] if tally[v] else "none", " ".join(STATES[VERDICTS[v]]), f"{tally[v]}") for v in Verdict]
    unanswered = Tile("" if silent else "none", "passages without an answer", f"{silent}")
    return [*verdicts, unanswered, Tile("", "threshold τ", similarity(rules.threshold))]


def _summary(traces: Sequence[Trace], tally: Mapping[Verdict, int], silent: int) -> str:
    """What happened, in one or two sentences."""
    if not traces:
        return "No face was found in this recording, and nothing was decided."
    let_in = sorted({d.person for t in traces for d in t.decisions if d.verdict is Verdict.ACCEPT and d.person is not None})
    said = f"The gate would have opened for {', '.join(let_in)}." if let_in else "The gate would not have opened for anybody."
    parts = [f"{tally[verdict]} {STATES[VERDICTS[verdict]][1]}" for verdict in Verdict if tally[verdict]]
    parts += [f"{silent} not seen well or long enough for an answer"] if silent else []
    return f"{said} {counted(len(traces), 'face was', 'faces were')} followed: {', '.join(parts)}."
