"""What pairs of people who look like one person do to thresholds. Nobody is left out for it: that would be to guess in favour of a looser
gate. A person decides."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from daemon.core.bundle import Cell
from daemon.core.counts import counted
from trainer.clean import pairs
from trainer.clean.pairs import Ints, Pair, Vectors

GALLERY, FPIR = 20, 0.01
"""The cell of the table that is told."""


def warning(vectors: Vectors, names: Sequence[str], cells_of: Callable[[NDArray[np.float64]], list[Cell]]) -> str | None:
    """A sentence about the pairs among n people, one crop each (unit vectors [n, d]), that look like one person, and about the threshold
    with and without them; None if there are none. `cells_of` makes the thresholds from similarities [k, k]."""
    sound = np.flatnonzero(np.isfinite(vectors).all(axis=1))
    people = pairs.of_people(vectors[sound], sound, len(vectors))
    found = [pair for pair in people.pairs if pair.false_share <= pairs.SURE]
    if not found:
        return None
    similarity = np.asarray(vectors @ vectors.T, np.float64)
    rest = _without(found, len(vectors))
    first = found[0]
    said = (
        f"{counted(len(found), 'pair')} of people look{'s' if len(found) == 1 else ''} like one person (similarity >= "
        f"{min(pair.similarity for pair in found):.3f}; the first: {names[first.a]} and {names[first.b]})"
    )
    both = _told(cells_of(similarity), cells_of(similarity[np.ix_(rest, rest)]))
    if both is not None:
        cell, threshold = both
        where = f"the threshold of single photos at N = {cell.gallery} and FPIR {cell.fpir:g}"
        said += f": {where} is {cell.threshold:.3f} with them and {threshold:.3f} without them"
    return f"{said}. They are kept, which is the strict side; look at them with `ostiary-train clean`"


def _told(with_them: Sequence[Cell], without: Sequence[Cell]) -> tuple[Cell, float] | None:
    """The cell of GALLERY and FPIR, or of the next looser rate that both tables resolve, and its threshold in the second table."""
    for cell, other in sorted(zip(with_them, without, strict=True), key=lambda both: both[0].fpir):
        if cell.gallery == GALLERY and cell.fpir >= FPIR and cell.threshold is not None and other.threshold is not None:
            return cell, other.threshold
    return None


def _without(found: Sequence[Pair], people: int) -> Ints:
    """Everybody but as few people as leave no pair: the one in most pairs goes first, of two alike the second."""
    left, gone = list(found), set[int]()
    while left:
        count = np.bincount([who for pair in left for who in (pair.a, pair.b)])
        who = len(count) - 1 - int(np.argmax(count[::-1]))
        gone.add(who)
        left = [pair for pair in left if who not in (pair.a, pair.b)]
    return np.array([who for who in range(people) if who not in gone], np.int64)
