"""Figures and thresholds as tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from daemon.core.bundle import Calibration, Figure
from daemon.core.counts import persons
from trainer import terminal
from trainer.reports.classes import Classes
from trainer.reports.words import spoken
from trainer.terminal import safe


def figures(measured: Sequence[Figure], title: str) -> Table:
    """One row a figure, with its 95 % interval."""
    table = terminal.table("figure", "value", "95 % interval", title=title)
    for figure in measured:
        value = "not resolvable" if figure.value is None else f"{figure.value:.4f}"
        interval = "" if figure.low is None or figure.high is None else f"{figure.low:.4f} … {figure.high:.4f}"
        table.add_row(safe(spoken(figure.name)), value, interval)
    return table


def classes(found: Classes, on: str) -> Table:
    """The mean distances between few classes as a square, or the closest people of many."""
    if not found.table:
        table = terminal.table("closest", "", "mean distance", title=f"most alike on {on}")
        for couple in found.closest:
            table.add_row(safe(couple.a), safe(couple.b), f"{couple.distance:.3f}")
        return table
    table = terminal.table("", *found.people, title=f"mean distance of two pictures on {on}")
    for person, row in zip(found.people, found.table, strict=True):
        table.add_row(safe(person), *("–" if value is None else f"{value:.2f}" for value in row))
    return table


def calibration(measured: Calibration) -> Table:
    """τ by gallery size (rows) and FPIR (columns), as the daemon uses it."""
    fpirs = sorted({cell.fpir for cell in measured.table}, reverse=True)
    of = "passages" if measured.passages else "crops"
    title = f"similarity threshold by gallery size and FPIR ({of} of {persons(measured.identities)})"
    table = terminal.table("gallery", *(f"{fpir:g}" for fpir in fpirs), title=title)
    for gallery in sorted({cell.gallery for cell in measured.table}):
        row = {cell.fpir: cell.threshold for cell in measured.table if cell.gallery == gallery}
        table.add_row(str(gallery), *(_three(row[fpir]) for fpir in fpirs))
    return table


def _three(threshold: float | None) -> str:
    return "–" if threshold is None else f"{threshold:.3f}"
