"""The page about a replay: one HTML file that asks nobody for anything, from which a person can judge whether the gate did right."""

from base64 import b64encode
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from hashlib import sha256
from html import escape

from daemon.core.faces.quality import Limits
from daemon.core.passages.gatekeeper import Decision
from daemon.core.passages.rules import HOLD, Rules
from daemon.core.passages.traces import State
from daemon.core.values import Quality, Verdict
from daemon.drawing.passage import chip, section, source, written
from daemon.drawing.style import SCRIPT, STYLE
from daemon.drawing.timeline import TALL, timeline
from daemon.drawing.trace import Trace, Tracer
from daemon.drawing.words import STATES, VERDICTS, clock, count, reason
from daemon.pages import markup, svg

MOST_CHARTS = 100
MOST_FRAMES, FEWEST_FRAMES, ALL_FRAMES = 800, 80, 20_000
"""So many frames of a passage are drawn at most, in a crowd fewer, and so many on the whole page: a page of hours must open at once."""
MOST_ROWS = 500
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


def render(tracer: Tracer, about: About) -> str:
    """The page. The same recording, bundle and policy give the same bytes."""
    traces = [trace for _, trace in sorted(tracer.traces.items()) if trace.moments]
    charted = _worth_a_chart(traces, about.rules)
    budget = max(FEWEST_FRAMES, min(MOST_FRAMES, ALL_FRAMES // max(1, len(charted))))
    parts = [_header(tracer, about, traces)]
    if traces:
        figure = f'<figure><div class="chart">{timeline(traces, tracer.first_s, tracer.last_s)}</div></figure>'
        parts.append(f"<section><h2>Timeline</h2>{figure}{_timeline_key()}</section>")
    parts.append(f"<section><h2>Decisions</h2>{_decisions(traces, tracer, about)}</section>")
    if charted:
        shown = "".join(section(trace, about.rules, tracer.first_s, budget) for trace in charted)
        parts.append(f"<section><h2>Passages</h2>{_chart_key()}{shown}</section>")
    rest = [trace for trace in traces if trace not in charted]
    if rest:
        parts.append(f"<section><h2>{'Other passages' if charted else 'Passages'}</h2>{_rest(rest, tracer)}</section>")
    parts.append(f"<section><h2>Settings</h2>{_settings(about)}</section>")
    if tracer.faces and any(trace.portraits for trace in traces):
        parts.append("<footer>This page shows faces of people: keep it as carefully as the recording.</footer>")
    digest = b64encode(sha256(SCRIPT.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    return markup.page(f"Replay: {about.recording}", "".join(parts) + f"<script>{SCRIPT}</script>", STYLE, policy)


def _worth_a_chart(traces: Sequence[Trace], rules: Rules) -> list[Trace]:
    """Those with a good frame that are decided about or could have been; of too many, the first of these and then the longest."""
    scored = [t for t in traces if t.moments[-1].fused is not None and (t.decisions or t.moments[-1].good >= rules.min_frames)]
    kept = sorted(scored, key=lambda t: (not t.decisions, -len(t.moments), t.passage))[:MOST_CHARTS]
    return sorted(kept, key=lambda t: t.passage)


def _header(tracer: Tracer, about: About, traces: Sequence[Trace]) -> str:
    last = [trace.decisions[-1] for trace in traces if trace.decisions]
    tally = Counter(decision.verdict for decision in last)
    silent = len(traces) - len(last)
    tiles = [(VERDICTS[v].value, f"{STATES[VERDICTS[v]][0]} {STATES[VERDICTS[v]][1]}", f"{tally[v]}") for v in Verdict]
    tiles += [("", "passages without an answer", f"{silent}"), ("", "threshold τ", written(about.rules.threshold))]
    drawn = "".join(
        f'<div class="{kind if value != "0" else "none"}"><dt>{escape(name)}</dt><dd>{value}</dd></div>' for kind, name, value in tiles
    )
    length = f"{count(tracer.frames, 'frame')} of {tracer.size[0]}×{tracer.size[1]}, {clock(tracer.last_s - tracer.first_s)}"
    begins = f", from {datetime.fromtimestamp(tracer.first_at, UTC):%Y-%m-%d %H:%M:%S} UTC" if tracer.first_at > LONG_AGO else ""
    known = f"{count(about.people, 'person', 'people')} enrolled ({count(about.templates, 'template')})"
    facts = f"{length}{begins} · {known} · model {about.model} · detector {about.detector} · gate {about.gate} · policy {about.policy}"
    return (
        f'<header><h1>Replay of {escape(about.recording)}</h1><p class="about">{escape(facts)}</p>'
        f'<dl class="tally">{drawn}</dl><p>{escape(_sentence(traces, tally, silent))}</p></header>'
    )


def _sentence(traces: Sequence[Trace], tally: Mapping[Verdict, int], silent: int) -> str:
    """What happened, in a breath."""
    if not traces:
        return "No face was found in this recording, and nothing was decided."
    let_in = sorted({d.person for t in traces for d in t.decisions if d.verdict is Verdict.ACCEPT and d.person is not None})
    said = f"The gate would have opened for {', '.join(let_in)}." if let_in else "The gate would not have opened for anybody."
    parts = [f"{tally[verdict]} {STATES[VERDICTS[verdict]][1]}" for verdict in Verdict if tally[verdict]]
    parts += [f"{silent} not seen well or long enough for an answer"] if silent else []
    return f"{said} {count(len(traces), 'face was', 'faces were')} followed: {', '.join(parts)}."


def _decisions(traces: Sequence[Trace], tracer: Tracer, about: About) -> str:
    decided = sorted((d for t in traces for d in t.decisions), key=lambda d: (d.at_s, d.passage))
    if not decided:
        return markup.absent("Nothing was decided.")
    rows = "".join(_decision_row(decision, tracer.first_s, about.rules) for decision in decided[:MOST_ROWS])
    head = "".join(f"<th>{name}</th>" for name in ("passage", "at", "frame", "decision", "why", "similarity", "against τ"))
    more = markup.note(f"{len(decided) - MOST_ROWS:,} further decisions are not listed.") if len(decided) > MOST_ROWS else ""
    return f'<div class="table"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>{more}'


def _decision_row(decision: Decision, first_s: float, rules: Rules) -> str:
    apart = ""
    if decision.similarity is not None and rules.threshold is not None:
        apart = written(decision.similarity - rules.threshold, "+")
    cells = [
        f'<a href="#passage-{decision.passage}">#{decision.passage}</a>',
        clock(decision.at_s - first_s),
        f"{decision.number}",
        chip(decision),
        escape(reason(decision.reason.value) + (", in place of the earlier answer" if decision.changes else "")),
        written(decision.similarity),
        apart,
    ]
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _rest(traces: Sequence[Trace], tracer: Tracer) -> str:
    """Passages without a chart."""
    rows = "".join(_rest_row(trace, tracer.first_s, tracer.faces) for trace in traces[:MOST_ROWS])
    names = ("passage", *(("face",) if tracer.faces else ()), "seen", "frames", "of them", "nearest", "answer")
    head = "".join(f"<th>{name}</th>" for name in names)
    more = markup.note(f"{len(traces) - MOST_ROWS:,} further passages are not listed.") if len(traces) > MOST_ROWS else ""
    return f'<div class="table"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>{more}'


def _rest_row(trace: Trace, first_s: float, faces: bool) -> str:
    kinds = Counter("good" if m.quality is Quality.OK else m.quality.value.replace("_", " ") for m in trace.moments)
    nearest = max((m.single for m in trace.moments if m.single is not None), key=lambda match: match.similarity, default=None)
    cells = [
        f"{clock(trace.moments[0].at_s - first_s)} – {clock(trace.moments[-1].at_s - first_s)}",
        f"{len(trace.moments):,}",
        ", ".join(f"{number} {name}" for name, number in kinds.most_common()),
        f"{nearest.person or 'nobody'} {written(nearest.similarity)}" if nearest is not None else "–",
        "; ".join(f"{d.verdict.value}: {reason(d.reason.value)}" for d in trace.decisions) or "none",
    ]
    portrait = trace.portraits.get("most") or trace.portraits.get("decided")
    image = f'<img class="small" alt="Face of passage {trace.passage}" src="{source(portrait)}">' if portrait is not None else ""
    face = f"<td>{image}</td>" if faces else ""
    told = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
    return f'<tr id="passage-{trace.passage}"><td>#{trace.passage}</td>{face}{told}</tr>'


def _settings(about: About) -> str:
    rows = [
        (f"decision.{f.name}" if f.name != "same" else "same face (card)", f"{getattr(about.rules, f.name)}") for f in fields(about.rules)
    ]
    rows += [("decision.lost_s", f"{about.lost_s}")]
    rows += [
        (f"{'detector' if f.name == 'min_face_px' else 'quality'}.{f.name}", f"{getattr(about.limits, f.name)}")
        for f in fields(about.limits)
    ]
    return f"<details><summary>Rules and limits of this replay</summary>{markup.table(['setting', 'value'], rows)}</details>"


def _timeline_key() -> str:
    items = "".join(
        _key(svg.box(0, 7 - TALL[state] / 3, 26, TALL[state] / 1.5, f"state {state}"), f"{STATES[state][0]} {STATES[state][1]}")
        for state in State
    )
    return f'<ul class="key">{items}</ul>'


def _chart_key() -> str:
    return (
        '<ul class="key">'
        + _key(svg.line((0, 7), (26, 7), "best"), "fused similarity to the passage's person")
        + _key(svg.line((0, 7), (26, 7), "best other"), "where somebody else was nearer")
        + _key(svg.line((0, 7), (26, 7), "rival"), "fused similarity to the next nearest person")
        + _key(svg.dots([(13, 7)], 3, "single"), "a frame alone")
        + _key(svg.dots([(13, 7)], 3, "single other"), "a frame alone, nearest to somebody else")
        + _key(svg.diamonds([(13, 7)], 5, "look"), "the gate searched")
        + _key(svg.diamonds([(13, 7)], 5, "aside"), "set aside: not this face")
        + _key(svg.line((0, 7), (26, 7), "threshold"), "threshold τ: from here up accepted")
        + _key(svg.line((0, 7), (26, 7), "hold"), f"somebody recognised stays so down to here (τ − {HOLD:g})")
        + _key(svg.marks((5, 11, 17, 23), 2, 12, "poor-tick"), "a poor frame, by reason")
        + "</ul>"
        + markup.note("Nearest and farthest frames are those most and least like somebody enrolled.")
    )


def _key(drawn: str, words: str) -> str:
    return f'<li><svg viewBox="0 0 26 14" aria-hidden="true">{drawn}</svg>{escape(words)}</li>'
