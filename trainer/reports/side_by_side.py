"""Finished runs side by side: what differs in their recipes, what they cost, and how good they are.

A run counts as better only where 95 % intervals do not overlap: the best of many val figures is mostly luck.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich.table import Table as TerminalTable

from daemon.core.bundle import Figure
from daemon.pages import template
from daemon.pages.parts import Drawing, Table
from trainer import terminal
from trainer.reports import curves
from trainer.reports.summaries import CompareError, Summary, compare
from trainer.reports.words import spoken
from trainer.terminal import safe

__all__ = ["CompareError", "Row", "Summary", "better", "compare", "cost", "page", "rows", "table"]

UNKNOWN = "–"
LEGEND = "* better: its 95 % interval lies beyond the others'"
LOWER = ("eer", "fnir", "misidentified")
HIGHER = ("accuracy", "auc", "tar", "rank", "one-shot")
VAL = {"auc": "AUC", "eer": "EER", "tar_1e2": "TAR at FMR 1 %", "tar": "TAR at FMR 0.1 %"}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the comparison: a cell for each run, and the place of the run that is clearly better, if there is one."""

    section: str
    name: str
    cells: tuple[str, ...]
    better: int | None = None


def rows(runs: Sequence[Summary]) -> list[Row]:
    """The whole comparison; of the recipes only the keys that differ."""
    keys = dict.fromkeys(key for run in runs for key in run.recipe)
    recipe = [Row("recipe", key, tuple(_text(run.recipe.get(key)) for run in runs)) for key in keys]
    data = tuple(run.data_digest[:12] if run.data_digest else UNKNOWN for run in runs)
    costs = [cost(run.history) for run in runs]
    spent = [Row("training", name, tuple(made[name] for made in costs)) for name in costs[0]]
    val = [Row("val, weights kept", label, tuple(_share(run.kept.get(key)) for run in runs)) for key, label in VAL.items()]
    return [
        *(row for row in recipe if len(set(row.cells)) > 1),
        Row("data", "digest", data),
        *spent,
        *(row for row in val if set(row.cells) != {UNKNOWN}),
        *_figures(runs),
    ]


def cost(history: Sequence[Mapping[str, object]]) -> dict[str, str]:
    """Epochs, crops seen, CPU minutes and elapsed minutes, over all stages."""
    last = [part[-1] for part in _stages(history)]
    epochs, crops, cpu_s, elapsed_s = (_sum(line.get(key) for line in last) for key in ("epoch", "crops", "cpu_s", "elapsed_s"))
    return {
        "epochs": UNKNOWN if epochs is None else f"{epochs:.4g}",
        "crops seen": UNKNOWN if crops is None else f"{crops:,.0f}",
        "CPU minutes": UNKNOWN if cpu_s is None else f"{cpu_s / 60:.1f}",
        "minutes": UNKNOWN if elapsed_s is None else f"{elapsed_s / 60:.1f}",
    }


def better(figures: Sequence[Figure | None]) -> int | None:
    """The place of the figure that is better than all others of the same name: its interval lies beyond all of theirs. None if there is no
    such figure, if one has no interval, or if the figure has no better and worse."""
    there = [(index, figure) for index, figure in enumerate(figures) if figure is not None and figure.value is not None]
    if len(there) < 2 or any(figure.low is None or figure.high is None for _, figure in there):
        return None
    name = there[0][1].name
    sign = -1 if name.startswith(LOWER) else 1 if name.startswith(HIGHER) else 0
    ends = {index: sorted(sign * (end or 0) for end in (figure.low, figure.high)) for index, figure in there}
    best = max(ends, key=lambda index: ends[index][0])
    return best if sign and all(ends[best][0] > other[1] for index, other in ends.items() if index != best) else None


def table(runs: Sequence[Summary]) -> TerminalTable:
    """The comparison for a terminal; the better figure is bold with a star."""
    made = terminal.table("", *(run.name for run in runs), caption=LEGEND)
    section = None
    for row in rows(runs):
        if section not in (None, row.section):
            made.add_section()
        if section != row.section:
            made.add_row(safe(row.section, "bold"))
        section = row.section
        cells = (safe(f"{cell} *", "bold green") if index == row.better else safe(cell) for index, cell in enumerate(row.cells))
        made.add_row(safe(row.name), *cells)
    return made


def page(runs: Sequence[Summary]) -> str:
    """The comparison as one self-contained HTML page, with the val curves of all runs over one another."""
    lines, head = rows(runs), ["", *(run.name for run in runs)]
    sections = dict.fromkeys(line.section for line in lines)
    return template.render(
        "trainer.reports",
        "side_by_side.html",
        legend=LEGEND,
        drawings=[one for panel in curves.PANELS for key, _ in panel.values if key in VAL for one in _curves(runs, panel, key)],
        tables=[
            (section[:1].upper() + section[1:], Table(head, [[line.name, *_starred(line)] for line in lines if line.section == section]))
            for section in sections
        ],
    )


def _starred(row: Row) -> list[str]:
    return [f"{cell} *" if index == row.better else cell for index, cell in enumerate(row.cells)]


def _curves(runs: Sequence[Summary], panel: curves.Panel, key: str) -> list[Drawing]:
    """The runs' curves of one figure over one another, if any run has it."""
    series = [(run.name, curves.pieces(run.history, key, panel.scale)) for run in runs]
    there = [one for one in series if one[1]]
    return [Drawing(curves.lines(key, VAL[key], panel.unit, there, marked=False), f"{VAL[key]} on val people")] if there else []


def _figures(runs: Sequence[Summary]) -> list[Row]:
    keys = dict.fromkeys((figure.on, figure.name) for run in runs for figure in run.figures)
    found = []
    for on, name in keys:
        ours = [next((figure for figure in run.figures if (figure.on, figure.name) == (on, name)), None) for run in runs]
        found.append(Row(on, spoken(name), tuple(_figure(figure) for figure in ours), better(ours)))
    return found


def _stages(history: Sequence[Mapping[str, object]]) -> list[list[Mapping[str, object]]]:
    """The lines of validations by stage. A stage ends where the name changes or the steps start again."""
    parts: list[list[Mapping[str, object]]] = []
    for line in history:
        if "epoch" not in line:
            continue
        before = parts[-1][-1] if parts else None
        if before is None or before.get("stage") != line.get("stage") or _number(before.get("step")) >= _number(line.get("step")):
            parts.append([])
        parts[-1].append(line)
    return parts


def _sum(values: Iterable[object]) -> float | None:
    there = [float(value) for value in values if isinstance(value, (int, float))]
    return sum(there) if there else None


def _number(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) else 0.0


def _text(value: object) -> str:
    return UNKNOWN if value is None else value if isinstance(value, str) else json.dumps(value, default=str)


def _share(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.4f}"


def _figure(figure: Figure | None) -> str:
    if figure is None:
        return UNKNOWN
    if figure.value is None:
        return "not resolvable"
    ends = "" if figure.low is None or figure.high is None else f" ({figure.low:.3f}–{figure.high:.3f})"
    return f"{figure.value:.4f}{ends}"
