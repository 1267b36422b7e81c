"""One passage on the page: its story in sentences, its chart, a few of its faces, and what each frame says when it is pointed at."""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from markupsafe import Markup

from daemon.core.passages.gatekeeper import Decision
from daemon.core.passages.rules import Rules
from daemon.core.values import Quality
from daemon.drawing.charts import LEFT, RIGHT, Chart, similarities
from daemon.drawing.story import story
from daemon.drawing.trace import Portrait, Trace
from daemon.drawing.words import STATES, VERDICTS, clock, quality, similarity

FACES = (
    ("first", "first good frame"),
    ("decided", "deciding frame"),
    ("most", "nearest frame"),
    ("least", "farthest frame"),
    ("aside", "set aside"),
)
"""The portraits of a trace, and what they are called."""


@dataclass(frozen=True, slots=True)
class Chip:
    """A decision in a word, with its sign; `kind` is its colour's CSS class."""

    kind: str
    sign: str
    words: str


@dataclass(frozen=True, slots=True)
class Face:
    """A portrait of one frame: `image` is its address, `kind` the CSS class of the verdict that was decided on it (or empty), `words`
    what it shows, `frame` its number and time, `alone` what it says alone."""

    image: str
    kind: str
    words: str
    frame: str
    alone: str


@dataclass(frozen=True, slots=True)
class Section:
    """A passage as the page shows it. `frames` is what its frames say, for the script."""

    passage: int
    chips: Sequence[Chip]
    story: str
    charts: Sequence[Markup]
    frames: dict[str, object]
    faces: Sequence[Face]


def section(trace: Trace, rules: Rules, first_s: float, budget: int) -> Section:
    """A passage with a chart of about `budget` frames, and one of half as many for a phone. Times count from `first_s`."""
    wide = similarities(trace, rules, first_s, budget, "wide")
    narrow = similarities(trace, rules, first_s, budget // 2, "narrow")
    return Section(
        trace.passage,
        [chip(decision) for decision in trace.decisions] or [Chip("gathering", "…", "no answer")],
        story(trace, first_s, rules),
        [wide.svg, narrow.svg],
        _frames(trace, wide, first_s),
        _faces(trace, first_s),
    )


def chip(decision: Decision) -> Chip:
    """A decision in a word."""
    state = VERDICTS[decision.verdict]
    sign, word = STATES[state]
    return Chip(state, sign, f"{word}: {decision.person}" if decision.person is not None else word)


def address(portrait: Portrait) -> str:
    """A portrait as the address of an image."""
    return f"data:image/jpeg;base64,{b64encode(portrait.jpeg).decode()}"


def _faces(trace: Trace, first_s: float) -> list[Face]:
    """A few faces in the order of their frames, each frame once."""
    portraits: dict[int, Portrait] = {}
    words: dict[int, list[str]] = {}
    for name, meaning in FACES:
        portrait = trace.portraits.get(name)
        if portrait is not None:
            portraits.setdefault(portrait.moment.number, portrait)
            words.setdefault(portrait.moment.number, []).append(meaning)
    return [_face(portrait, words[number], trace, first_s) for number, portrait in sorted(portraits.items())]


def _face(portrait: Portrait, words: Sequence[str], trace: Trace, first_s: float) -> Face:
    moment = portrait.moment
    decided = trace.portraits.get("decided")
    verdicts = [VERDICTS[decision.verdict] for decision in trace.decisions if decision.number == moment.number]
    return Face(
        address(portrait),
        verdicts[-1] if verdicts and decided is not None and decided.moment.number == moment.number else "",
        " · ".join(words),
        f"frame {moment.number}, {clock(moment.at_s - first_s)}",
        f"{moment.single.person or 'nobody'} {similarity(moment.single.similarity)}" if moment.single else quality(moment.quality),
    )


def _frames(trace: Trace, chart: Chart, first_s: float) -> dict[str, object]:
    """What the frames of a chart say when they are pointed at; replay.js reads the rows by place."""
    people: dict[str, int] = {}
    decided = {decision.number for decision in trace.decisions}
    rows = []
    for place in chart.drawn:
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
    return {
        "left": LEFT,
        "margin": RIGHT,
        "from": chart.from_s,
        "to": chart.to_s,
        "people": list(people),
        "reasons": [quality(one) for one in Quality],
        "rows": rows,
    }


def _short(value: float) -> float | None:
    return round(value, 3) if isfinite(value) else None
