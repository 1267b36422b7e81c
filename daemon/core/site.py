"""The threshold of one gate, from who passed there: one camera, one light and one resolution make strangers more alike than photos are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log

import numpy as np
import numpy.typing as npt

LEAST_PEOPLE = 4
LOCKED_OUT = 0.1
"""A pair so alike that its threshold would lock out this share of the rightful passages does not count: twins, or one person under two ids,
must not lock out everybody else."""
IGNORED = 0.05
"""Of all pairs only so many, and one, may be left out like that: else it is the camera or the model that cannot tell people apart."""
ABOVE = 0.005
"""How far the threshold lies above the nearest pair that counts, at the least."""


@dataclass(frozen=True, slots=True)
class Passing:
    """Who walked past, and what the gate looked at then: fused vectors, float32 [looks, D], looks >= 1."""

    person: str
    looks: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two people of one gate, and the nearest that either's passages came to the other's templates."""

    a: str
    b: str
    similarity: float


@dataclass(frozen=True, slots=True)
class Site:
    """What a gate's own recordings say: the threshold, the similarity that all but a tenth of the rightful passages reach (`limit`), the
    pairs that count and those that do not, and how near the people came to themselves in their passages, worst first."""

    threshold: float
    limit: float
    people: int
    passages: int
    pairs: tuple[Pair, ...]
    ignored: tuple[Pair, ...]
    own: tuple[float, ...]


class SiteError(ValueError):
    """Too little to judge by; says what is missing."""


def beyond(people: int, target_fpir: float) -> float:
    """How far above the nearest pair the threshold lies where so many people walk past, as a share of the way to the rightful passages.

    The most alike of n people bound a stranger's chance only at 1 in n + 1. What is missing from there to the target, in orders of
    magnitude, is the share; with as many people as the target asks for nothing is left to guess.
    """
    return min(1.0, max(0.0, 1 - log(people + 1) / log(1 / target_fpir)))


def judge(passings: Sequence[Passing], templates: Mapping[str, npt.NDArray[np.float32]], target_fpir: float) -> Site:
    """The threshold of a gate from labelled passages and everybody's templates, float32 [K, D] each; `target_fpir` (between 0 and 1) is the
    share of strangers' passages that may find somebody. Raises SiteError."""
    people = sorted({p.person for p in passings} | templates.keys())
    nearest: dict[tuple[str, str], float] = {}
    own: list[float] = []
    for passing in passings:
        for person, known in templates.items():
            if not len(known):
                continue
            similarity = float((passing.looks @ known.T).max())
            if person == passing.person:
                own.append(similarity)
            else:
                a, b = sorted((person, passing.person))
                nearest[a, b] = max(similarity, nearest.get((a, b), -1.0))
    if len(people) < LEAST_PEOPLE:
        raise SiteError(f"{len(people)} people are too few to say how alike strangers are here; {LEAST_PEOPLE} at least, better thirty")
    if not own:
        raise SiteError("nobody who is enrolled walks past: without rightful passages a threshold could lock everybody out")
    limit = float(np.quantile(own, LOCKED_OUT))
    pairs = sorted((Pair(a, b, similarity) for (a, b), similarity in nearest.items()), key=lambda pair: -pair.similarity)
    counted = [pair for pair in pairs if pair.similarity + ABOVE <= limit]
    ignored = pairs[: len(pairs) - len(counted)]
    if len(ignored) > 1 + IGNORED * len(pairs):
        worst = ", ".join(f"{pair.a} and {pair.b}" for pair in ignored[:3])
        raise SiteError(f"{len(ignored)} of {len(pairs)} pairs of people are as alike here as people are to themselves ({worst} …)")
    if not counted:
        raise SiteError("no pair of people is left to judge by; record more people")
    nearest_pair = counted[0].similarity
    walkers = len({passing.person for passing in passings})
    threshold = nearest_pair + max(ABOVE, beyond(walkers, target_fpir) * (limit - nearest_pair))
    return Site(threshold, limit, len(people), len(passings), tuple(counted), tuple(ignored), tuple(sorted(own)))
