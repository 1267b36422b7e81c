"""Drawing for pages: matplotlib figures as SVG elements without pixels and without fixed colours.

Colours are CSS variables (--ink, --muted, --grid, --page, --c0 … --c5), so that one drawing serves light, dark and paper.
The same numbers give the same text.
"""

from __future__ import annotations

import functools
import io
import math
import re
from collections.abc import Callable
from typing import ParamSpec

import matplotlib
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

P = ParamSpec("P")

# Okabe and Ito's colours, told apart by colour-blind readers, in the order in which they are used.
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
INK, MUTED, GRID, PAGE = "#1b1b1c", "#6b6b6c", "#d9d9da", "#fdfdfc"
VARIABLES = {INK: "--ink", MUTED: "--muted", GRID: "--grid", PAGE: "--page"} | {
    colour: f"--c{index}" for index, colour in enumerate(PALETTE)
}
SIZE_IN = (5.0, 3.5)
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "ostiary",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.parse_math": False,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "lines.linewidth": 1.6,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "figure.facecolor": "none",
    "patch.linewidth": 0,
}


def drawn(name: str, title: str) -> Callable[[Callable[P, Figure]], Callable[P, Markup]]:
    """A decorator: the function's figure becomes one <svg> element, labelled `title`, with ids that begin with `name`."""

    def of(draw: Callable[P, Figure]) -> Callable[P, Markup]:
        @functools.wraps(draw)
        def svg(*values: P.args, **named: P.kwargs) -> Markup:
            with matplotlib.rc_context(STYLE):
                return _svg(draw(*values, **named), name, title)

        return svg

    return of


def percent(share: float) -> str:
    """A share in per cent, with as many digits as it needs: 10 %, 0.1 %, 0.0001 %."""
    digits = f"{100 * share:.10f}".rstrip("0").rstrip(".") if share else "0"
    return f"{digits}\N{NO-BREAK SPACE}%"


def figure_of(x: str, y: str, size: tuple[float, float] = SIZE_IN) -> tuple[Figure, Axes]:
    """A figure of one pair of axes, labelled."""
    figure = Figure(size, layout="constrained")
    axes = figure.add_subplot()
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    return figure, axes


def rates(axes: Axes, least: float, axis: str) -> None:
    """A logarithmic axis of rates. `least` is the lowest rate that the data can show; the axis goes on to a third of it, shaded."""
    left = least / 3
    if axis == "x":
        axes.set_xscale("log")
        axes.set_xlim(left, 1)
        axes.axvspan(left, least, color=MUTED, alpha=0.18)
        axes.annotate(
            "not resolvable", (math.sqrt(left * least), 0.97), xycoords=("data", "axes fraction"),
            rotation=90, ha="center", va="top", fontsize=8.5, color=MUTED,
        )  # fmt: skip
    else:
        axes.set_yscale("log")
        axes.set_ylim(left, 1)
        axes.axhspan(left, least, color=MUTED, alpha=0.18)
    decades(axes, axis)


def decades(axes: Axes, which: str) -> None:
    """Ticks of a logarithmic axis of shares in per cent."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_formatter(FuncFormatter(lambda value, _: percent(value).split()[0] if value <= 1 else ""))
    axis.set_minor_locator(NullLocator())


def legend(axes: Axes, columns: int = 2, above: float = 1.0) -> None:
    """A legend above the plot, where it covers nothing."""
    axes.legend(loc="lower left", bbox_to_anchor=(0, above), ncols=columns, borderaxespad=0.2, handlelength=1.5, columnspacing=1.2)


def shares(axes: Axes) -> None:
    """A linear axis of shares from none to all."""
    axes.set_ylim(0, 1.04)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: percent(round(value, 6)).split()[0]))


def _svg(figure: Figure, name: str, title: str) -> Markup:
    """The <svg> element: labelled, with ids of its own, with variables for colours, and without links to other addresses."""
    out = io.StringIO()
    FigureCanvasSVG(figure).print_svg(out, metadata={"Date": None})
    text = out.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r' xmlns(:xlink)?="[^"]*"', "", text).replace("xlink:href", "href")
    text = re.sub(r' id="[a-z0-9]+_\d+"', "", text)
    text = re.sub(r'((?: id="|url\(#|href="#))', rf"\1{name}-", text)
    for colour, variable in VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    text = re.sub(r'<svg [^>]*viewBox="([^"]*)"[^>]*>', rf'<svg viewBox="\1" role="img" aria-label="{escape(title)}">', text, count=1)
    return Markup(text.strip())
