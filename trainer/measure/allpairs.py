"""Exact error rates over all pairs of many vectors in bounded memory: the 49,995,000 pairs of MNIST's 10,000 test pictures.

A first pass over the pairs counts them by the upper half of the bits of their similarity. This cuts the similarities into slices of a
few million pairs. Each slice is computed again, sorted, and walked from the highest similarity downwards. Nothing is binned or
interpolated: the counts are those of `trainer.measure.metrics`, with similarities as float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from daemon.core.faults import Fault
from trainer.measure import metrics
from trainer.measure.metrics import Distances, Floats, Operating, Similarity

POINTS = 200
SLICE = 8_000_000
"""Pairs sorted at once, 4 bytes each."""
PIECE = 1 << 18
"""Pairs of either kind walked at once, about 100 bytes each."""
BLOCK = 1 << 19
"""Similarities computed at once."""
BINS = 1 << 16
SIGN = np.uint32(1 << 31)

Float32s = NDArray[np.float32]
Counts = NDArray[np.int64]
Blocks = Callable[[], Iterator[tuple[Float32s, Float32s]]]
"""A pass over the (genuine, impostor) similarities of all pairs."""


class PairsError(Fault):
    """No rate can be measured on these pairs; `message` and `hint` are one line each."""


@dataclass(frozen=True, slots=True)
class AllPairs:
    """The figures over all pairs. `curve` float64 [points, 3] has FMR, TAR and threshold for a plot, log-spaced in FMR from a single
    impostor to all. AUC and EER use every point."""

    pairs: int
    genuine: int
    impostor: int
    auc: float
    eer: float
    operating: tuple[Operating, ...]
    curve: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Steps:
    """Distinct similarities [k], highest first, and how many pairs of each kind have them."""

    value: Float32s
    genuine: Counts
    impostor: Counts


def measure(vectors: Floats, person: Counts, similarity: Similarity = metrics.cosine, fmrs: Sequence[float] = metrics.FMRS) -> AllPairs:
    """Rates over all pairs among vectors [n, d] of persons [n]. For some of the people, give only their vectors.

    This takes about one pass over the pairs for each SLICE of them, so `similarity` must give the same answer each time. Raises
    PairsError.
    """
    blocks = partial(_blocks, *_by_person(vectors, person), similarity)
    genuine, impostor = _count(blocks)
    pairs = int(genuine.sum()), int(impostor.sum())
    if not all(pairs):
        lacking = "genuine" if not pairs[0] else "impostor"
        raise PairsError(
            f"there is no {lacking} pair among {len(vectors)} vectors", "give two people or more, with two vectors of at least one of them"
        )
    steps = (
        step
        for low, high in _ranges(genuine + impostor)
        for step in _steps(blocks, low, high, (int(genuine[low:high].sum()), int(impostor[low:high].sum())))
    )
    spaced = np.geomspace(1 / pairs[1], 1, POINTS)
    targets = np.array([*(fmr for fmr in fmrs if pairs[1] * fmr >= 1), *spaced])
    auc, eer, points = _walk(steps, *pairs, targets)
    reached = iter(points)
    operating = tuple(next(reached) if pairs[1] * fmr >= 1 else Operating(fmr, None, float("nan"), float("nan")) for fmr in fmrs)
    curve = np.unique(np.array([(point.fmr, point.tar, point.threshold) for point in reached], np.float64), axis=0)
    return AllPairs(sum(pairs), *pairs, auc, eer, operating, curve)


def distances(vectors: Floats, person: Counts) -> Distances:
    """Mean Euclidean distance within and between people over all pairs of unit vectors [n, d] of persons [n]."""
    totals, counts = np.zeros(2), np.zeros(2)
    for kinds in _blocks(*_by_person(vectors, person), metrics.cosine):
        totals += [metrics.distance(kind).sum(dtype=np.float64) for kind in kinds]
        counts += [len(kind) for kind in kinds]
    same, other = np.divide(totals, counts, out=np.full(2, np.nan), where=counts > 0)
    return Distances(float(same), float(other))


def distance_table(vectors: Floats, person: Counts) -> NDArray[np.float64]:
    """Mean Euclidean distance [people, people] between people's unit vectors [n, d], in the order of their numbers [n]. The
    diagonal is between different vectors of one person, NaN if there is only one. For few people only: it takes people² numbers."""
    vectors, person = _by_person(vectors, person)
    people, starts, sizes = np.unique(person, return_index=True, return_counts=True)
    table = np.zeros((len(people), len(people)))
    for first, own in zip(starts, sizes, strict=True):
        rows = np.arange(first, first + own)
        for part in np.array_split(rows, -(-own * len(vectors) // BLOCK)):
            apart = metrics.distance(metrics.cosine(vectors[part], vectors))
            # A vector has no distance from itself, in spite of rounding.
            apart[np.arange(len(part)), part] = 0
            table[np.searchsorted(starts, first)] += np.add.reduceat(apart.sum(axis=0, dtype=np.float64), starts)
    pairs = sizes[:, None] * sizes[None, :] - np.diag(sizes)
    mean: NDArray[np.float64] = np.divide(table, pairs, out=np.full_like(table, np.nan), where=pairs > 0)
    return mean


def _by_person(vectors: Floats, person: Counts) -> tuple[Float32s, Counts]:
    order = np.argsort(person, kind="stable")
    return np.ascontiguousarray(vectors[order], np.float32), person[order]


def _blocks(vectors: Float32s, person: Counts, similarity: Similarity) -> Iterator[tuple[Float32s, Float32s]]:
    """(genuine, impostor) similarities of all pairs of vectors sorted by person, one block of rows at a time, the same in each pass."""
    # After the last vector of its own person, a row meets only other people.
    last = np.searchsorted(person, person, "right")
    start = 0
    while start < len(vectors) - 1:
        stop = min(len(vectors), start + max(1, BLOCK // (len(vectors) - start)))
        block = np.asarray(similarity(vectors[start:stop], vectors[start:]), np.float32)
        cuts = last[start:stop] - start
        yield (
            np.concatenate([row[index + 1 : cut] for index, (row, cut) in enumerate(zip(block, cuts, strict=True))]),
            np.concatenate([row[cut:] for row, cut in zip(block, cuts, strict=True)]),
        )
        start = stop


def _count(blocks: Blocks) -> tuple[Counts, Counts]:
    """The number of (genuine, impostor) pairs for each upper half of a key, int64 [BINS] each."""
    counts = np.zeros((2, BINS), np.int64)
    for kinds in blocks():
        for count, kind in zip(counts, kinds, strict=True):
            count += np.bincount(_keys(kind) >> 16, minlength=BINS)
    low, high = (int(key) >> 16 for key in _keys(np.array([-np.inf, np.inf], np.float32)))
    if counts[:, : low + 1].any() or counts[:, high:].any():
        raise PairsError("some similarities are not finite numbers", "look for NaN in the vectors; the training may have diverged")
    return counts[0], counts[1]


def _ranges(count: Counts) -> list[tuple[int, int]]:
    """Ranges low <= bin < high, from the top down, that hold all pairs. Each has at most SLICE pairs, or one crowded bin."""
    ranges: list[tuple[int, int]] = []
    low = high = BINS
    held = 0
    for place in np.flatnonzero(count)[::-1]:
        if held and held + count[place] > SLICE:
            ranges.append((low, high))
            high, held = low, 0
        low, held = int(place), held + int(count[place])
    return [*ranges, (low, high)]


def _steps(blocks: Blocks, low: int, high: int, sizes: tuple[int, int]) -> Iterator[_Steps]:
    """Compute the pairs of one range of bins again, `sizes` of each kind, and count them in pieces."""
    floor = _values(np.array([low << 16], np.uint32))[0]
    ceiling = _values(np.array([high << 16], np.uint32))[0] if high < BINS else np.inf
    inside = (tuple(kind[(kind >= floor) & (kind < ceiling)] for kind in kinds) for kinds in blocks())
    if sum(sizes) > SLICE:
        yield _crowded(inside, low, sizes)
        return
    held = tuple(np.empty(size, np.float32) for size in sizes)
    seen = [0, 0]
    for kinds in inside:
        for which, kind in enumerate(kinds):
            if (end := seen[which] + len(kind)) > sizes[which]:
                raise _changed()
            held[which][seen[which] : end] = kind
            seen[which] = end
    if tuple(seen) != sizes:
        raise _changed()
    for kind in held:
        kind.sort()
    ends = sizes
    for edge in np.unique(np.concatenate([kind[::PIECE] for kind in held]))[::-1]:
        starts = int(np.searchsorted(held[0], edge)), int(np.searchsorted(held[1], edge))
        yield _counted(held[0][starts[0] : ends[0]], held[1][starts[1] : ends[1]])
        ends = starts


def _crowded(inside: Iterable[tuple[Float32s, ...]], place: int, sizes: tuple[int, int]) -> _Steps:
    """A bin with too many pairs to hold in memory. Its keys share their upper half, so counting the lower half counts each similarity."""
    counts = np.zeros((2, BINS), np.int64)
    for kinds in inside:
        for count, kind in zip(counts, kinds, strict=True):
            count += np.bincount(_keys(kind) & (BINS - 1), minlength=BINS)
    if tuple(counts.sum(axis=1)) != sizes:
        raise _changed()
    there = np.flatnonzero(counts.any(axis=0))[::-1]
    return _Steps(_values(((place << 16) + there).astype(np.uint32)), counts[0, there], counts[1, there])


def _changed() -> PairsError:
    return PairsError("the same pairs had other similarities in the second pass", "give a similarity without dropout or other randomness")


def _counted(genuine: Float32s, impostor: Float32s) -> _Steps:
    """Count similarities that are in rising order."""
    value = np.unique(np.concatenate([genuine, impostor]))
    counts = [np.diff(np.searchsorted(kind, value), append=len(kind))[::-1] for kind in (genuine, impostor)]
    return _Steps(value[::-1], *counts)


def _walk(slices: Iterator[_Steps], genuine: int, impostor: int, targets: Floats) -> tuple[float, float, list[Operating]]:
    """AUC, EER and the operating point of each target, from all distinct similarities, highest first."""
    allowed = np.array([metrics.allowed_impostors(impostor, target) for target in targets])
    points: dict[int, Operating] = {}
    above, wins, eer = (0, 0), 0, None
    for step in slices:
        own = above[0] + np.cumsum(np.append(0, step.genuine))
        other = above[1] + np.cumsum(np.append(0, step.impostor))
        # An impostor pair loses to the genuine pairs above it, and half to those equal to it. Doubled, so that it stays a whole number.
        wins += int(np.dot(step.impostor, own[:-1] + own[1:]))
        if eer is None and other[-1] / impostor >= 1 - own[-1] / genuine:
            eer = metrics.crossing(other / impostor, own / genuine)
        for index in np.flatnonzero((allowed >= other[0]) & (allowed < other[-1])):
            # The threshold is just above the first impostor that must stay out. Ties with it stay out too.
            place = int(np.searchsorted(other, allowed[index], "right")) - 1
            threshold = float(np.nextafter(step.value[place], np.float32(np.inf)))
            points[int(index)] = Operating(float(targets[index]), threshold, float(other[place] / impostor), float(own[place] / genuine))
        if above[1] < impostor <= other[-1]:
            place = int(np.searchsorted(other, impostor, "left"))
            for index in np.flatnonzero(allowed >= impostor):
                points[int(index)] = Operating(float(targets[index]), float(step.value[place - 1]), 1.0, float(own[place] / genuine))
        above = int(own[-1]), int(other[-1])
    assert eer is not None
    return wins / (2 * genuine * impostor), eer, [points[index] for index in range(len(targets))]


def _keys(values: Float32s) -> NDArray[np.uint32]:
    """Whole numbers in the order of the floats: their bits, with all bits flipped below zero and only the sign bit above."""
    # -0.0 + 0 is 0.0: the two are equal and must share a key.
    bits = (values + np.float32(0)).view(np.uint32)
    return np.where(bits >= SIGN, ~bits, bits | SIGN)


def _values(keys: NDArray[np.uint32]) -> Float32s:
    return np.where(keys >= SIGN, keys ^ SIGN, ~keys).view(np.float32)
