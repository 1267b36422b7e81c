"""The most alike pairs, found block by block so that twenty thousand pictures need no matrix of all their pairs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from trainer.clean import chance
from trainer.clean.chance import Cautious, Counts, Strangers

BLOCK = 1 << 22
"""Similarities computed at once."""
MOST = 2_000
"""Pairs kept of each kind: nobody looks at more."""
SEVERAL = 3
"""From so many pictures on a person's mean vector is steadier, and strangers' mean vectors are more alike than single pictures are."""
SHARE, SURE = 0.2, 0.05
"""Pairs are listed down to where a fifth of them must be expected to be strangers, and a few more to look at: one for FEW people. Where a
twentieth must, they are taken for one person: in as many sets without any doubles such a pair is found all the same."""
FEW, MOST_TO_LOOK_AT = 50, 20
PICTURE_PX = 16
SAME_PICTURE = 0.9
"""Correlation of two pictures, grey and PICTURE_PX wide, from which they are nearly the same. Copies that were compressed, made smaller,
brightened, mirrored or moved by 2 px correlate by more; of strangers' pairs that are alike, one in a thousand does (LOG.md)."""

Vectors = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two people, or two crops, by their numbers. `rate`: the share of pairs of strangers that are at least so alike; `false_share`: the
    expected share of strangers among all pairs down to this one."""

    a: int
    b: int
    similarity: float
    rate: float
    false_share: float


@dataclass(frozen=True, slots=True)
class People:
    """The pairs of people that look like one person, the surest first; how many pairs were compared; `left_out`: how many more are as
    alike, beyond MOST; and what is known of strangers, for pairs of people with 0, 1 or 2 of them having SEVERAL pictures."""

    pairs: tuple[Pair, ...]
    compared: int
    left_out: int
    strangers: tuple[Cautious, Cautious, Cautious]


def means(vectors: Vectors, person: Ints, people: int) -> Vectors:
    """Each person's mean vector, of unit length [people, d]; NaN for a person without vectors."""
    total = np.zeros((people, vectors.shape[1]), np.float32)
    np.add.at(total, person, vectors)
    length = np.linalg.norm(total, axis=1, keepdims=True)
    return np.asarray(np.divide(total, length, out=np.full_like(total, np.nan), where=length > 0), np.float32)


def of_people(vectors: Vectors, person: Ints, people: int, card: Strangers | None = None) -> People:
    """Pairs of people whose mean vectors are so alike that chance hardly explains it. `vectors` [n, d] are of unit length."""
    mean = means(vectors, person, people)
    there = np.flatnonzero(np.isfinite(mean).all(axis=1))
    several = (np.bincount(person, minlength=people) >= SEVERAL).astype(np.int64)[there]
    mean = mean[there]
    counts = np.zeros((3, chance.BINS), np.int64)
    for rows, block, upper in _blocks(mean):
        kind = several[rows][:, None] + several[None, :]
        for which in range(3):
            counts[which] += chance.counted(block[upper & (kind == which)])
    strangers = _strangers(counts, card)
    compared = int(counts.sum())
    # No pair beyond this can be listed: even if MOST were found, too many of them would be strangers. (Or a few to look at.)
    floors = np.array([known.at(min(0.4, MOST / max(1, compared))) for known in strangers])
    best, found = _Best(), 0
    for rows, block, upper in _blocks(mean):
        kind = several[rows][:, None] + several[None, :]
        row, column = np.nonzero(upper & (block >= floors[kind]))
        similarity, kinds = block[row, column], kind[row, column]
        found += len(row)
        # Kinds are compared by how far they are above their own floor until their rates are known.
        best.add(there[rows][row], there[column], similarity, kinds, similarity - floors[kinds])
    rates = np.array([strangers[kind].rate(float(similarity)) for similarity, kind in zip(best.similarity, best.kind, strict=True)])
    order = np.lexsort((best.b, best.a, -best.similarity, rates))
    share = chance.false_share(rates[order], compared)
    shown = max(int(np.sum(share <= SHARE)), min(len(order), MOST_TO_LOOK_AT, len(there) // FEW))
    listed = tuple(
        Pair(int(best.a[at]), int(best.b[at]), float(best.similarity[at]), float(rates[at]), float(part))
        for at, part in zip(order[:shown], share, strict=False)
    )
    return People(listed, compared, found - len(best.a) if len(listed) == MOST else 0, strangers)


def _strangers(counts: Counts, card: Strangers | None) -> tuple[Cautious, Cautious, Cautious]:
    """What is known of strangers for each kind of pairs: these people's own table where they are enough, and the card's."""
    everybody = chance.of_counts(counts.sum(axis=0))
    few, mixed, many = (
        Cautious(tuple(table for table in (chance.of_counts(own) or everybody, card) if table is not None)) for own in counts
    )
    return few, mixed, many


def same_pictures(pixels: NDArray[np.uint8], vectors: Vectors, person: Ints, strangers: Cautious) -> tuple[list[Pair], int]:
    """Pairs of crops of two people that show nearly the same picture: the vectors are more alike than one pair of strangers among all these
    is expected to be, and the pictures, or one and the mirror image of the other, correlate. Also how many more there are beyond MOST."""
    compared = len(vectors) * (len(vectors) - 1) // 2
    floor = strangers.at(min(0.4, 1 / max(1, compared)))
    small = _small(pixels)
    mirrored = small.reshape(-1, PICTURE_PX, PICTURE_PX)[:, :, ::-1].reshape(small.shape)
    best, found = _Best(), 0
    for rows, block, upper in _blocks(vectors):
        row, column = np.nonzero(upper & (block >= floor) & (person[rows][:, None] != person[None, :]))
        own = rows[row]
        for at in range(0, len(row), BLOCK // 1024):
            part = slice(at, at + BLOCK // 1024)
            a, b = own[part], column[part]
            correlation = np.maximum(np.sum(small[a] * small[b], axis=1), np.sum(small[a] * mirrored[b], axis=1))
            same = correlation >= SAME_PICTURE
            found += int(same.sum())
            best.add(a[same], b[same], block[row[part], b][same], np.zeros(int(same.sum()), np.int64), correlation[same])
    order = np.argsort(-best.rank, kind="stable")
    pairs = [Pair(int(best.a[at]), int(best.b[at]), float(best.similarity[at]), 0.0, 0.0) for at in order]
    return pairs, found - len(pairs)


def identical(marks: NDArray[np.uint64], person: Ints) -> list[tuple[int, int]]:
    """Pairs of crops of two people with the very same pixels: each person's first one with that of the first person."""
    order = np.argsort(marks, kind="stable")
    found: list[tuple[int, int]] = []
    for same in np.split(order, np.flatnonzero(np.diff(marks[order])) + 1):
        firsts = same[np.sort(np.unique(person[same], return_index=True)[1])]
        found += [(int(firsts[0]), int(other)) for other in firsts[1:]]
    return sorted(found)


class _Best:
    """The MOST pairs of the highest rank so far."""

    def __init__(self) -> None:
        self.a = self.b = self.kind = np.empty(0, np.int64)
        self.similarity = self.rank = np.empty(0, np.float32)

    def add(self, a: Ints, b: Ints, similarity: Vectors, kind: Ints, rank: NDArray[np.floating]) -> None:
        """More pairs [k]."""
        if len(rank) > MOST:
            chosen = np.argpartition(-rank, MOST)[:MOST]
            a, b, similarity, kind, rank = a[chosen], b[chosen], similarity[chosen], kind[chosen], rank[chosen]
        ranks = np.concatenate([self.rank, rank])
        keep = np.sort(np.argsort(-ranks, kind="stable")[:MOST])
        self.rank = ranks[keep]
        self.a, self.b, self.kind = (np.concatenate(both)[keep] for both in ((self.a, a), (self.b, b), (self.kind, kind)))
        self.similarity = np.concatenate([self.similarity, similarity])[keep]


def _blocks(vectors: Vectors) -> Iterator[tuple[Ints, Vectors, NDArray[np.bool_]]]:
    """(rows, similarities [rows, n], which of them are above the diagonal) of all pairs."""
    count = len(vectors)
    step = max(1, BLOCK // max(1, count))
    for at in range(0, count, step):
        rows = np.arange(at, min(count, at + step))
        yield rows, vectors[rows] @ vectors.T, np.arange(count)[None, :] > rows[:, None]


def _small(pixels: NDArray[np.uint8]) -> Vectors:
    """Each picture grey, PICTURE_PX wide, without its mean and of unit length: float32 [n, PICTURE_PX²]. One colour gives zeros."""
    size = (PICTURE_PX, PICTURE_PX)
    small = np.empty((len(pixels), PICTURE_PX * PICTURE_PX), np.float32)
    for row, picture in zip(small, pixels, strict=True):
        row[:] = cv2.resize(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), size, interpolation=cv2.INTER_AREA).ravel()
    small -= small.mean(axis=1, keepdims=True)
    length = np.linalg.norm(small, axis=1, keepdims=True)
    return np.asarray(np.divide(small, length, out=np.zeros_like(small), where=length > 0), np.float32)
