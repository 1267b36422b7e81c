"""The report's plots: each turns numbers of report.json into one <svg> element."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator
from numpy.typing import NDArray

from daemon.core.bundle import Calibration
from daemon.core.counts import counted, persons
from trainer.reports.drawing import MUTED, PAGE, PALETTE, decades, drawn, figure_of, legend, percent, rates, shares
from trainer.reports.measure import Map
from trainer.reports.searches import Cmc, OpenSet
from trainer.reports.verification import Before, Gate, Verification
from trainer.reports.words import rate

GENUINE, IMPOSTOR, THRESHOLD = PALETTE[0], PALETTE[1], PALETTE[2]


@drawn("roc", "ROC: share of genuine pairs recognised against the false match rate")
def roc(found: Verification) -> Figure:
    """TAR against FMR on a logarithmic axis, with band, operating points, and shading over rates that the data cannot show."""
    figure, axes = figure_of("false match rate (FMR), %", "genuine pairs recognised (TAR), %")
    least = 1 / found.impostor
    fmr, tar, low, high = _resolved(found)
    axes.fill_between(fmr, low, high, step="post", color=GENUINE, alpha=0.2)
    axes.step(fmr, tar, where="post", color=GENUINE)
    for point in found.operating:
        if point.fmr is not None and point.tar is not None:
            axes.plot(point.target, point.tar, "o", color=GENUINE, markersize=4.5)
            axes.annotate(rate(point.tar), (point.target, point.tar), (-5, 5), textcoords="offset points", ha="right", fontsize=9)
    rates(axes, least, "x")
    shares(axes)
    return figure


def _resolved(found: Verification) -> NDArray[np.float64]:
    """FMR, TAR, low and high [4, points] where at least one impostor pair is accepted."""
    rows = np.array([found.roc.fmr, found.roc.tar, found.roc.low, found.roc.high])
    return rows[:, rows[0] > 0]


def before_after(found: Verification, before: Before) -> list[tuple[str, Markup]]:
    """(caption, drawing) of the ROC before and after the training: at the strict rates of a gate, and as articles draw it."""
    return [
        ("ROC before and after, FMR logarithmic", _before_after_strict(found, before)),
        ("ROC before and after, both linear", _before_after_linear(found, before)),
    ]


@drawn("roc-before-strict", "ROC before and after the training, the false match rate logarithmic")
def _before_after_strict(found: Verification, before: Before) -> Figure:
    figure, axes = figure_of("false match rate (FMR), %", "genuine pairs recognised (TAR), %")
    rates(axes, 1 / found.impostor, "x")
    _both(axes, found, before)
    shares(axes)
    legend(axes)
    return figure


@drawn("roc-before-linear", "ROC before and after the training")
def _before_after_linear(found: Verification, before: Before) -> Figure:
    figure, axes = figure_of("false match rate (FMR), %", "genuine pairs recognised (TAR), %")
    axes.plot((0, 1), (0, 1), color=MUTED, linewidth=0.8, linestyle=(0, (2, 2)))
    _both(axes, found, before)
    shares(axes)
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(axes.yaxis.get_major_formatter())
    legend(axes)
    return figure


def _both(axes: Axes, found: Verification, before: Before) -> None:
    for label, fmr, tar, colour, dashes in (
        ("before training", before.fmr, before.tar, IMPOSTOR, "--"),
        ("after training", found.roc.fmr, found.roc.tar, GENUINE, "-"),
    ):
        # No logarithm of 0: the curve begins at the first false match.
        start, style = (np.searchsorted(fmr, 0, side="right"), "steps-post") if axes.get_xscale() == "log" else (0, "default")
        axes.plot(fmr[start:], tar[start:], dashes, drawstyle=style, color=colour, label=label)


@drawn("det", "DET: false non-match rate against false match rate, both logarithmic")
def det(found: Verification) -> Figure:
    """FNMR against FMR, both logarithmic, with band, operating points and the equal error rate."""
    figure, axes = figure_of("false match rate (FMR), %", "false non-match rate (FNMR), %")
    least, fewest = 1 / found.impostor, 1 / found.genuine
    fmr, *rest = _resolved(found)
    floor = fewest / 10
    missed, high, low = (np.maximum(1 - values, floor) for values in rest)
    axes.fill_between(fmr, low, high, step="post", color=GENUINE, alpha=0.2)
    axes.step(fmr, missed, where="post", color=GENUINE)
    for point in found.operating:
        if point.fmr is not None and point.tar is not None:
            axes.plot(point.target, max(1 - point.tar, floor), "o", color=GENUINE, markersize=4.5)
    equal = next(one.value for one in found.figures if one.name == "eer")
    if equal:
        axes.plot(equal, equal, "D", color=IMPOSTOR, markersize=5)
        axes.annotate(f"EER {rate(equal)}", (equal, equal), (7, 3), textcoords="offset points", fontsize=9, color=IMPOSTOR)
    rates(axes, least, "x")
    rates(axes, fewest, "y")
    return figure


@drawn("histogram", "Histogram of similarities of genuine and impostor pairs")
def histogram(found: Verification, gate: Gate) -> Figure:
    """How alike genuine and impostor pairs are, per cent of each kind per bin, logarithmic, with the thresholds."""
    figure, axes = figure_of("similarity", "pairs of the kind per bin, %")
    edges = np.array(found.histogram.edges)
    kinds = (("two people", found.histogram.impostor, IMPOSTOR), ("same person", found.histogram.genuine, GENUINE))
    least = 1.0
    for label, counts, colour in kinds:
        share = np.array(counts) / max(1, sum(counts))
        least = min(least, float(share[share > 0].min(initial=1)))
        axes.stairs(share, edges, fill=True, color=colour, alpha=0.3, label=label)
        axes.stairs(share, edges, color=colour, linewidth=1.2)
    axes.set_yscale("log")
    axes.set_ylim(least / 2, 30)
    decades(axes, "y")
    axes.set_yticks([10.0**power for power in range(math.ceil(math.log10(least / 2)), 1)])
    marks = [(point.target, point.threshold) for point in found.operating if point.threshold is not None]
    for target, threshold in marks:
        axes.axvline(threshold, color=MUTED, linewidth=0.8, linestyle=(0, (2, 2)))
        # Thresholds get closer with stricter targets; the label of the last one stands on its free side.
        side, shift = ("left", 2) if target == marks[-1][0] else ("right", -2)
        axes.annotate(
            percent(target), (threshold, 1), (shift, -2), xycoords=("data", "axes fraction"),
            textcoords="offset points", rotation=90, ha=side, va="top", fontsize=8, color=MUTED,
        )  # fmt: skip
    if gate.threshold is not None:
        label = f"threshold for {persons(gate.people)}, FPIR {percent(gate.fpir)}"
        # The line ends below the row of FMR labels, one of which is often close.
        axes.vlines(gate.threshold, least / 2, 1, color=THRESHOLD, linewidth=1.6, label=label)
    legend(axes)
    return figure


@drawn("open-set", "Open-set search: rightful searches missed against strangers accepted")
def open_set(curves: Sequence[OpenSet]) -> Figure:
    """FNIR against FPIR for each gallery size, as far as its strangers resolve it."""
    figure, axes = figure_of("false positive identification rate (FPIR), %", "rightful searches missed (FNIR), %")
    for colour, curve in zip(PALETTE, curves, strict=False):
        axes.fill_between(curve.fpir, curve.low, curve.high, color=colour, alpha=0.15)
        axes.plot(curve.fpir, curve.fnir, color=colour, label=f"{persons(curve.gallery)}, {counted(curve.strangers, 'stranger')}")
        for target in (1e-1, 1e-2, 1e-3):
            if target in curve.fpir:
                axes.plot(target, curve.fnir[curve.fpir.index(target)], "o", color=colour, markersize=4.5)
    rates(axes, min(1 / curve.strangers for curve in curves), "x")
    shares(axes)
    legend(axes)
    return figure


@drawn("thresholds", "Threshold of the card against the number of templates")
def thresholds(calibration: Calibration) -> Figure:
    """The card's τ(N), a line for each FPIR; above them, crosses where the calibration people cannot resolve it."""
    figure, axes = figure_of("templates in the gallery (N)", "similarity threshold τ")
    known = [cell.threshold for cell in calibration.table if cell.threshold is not None]
    fpirs = sorted({cell.fpir for cell in calibration.table}, reverse=True)
    step = 0.05 * (max(known, default=1.0) - min(known, default=0.0) + 0.2)
    top = max(known, default=1.0) + step
    unresolved = [fpir for fpir in fpirs if any(cell.threshold is None for cell in calibration.table if cell.fpir == fpir)]
    for colour, fpir in zip(PALETTE, fpirs, strict=False):
        row = [cell for cell in calibration.table if cell.fpir == fpir]
        there = [(cell.gallery, cell.threshold) for cell in row if cell.threshold is not None]
        null = [cell.gallery for cell in row if cell.threshold is None]
        # A line without a point still has its entry in the legend.
        axes.plot([at for at, _ in there], [tau for _, tau in there], "o-", color=colour, markersize=3.5, label=f"FPIR {percent(fpir)}")
        height = top + step * (2.5 + unresolved.index(fpir)) if null else top
        axes.plot(null, [height] * len(null), "x", color=colour, markersize=4.5)
    if unresolved:
        axes.axhspan(top, top + step * (3 + len(unresolved)), color=MUTED, alpha=0.18)
        axes.annotate("not resolvable", (0.01, top + 0.4 * step), xycoords=("axes fraction", "data"), fontsize=8.5, color=MUTED)
        axes.set_yticks([tick for tick in axes.get_yticks() if min(known, default=0.0) - step <= tick < top])
    axes.set_xscale("log")
    axes.margins(y=0.02)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    legend(axes, 3)
    return figure


@drawn("cmc", "CMC: rightful searches answered within the first ranks")
def cmc(found: Cmc) -> Figure:
    """Share of rightful searches answered within the first ranks."""
    figure, axes = figure_of("rank", "rightful searches answered, %")
    ranks = np.arange(1, len(found.share) + 1)
    axes.fill_between(ranks, found.low, found.high, color=GENUINE, alpha=0.2)
    axes.plot(ranks, found.share, "o-", color=GENUINE, markersize=3.5)
    shares(axes)
    axes.set_xticks([rank for rank in (1, 5, 10, 15, 20) if rank <= len(ranks)])
    for rank in (1, 5):
        if rank <= len(ranks):
            share = found.share[rank - 1]
            axes.annotate(rate(share), (rank, share), (4, -12), textcoords="offset points", fontsize=9)
    return figure


def _apart(places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Places [n, 2] of labels; labels that overlap are pushed apart step by step."""
    least = 0.07 * float(np.ptp(places, axis=0).max())
    for _ in range(50):
        between = places[:, None] - places[None, :]
        distance = np.linalg.norm(between, axis=2)
        near = (distance < least) & (distance > 0)
        way = between / np.where(distance > 0, distance, 1)[..., None]
        places = places + 0.25 * np.sum(np.where(near[..., None], way * (least - distance)[..., None], 0), axis=1)
    return places


@drawn("map", "Embeddings of the people with most crops on two principal components")
def embedding_map(found: Map) -> Figure:
    """Crops on the first two principal components; people are numbered from 1 in their order."""
    across, up = (f"component {index + 1} ({rate(share)} of the variance)" for index, share in enumerate(found.explained))
    figure, axes = figure_of(across, up, (5.0, 4.2))
    for index, cloud in enumerate(found.people):
        axes.plot(
            cloud.x,
            cloud.y,
            "o^"[index // len(PALETTE) % 2],
            color=PALETTE[index % len(PALETTE)],
            markersize=3.5,
            alpha=0.6,
            markeredgewidth=0,
        )
    middles = _apart(np.array([[np.mean(cloud.x), np.mean(cloud.y)] for cloud in found.people]))
    for index, (x, y) in enumerate(middles):
        box = {"boxstyle": "circle,pad=0.15", "facecolor": PAGE, "edgecolor": PALETTE[index % len(PALETTE)], "linewidth": 1.2}
        axes.annotate(str(index + 1), (x, y), ha="center", va="center", fontsize=8, bbox=box)
    axes.set_aspect("equal", "datalim")
    return figure
