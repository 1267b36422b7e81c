"""Drawing charts as SVG elements in text: scales, ticks, lines and marks. Colours are the CSS variables of the page (page.css).

The same numbers give the same text. What is given as text is escaped here, so a whole drawing is `Markup` and goes onto a page as it is.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape

from markupsafe import Markup

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Scale:
    """A linear scale from values to places in a drawing. Where `low` is `high`, every value lies at `start`."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        span = self.high - self.low
        return self.start + (value - self.low) / span * (self.end - self.start) if span > 0 else self.start

    def ticks(self, limit: int) -> list[float]:
        """Round values within the scale, at most `limit`."""
        span = self.high - self.low
        if not span > 0 or limit < 1:
            return [self.low]
        power = 10.0 ** math.floor(math.log10(span / limit))
        step = next(power * factor for factor in (1, 2, 5, 10, 20) if span / (power * factor) <= limit)
        first = math.ceil(self.low / step - 1e-9)
        return [round(step * n, 9) for n in range(first, math.floor(self.high / step + 1e-9) + 1)]


def drawing(width: float, height: float, label: str, *parts: str, kind: str = "") -> Markup:
    """An <svg> element that fills its place; `label` describes it to those who do not see it."""
    named = f' class="{kind}"' if kind else ""
    size = f"{place(width)} {place(height)}"
    return Markup(f'<svg{named} viewBox="0 0 {size}" role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>')


def sample(drawn: str) -> Markup:
    """A line or a mark of a chart, 26 wide and 14 high, as its key shows it."""
    return Markup(f'<svg viewBox="0 0 26 14" aria-hidden="true">{drawn}</svg>')


def line(a: Point, b: Point, kind: str) -> str:
    """A straight line of a CSS class."""
    return f'<line class="{kind}" x1="{place(a[0])}" y1="{place(a[1])}" x2="{place(b[0])}" y2="{place(b[1])}"/>'


def path(points: Iterable[Point], kind: str) -> str:
    """A line through points, of a CSS class. One point gives a dot, none gives an empty string."""
    found = [f"{place(x)} {place(y)}" for x, y in points]
    if not found:
        return ""
    return f'<path class="{kind}" d="M{"L".join(found if len(found) > 1 else found * 2)}"/>'


def box(x: float, y: float, width: float, height: float, kind: str, radius: float = 0) -> str:
    """A rectangle of a CSS class."""
    corner = f' rx="{place(radius)}"' if radius else ""
    return f'<rect class="{kind}" x="{place(x)}" y="{place(y)}" width="{place(width)}" height="{place(height)}"{corner}/>'


def boxes(found: Iterable[tuple[float, float]], top: float, height: float, kind: str) -> str:
    """Rectangles of one height and CSS class, each by its (left, right), as one element. None give an empty string."""
    drawn = "".join(f"M{place(x)} {place(top)}H{place(end)}v{place(height)}H{place(x)}z" for x, end in found)
    return f'<path class="{kind}" d="{drawn}"/>' if drawn else ""


def dots(points: Iterable[Point], radius: float, kind: str) -> str:
    """Dots of one CSS class as one element, so that thousands stay a small file. None give an empty string."""
    size, back = place(2 * radius), place(-2 * radius)
    r = place(radius)
    one = f"a{r} {r} 0 1 1 {size} 0a{r} {r} 0 1 1 {back} 0"
    drawn = "".join(f"M{place(x - radius)} {place(y)}{one}" for x, y in points)
    return f'<path class="{kind}" d="{drawn}"/>' if drawn else ""


def diamonds(points: Iterable[Point], radius: float, kind: str) -> str:
    """Diamonds of one CSS class as one element. None give an empty string."""
    r, back = place(radius), place(-radius)
    drawn = "".join(f"M{place(x)} {place(y - radius)}l{r} {r} {back} {r} {back} {back}z" for x, y in points)
    return f'<path class="{kind}" d="{drawn}"/>' if drawn else ""


def marks(places: Iterable[float], top: float, bottom: float, kind: str) -> str:
    """Upright strokes at these places, as one element. None give an empty string."""
    drawn = "".join(f"M{place(x)} {place(top)}V{place(bottom)}" for x in places)
    return f'<path class="{kind}" d="{drawn}"/>' if drawn else ""


def text(at: Point, words: str, kind: str, anchor: str = "start") -> str:
    """A line of text of a CSS class; `anchor` is start, middle or end."""
    fixed = f' text-anchor="{anchor}"' if anchor != "start" else ""
    return f'<text class="{kind}" x="{place(at[0])}" y="{place(at[1])}"{fixed}>{escape(words)}</text>'


def place(value: float) -> str:
    """A coordinate to a tenth, as short as it can be written."""
    text = f"{value:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


def thinned(values: Sequence[float], limit: int, always: Callable[[int], bool] = lambda place: False) -> list[int]:
    """Which places of a series to draw, so that about `limit` remain: the lowest and the highest value of each stretch, both ends, and
    the places that are `always` drawn. NaN is drawn only where `always` asks for it."""
    count = len(values)
    if count <= limit:
        return list(range(count))
    kept = {0, count - 1} | {place for place in range(count) if always(place)}
    stretches = max(1, limit // 2)
    for number in range(stretches):
        part = [i for i in range(number * count // stretches, (number + 1) * count // stretches) if not math.isnan(values[i])]
        if part:
            kept |= {min(part, key=values.__getitem__), max(part, key=values.__getitem__)}
    return sorted(kept)
