"""Training curves from the lines of history.jsonl, panel by panel."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from trainer.reports.drawing import MUTED, PALETTE, drawn, figure_of, legend

# A stage, its epochs and values; a label and its stages.
Piece = tuple[str, Sequence[float], Sequence[float]]
Series = tuple[str, Sequence[Piece]]


@dataclass(frozen=True, slots=True)
class Panel:
    """Training curves that share a unit: `values` are (key of history.jsonl, label), drawn `scale` times as large."""

    name: str
    title: str
    unit: str
    values: tuple[tuple[str, str], ...]
    scale: float = 1.0
    log: bool = False


PANELS = (
    Panel("loss", "Loss", "loss", (("loss", "loss"),)),
    Panel("tar", "Recognised on val people (TAR)", "per cent", (("tar_1e2", "at FMR 1 %"), ("tar", "at FMR 0.1 %")), 100),
    Panel("eer", "Equal error rate on val people", "per cent", (("eer", "EER"),), 100),
    Panel("auc", "Area under the ROC on val people", "AUC", (("auc", "AUC"),)),
    Panel("rate", "Learning rate", "learning rate", (("rate", "rate"),), log=True),
    Panel("shares", "Triplets by difficulty", "per cent", (("easy", "easy"), ("semi_hard", "semi-hard"), ("hard", "hard")), 100),
    Panel("distances", "Mean distance of two pictures", "distance (0 … 2)", (("same", "one person"), ("other", "two people"))),
)


def training(history: Sequence[Mapping[str, object]]) -> list[tuple[str, Markup]]:
    """(title, drawing) of each panel that the lines of history.jsonl have values for."""
    found = ((panel, [(label, pieces(history, key, panel.scale)) for key, label in panel.values]) for panel in PANELS)
    there = [(panel, [(label, parts) for label, parts in series if parts]) for panel, series in found]
    return [(panel.title, lines(panel.name, panel.title, panel.unit, series, panel.log)) for panel, series in there if series]


def lines(name: str, title: str, unit: str, series: Sequence[Series], log: bool = False, marked: bool = True) -> Markup:
    """Curves over epochs, all in one unit; stages are not joined. `marked` shows where the stages of the first series begin."""
    return drawn(name, title)(_lines)(unit, series, log, marked)


def pieces(history: Sequence[Mapping[str, object]], key: str, scale: float) -> Sequence[Piece]:
    """The values of one key by stage, over epochs counted through all stages, from step 0 where the run noted it. Lines without the key
    (warnings, verdicts) are skipped, and so are values that are not finite."""
    found: list[tuple[str, list[float], list[float]]] = []
    before = last = 0.0
    first = next((str(line["stage"]) for line in history if line.get("stage")), "")
    for index, line in enumerate(history):
        value = line.get(key)
        number = float(value) if isinstance(value, (int, float)) else math.nan
        epoch = line.get("epoch", 0.0 if line.get("step") == 0 else None if math.isnan(number) else index + 1)
        if not isinstance(epoch, (int, float)) or not math.isfinite(epoch):
            continue
        stage = str(line.get("stage") or first)
        if not found or found[-1][0] != stage or before + epoch < last:
            found.append((stage, [], []))
            before = last
        last = before + epoch
        if math.isfinite(number):
            found[-1][1].append(last)
            found[-1][2].append(scale * number)
    return [piece for piece in found if piece[1]]


def _lines(unit: str, series: Sequence[Series], log: bool, marked: bool) -> Figure:
    figure, axes = figure_of("epochs", unit, (5.0, 2.7))
    for number, (label, parts) in enumerate(series):
        colour, dashes = PALETTE[number % len(PALETTE)], ("-", "--", ":")[number // len(PALETTE) % 3]
        for index, (_, epochs, values) in enumerate(parts):
            marker = "o" if len(values) < 30 else ""
            axes.plot(epochs, values, dashes, marker=marker, color=colour, markersize=3, label=label if index == 0 else None)
    stages = series[0][1] if marked else ()
    for stage, epochs, _ in stages[1:]:
        axes.axvline(epochs[0], color=MUTED, linewidth=0.8, linestyle=(0, (2, 2)))
        late = epochs[0] > (stages[0][1][0] + stages[-1][1][-1]) / 2
        place, side = (epochs[0], 1.01), "right" if late else "left"
        axes.annotate(f"from here: {stage}", place, xycoords=("data", "axes fraction"), ha=side, va="bottom", fontsize=8.5, color=MUTED)
    if log:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0e}".replace("e-0", "e-")))
        axes.yaxis.set_minor_locator(NullLocator())
    if len(series) > 1:
        legend(axes, columns=3, above=1.08 if len(stages) > 1 else 1.0)
    return figure
