"""Figures and thresholds as tables for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from daemon.core.bundle import Calibration, Figure
from daemon.core.counts import persons


def figures(measured: Sequence[Figure], title: str) -> Table:
    """One row a figure, with its 95 % interval."""
    table = Table("figure", "value", "95 % interval", title=title)
    for figure in measured:
        value = "not resolvable" if figure.value is None else f"{figure.value:.4f}"
        interval = "" if figure.low is None or figure.high is None else f"{figure.low:.4f} … {figure.high:.4f}"
        table.add_row(figure.name, value, interval)
    return table


def calibration(measured: Calibration) -> Table:
    """τ by gallery size (rows) and FPIR (columns), as the daemon uses it."""
    fpirs = sorted({cell.fpir for cell in measured.table}, reverse=True)
    of = "passages" if measured.passages else "crops"
    title = f"similarity threshold by gallery size and FPIR ({of} of {persons(measured.identities)})"
    table = Table("gallery", *(f"{fpir:g}" for fpir in fpirs), title=title)
    for gallery in sorted({cell.gallery for cell in measured.table}):
        row = {cell.fpir: cell.threshold for cell in measured.table if cell.gallery == gallery}
        table.add_row(str(gallery), *(_three(row[fpir]) for fpir in fpirs))
    return table


def _three(threshold: float | None) -> str:
    return "–" if threshold is None else f"{threshold:.3f}"
