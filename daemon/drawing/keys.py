"""The keys of the timeline and the charts: what their lines, marks and colours mean."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from daemon.core.passages.rules import HOLD
from daemon.core.passages.traces import State
from daemon.drawing.stretches import TALL
from daemon.drawing.words import STATES
from daemon.pages import svg

LINE = ((0, 7), (26, 7))


@dataclass(frozen=True, slots=True)
class Entry:
    """A sample of what is drawn, and what it means."""

    sample: Markup
    words: str


def timeline_key() -> Sequence[Entry]:
    """The states of a lane."""
    return [
        Entry(svg.sample(svg.box(0, 7 - TALL[state] / 3, 26, TALL[state] / 1.5, f"state {state}")), " ".join(STATES[state]))
        for state in State
    ]


def chart_key() -> Sequence[Entry]:
    """The lines and marks of a passage's chart."""
    drawn = (
        (svg.line(*LINE, "best"), "fused similarity to the passage's person"),
        (svg.line(*LINE, "best other"), "where somebody else was nearer"),
        (svg.line(*LINE, "rival"), "fused similarity to the next nearest person"),
        (svg.dots([(13, 7)], 3, "single"), "one frame alone"),
        (svg.dots([(13, 7)], 3, "single other"), "one frame alone, nearest to somebody else"),
        (svg.diamonds([(13, 7)], 5, "look"), "the gate searched"),
        (svg.diamonds([(13, 7)], 5, "aside"), "set aside: not this face"),
        (svg.line(*LINE, "threshold"), "threshold τ: accepted from here up"),
        (svg.line(*LINE, "hold"), f"once recognised, somebody stays recognised down to here (τ − {HOLD:g})"),
        (svg.marks((5, 11, 17, 23), 2, 12, "poor-tick"), "a poor frame, by reason"),
    )
    return [Entry(svg.sample(one), words) for one, words in drawn]
