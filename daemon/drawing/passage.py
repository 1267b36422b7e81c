"""One passage on the page: its story in sentences, its chart, a few of its faces, and what each frame says when it is pointed at."""

from base64 import b64encode
from collections import Counter
from collections.abc import Sequence
from html import escape
from math import isfinite

import msgspec

from daemon.core.passages.gatekeeper import Decision
from daemon.core.passages.rules import Rules
from daemon.core.passages.traces import Moment
from daemon.core.values import Quality, Verdict
from daemon.drawing.charts import LEFT, RIGHT, WIDTH, similarities
from daemon.drawing.trace import Portrait, Trace
from daemon.drawing.words import STATES, VERDICTS, clock, count, reason
from daemon.pages import svg

FACES = (
    ("first", "first good frame"),
    ("decided", "deciding frame"),
    ("most", "nearest frame"),
    ("least", "farthest frame"),
    ("aside", "set aside"),
)
"""The portraits of a trace, and what they are called."""


def section(trace: Trace, rules: Rules, first_s: float, budget: int) -> str:
    """A passage with a chart of about `budget` frames."""
    chart, drawn, scale = similarities(trace, rules, first_s, budget)
    chips = " ".join(chip(decision) for decision in trace.decisions) or '<span class="chip gathering">… no answer</span>'
    data = _data(trace, drawn, first_s, scale)
    said = "Point at the chart, or go through its frames with the arrow keys."
    figure = (
        f'<figure><div class="chart" tabindex="0" role="group" aria-label="Frames of passage {trace.passage}">{chart}'
        f'<script type="application/json">{data}</script></div><output class="readout" aria-live="polite">{said}</output></figure>'
    )
    faces = _faces(trace, first_s)
    return (
        f'<h3 id="passage-{trace.passage}">#{trace.passage} {chips}</h3><p>{escape(_story(trace, first_s, rules))}</p>'
        f'<div class="passage{"" if faces else " bare"}">{figure}{faces}</div>'
    )


def chip(decision: Decision) -> str:
    """A decision in a word, with its sign and its colour."""
    state = VERDICTS[decision.verdict]
    sign, word = STATES[state]
    named = f": {decision.person}" if decision.person is not None else ""
    return f'<span class="chip {state}">{sign} {word}{escape(named)}</span>'


def _story(trace: Trace, first_s: float, rules: Rules) -> str:
    """A passage in sentences."""
    moments = trace.moments
    poor = Counter(moment.quality for moment in moments if moment.quality is not Quality.OK)
    reasons = ", ".join(f"{number} {quality.value.replace('_', ' ')}" for quality, number in poor.most_common())
    bad = f", {poor.total()} too poor to be scored ({reasons})" if poor else ""
    looks = sum(moment.looked for moment in moments)
    said = [
        f"Seen from {clock(moments[0].at_s - first_s)} to {clock(moments[-1].at_s - first_s)} in {count(len(moments), 'frame')}{bad}. "
        f"The gate searched {('never', 'once')[looks] if looks < 2 else f'{looks:,} times'}."
    ]
    aside = sum(moment.aside for moment in moments)
    if aside:
        said.append(f"{count(aside, 'frame')} did not look like the same face and {'was' if aside == 1 else 'were'} set aside.")
    by_number = {moment.number: moment for moment in moments}
    for decision in trace.decisions:
        said.append(_how(decision, by_number.get(decision.number), first_s, rules))
    if not trace.decisions:
        good = max(moment.good for moment in moments)
        said.append(f"{count(good, 'good frame')}, and no answer came of it.")
    return " ".join(said)


def _how(decision: Decision, moment: Moment | None, first_s: float, rules: Rules) -> str:
    word = STATES[VERDICTS[decision.verdict]][1]
    named = f" as {decision.person}" if decision.person is not None and decision.verdict is Verdict.ACCEPT else ""
    after = f" on {count(moment.good, 'good frame')}" if moment is not None else ""
    left = ", when the face had left" if moment is not None and moment.ruling is None else ""
    said = f"{word.capitalize()}{named} at {clock(decision.at_s - first_s)}{after}{left}: {reason(decision.reason.value)}."
    if decision.similarity is None or rules.threshold is None:
        return said
    apart = decision.similarity - rules.threshold
    near = f" Similarity {written(decision.similarity)}, {abs(apart):.3f} {'above' if apart >= 0 else 'below'} the threshold"
    match = moment.fused if moment is not None else None
    if match is None or match.rival <= -1 or not isfinite(match.rival):
        return f"{said}{near}."
    return f"{said}{near}; the next nearest person had {written(match.rival)}."


def _faces(trace: Trace, first_s: float) -> str:
    """A few faces with what their frames say; each frame once."""
    shown: dict[int, tuple[Portrait, list[str], bool]] = {}
    for name, words in FACES:
        portrait = trace.portraits.get(name)
        if portrait is not None:
            kept = shown.setdefault(portrait.moment.number, (portrait, [], False))
            shown[portrait.moment.number] = (kept[0], [*kept[1], words], kept[2] or name == "decided")
    figures = "".join(_face(*entry, trace, first_s) for _, entry in sorted(shown.items()))
    return f'<div class="faces">{figures}</div>' if figures else ""


def _face(portrait: Portrait, words: list[str], decisive: bool, trace: Trace, first_s: float) -> str:
    moment = portrait.moment
    told = (
        f"{moment.single.person or 'nobody'} {written(moment.single.similarity)}"
        if moment.single
        else moment.quality.value.replace("_", " ")
    )
    said = f"frame {moment.number}, {clock(moment.at_s - first_s)}"
    verdicts = [VERDICTS[decision.verdict] for decision in trace.decisions if decision.number == moment.number]
    kind = f' class="decision {verdicts[-1]}"' if decisive and verdicts else ""
    return (
        f'<figure{kind}><img alt="Face of passage {trace.passage}, {said}" width="112" height="112" src="{source(portrait)}">'
        f"<figcaption><b>{escape(' · '.join(words))}</b><br>{said}<br>alone: {escape(told)}</figcaption></figure>"
    )


def source(portrait: Portrait) -> str:
    """A portrait as the address of an image."""
    return f"data:image/jpeg;base64,{b64encode(portrait.jpeg).decode()}"


def _data(trace: Trace, drawn: Sequence[int], first_s: float, scale: svg.Scale) -> str:
    """What the frames of a chart say when they are pointed at, as JSON that cannot end a <script>."""
    people: dict[str, int] = {}
    reasons = [quality.value.replace("_", " ") for quality in Quality]
    decided = {decision.number for decision in trace.decisions}
    rows = []
    for place in drawn:
        m = trace.moments[place]
        fused, single = m.fused, m.single
        rows.append(
            [
                m.number,
                round(m.at_s - first_s, 3),
                people.setdefault(fused.person, len(people)) if fused is not None and fused.person is not None else -1,
                _short(fused.similarity) if fused is not None else None,
                _short(fused.rival) if fused is not None else None,
                _short(single.similarity) if single is not None else None,
                people.setdefault(single.person, len(people)) if single is not None and single.person is not None else -1,
                m.good,
                list(Quality).index(m.quality),
                m.looked + 2 * m.aside + 4 * (m.number in decided),
            ]
        )
    found = {
        "left": LEFT,
        "right": WIDTH - RIGHT,
        "from": scale.low,
        "to": scale.high,
        "people": list(people),
        "reasons": reasons,
        "rows": rows,
    }
    return msgspec.json.encode(found).decode().replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _short(value: float) -> float | None:
    return round(value, 3) if isfinite(value) else None


def written(value: float | None, sign: str = "") -> str:
    """A similarity, or a difference of two with `sign` "+"."""
    return "–" if value is None else f"{value:{sign}.3f}".replace("-", "−")
