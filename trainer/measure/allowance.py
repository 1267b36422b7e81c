"""What a number of people allows: which thresholds and which figures can be had, known before any work is done."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from daemon.core.counts import counted, persons
from daemon.core.reach import percent, told
from trainer.measure import evaluate, metrics
from trainer.measure.calibrate import FPIRS, GALLERIES, RISK, allowed_errors, resolves_fmr


def resolvable(people: int) -> frozenset[tuple[int, float]]:
    """The cells (gallery, FPIR) of `calibrate.cells` that get a threshold from so many people."""
    return frozenset(
        (gallery, fpir) for gallery in GALLERIES for fpir in FPIRS if allowed_errors(max(0, people - gallery), fpir) is not None
    )


def strictest_fmr(people: int) -> float | None:
    """The strictest rate of pairs that gets a threshold from so many people, one crop of each; None without one."""
    return min((fmr for fmr in metrics.FMRS if resolves_fmr(people * (people - 1) // 2, fmr)), default=None)


def people_for(fpir: float) -> int:
    """How many people the first threshold of this FPIR takes: one is enrolled, and all others are strangers who stay out."""
    return 1 + math.ceil(math.log(RISK) / math.log1p(-fpir))


def of_calibration(people: int, kind: str = "calibration") -> str:
    """One line: the thresholds that so many people of a kind can give."""
    cells = resolvable(people)
    reach = {fpir: max(gallery for gallery, of in cells if of == fpir) for fpir in FPIRS if any(of == fpir for _, of in cells)}
    return told(people, kind, reach, strictest_fmr(people), {fpir: people_for(fpir) for fpir in FPIRS})


def of_val(person: NDArray[np.int64]) -> str:
    """One line: the figures that crops of these persons [n] can show."""
    each = np.bincount(person) if len(person) else np.zeros(0, np.int64)
    each = each[each > 0]
    own = int((each * (each - 1) // 2).sum())
    other = len(person) * (len(person) - 1) // 2 - own
    who = f"{persons(len(each), 'val')}, {counted(len(person), 'crop')}"
    if not own or not other:
        return f"{who}: no figure can be had, because there are no pairs of {'one person' if not own else 'two people'}"
    told_fmrs = [fmr for fmr in metrics.FMRS if other * fmr >= 1]
    untold = [fmr for fmr in metrics.FMRS if fmr not in told_fmrs and fmr >= 1e-3]
    tar = f"TAR at FMR down to {percent(min(told_fmrs))}" if told_fmrs else "no TAR"
    no_tar = f", none at {percent(max(untold))}, which takes {round(1 / max(untold)):,} pairs" if untold else ""
    able = int((each > 1).sum())
    sizes = [size for size in evaluate.GALLERIES if size <= able]
    searches = f"open-set searches among up to {max(sizes)}" if sizes else f"no open-set searches ({persons(able)} with two crops)"
    pairs = f"{counted(own, 'pair')} of one person and {counted(other, 'pair')} of two"
    return f"{who} ({pairs}): {tar}{no_tar}; {searches}"
