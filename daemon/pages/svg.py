"""Drawing charts as SVG elements in text: scales, ticks, lines and marks. Colours are the CSS variables of the page (style.py).

The same numbers give the same text. What is given as text is escaped here.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Scale:
    """A straight scale from values to places in a drawing. A span of nothing lies at its start."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        span = self.high - self.low
        return self.start + (value - self.low) / span * (self.end - self.start) if span > 0 else self.start

    def ticks(self, most: int) -> list[float]:
        """Round values within the scale, `most` at the most."""
        span = self.high - self.low
        if not span > 0 or most < 1:
            return [self.low]
        power = 10.0 ** math.floor(math.log10(span / most))
        step = next(power * factor for factor in (1, 2, 5, 10, 20) if span / (power * factor) <= most)
        first = math.ceil(self.low / step - 1e-9)
        return [round(step * n, 9) for n in range(first, math.floor(self.high / step + 1e-9) + 1)]


def drawing(width: float, height: float, label: str, *parts: str, kind: str = "") -> str:
    """An <svg> element that fills its place; `label` is what it says to those who do not see it."""
    named = f' class="{kind}"' if kind else ""
    return f'<svg{named} viewBox="0 0 {place(width)} {place(height)}" role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'


def line(a: Point, b: Point, kind: str) -> str:
    """A straight line of a CSS class."""
    return f'<line class="{kind}" x1="{place(a[0])}" y1="{place(a[1])}" x2="{place(b[0])}" y2="{place(b[1])}"/>'


def path(points: Iterable[Point], kind: str) -> str:
    """A line through points, of a CSS class; nothing through none. A single one is a dot."""
    found = [f"{place(x)} {place(y)}" for x, y in points]
    if not found:
        return ""
    return f'<path class="{kind}" d="M{"L".join(found if len(found) > 1 else found * 2)}"/>'


def box(x: float, y: float, width: float, height: float, kind: str, radius: float = 0) -> str:
    """A rectangle of a CSS class."""
    corner = f' rx="{place(radius)}"' if radius else ""
    return f'<rect class="{kind}" x="{place(x)}" y="{place(y)}" width="{place(width)}" height="{place(height)}"{corner}/>'


def boxes(found: Iterable[tuple[float, float]], top: float, height: float, kind: str) -> str:
    """Rectangles of one height and CSS class, each by its (left, right), as one element; nothing for none."""
    drawn = "".join(f"M{place(x)} {place(top)}H{place(end)}v{place(height)}H{place(x)}z" for x, end in found)
    return f'<path class="{kind}" d="{drawn}"/>' if drawn else ""


def dots(points: Iterable[Point], radius: float, kind: str) -> str:
    """Dots of one CSS class as one element, so that thousands stay a small file; nothing for none."""
    size, back = place(2 * radius), place(-2 * radius)
    r = place(radius)
    one = f"a{r} {r} 0 1 1 {size} 0a{r} {r} 0 1 1 {back} 0"
    drawn = "".join(f"M{place(x - radius)} {place(y)}{one}" for x, y in points)
    return f'<path class="{kind}" d="{drawn}"/>' if drawn else ""


def diamonds(points: Iterable[Point], radius: float, kind: str) -> str:
    """Diamonds, as `dots`."""
    r, back = place(radius), place(-radius)
    drawn = "".join(f"M{place(x)} {place(y - radius)}l{r} {r} {back} {r} {back} {back}z" for x, y in points)
    return f'<path class="{kind}" d="{drawn}"/>' if drawn else ""


def marks(places: Iterable[float], top: float, bottom: float, kind: str) -> str:
    """Upright strokes at these places, as one element."""
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


def thinned(values: Sequence[float], most: int, always: Callable[[int], bool] = lambda place: False) -> list[int]:
    """Which places of a series to draw so that about `most` stay: of each stretch the lowest and the highest value, the ends, and those
    that are `always` drawn. NaN is drawn only where it is asked for."""
    count = len(values)
    if count <= most:
        return list(range(count))
    kept = {0, count - 1} | {place for place in range(count) if always(place)}
    stretches = max(1, most // 2)
    for number in range(stretches):
        part = [i for i in range(number * count // stretches, (number + 1) * count // stretches) if not math.isnan(values[i])]
        if part:
            kept |= {min(part, key=values.__getitem__), max(part, key=values.__getitem__)}
    return sorted(kept)
