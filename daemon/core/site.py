"""The threshold of one gate, from passages recorded there. Under one camera, light and resolution strangers look more alike than in
photos."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log

import numpy as np
import numpy.typing as npt

from daemon.core.counts import persons

LEAST_PEOPLE = 4
LOCKED_OUT = 0.1
"""A pair does not count if it is so alike that its threshold would lock out this share of the rightful passages. Twins, or one person under
two ids, must not lock out everybody else."""
IGNORED = 0.05
"""This share of all pairs, and one more, may be left out like that. If there are more, the camera or the model cannot tell people apart."""
ABOVE = 0.005
"""The threshold is at least this far above the most alike pair that counts."""


@dataclass(frozen=True, slots=True)
class Passing:
    """One recorded passage: whose it was, and the fused vectors that the gate looked at, float32 [looks, D], looks >= 1."""

    person: str
    looks: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two people at one gate, and the highest similarity of either's passages to the other's templates."""

    a: str
    b: str
    similarity: float


@dataclass(frozen=True, slots=True)
class Site:
    """What a gate's own recordings say: the threshold; the similarity that all but a tenth of the rightful passages reach (`limit`); the
    pairs that count, and those that do not; and the similarity of each rightful passage to its person, lowest first (`own`)."""

    threshold: float
    limit: float
    people: int
    passages: int
    pairs: tuple[Pair, ...]
    ignored: tuple[Pair, ...]
    own: tuple[float, ...]


class SiteError(ValueError):
    """There is too little data to judge by; the text says what is missing."""


def beyond(people: int, target_fpir: float) -> float:
    """How far above the most alike pair the threshold lies, as a share of the way to the rightful passages, when `people` were recorded.

    The most alike of n people bound a stranger's chance only at 1 in n + 1. The share is what is missing from there to the target, in
    orders of magnitude. With as many people as the target asks for, nothing is missing.
    """
    return min(1.0, max(0.0, 1 - log(people + 1) / log(1 / target_fpir)))


def judge(passings: Sequence[Passing], templates: Mapping[str, npt.NDArray[np.float32]], target_fpir: float) -> Site:
    """The threshold of a gate from labelled passages and everybody's templates, float32 [K, D] each. `target_fpir` (between 0 and 1) is the
    share of strangers' passages that may be recognised as somebody. Raises SiteError."""
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
        raise SiteError(
            f"{persons(len(people))}: too few to measure how alike strangers are here; record at least {LEAST_PEOPLE}, better thirty"
        )
    if not own:
        raise SiteError(
            "no enrolled person walks past, and without rightful passages a threshold could lock everybody out; record enrolled people"
        )
    limit = float(np.quantile(own, LOCKED_OUT))
    pairs = sorted((Pair(a, b, similarity) for (a, b), similarity in nearest.items()), key=lambda pair: -pair.similarity)
    counted = [pair for pair in pairs if pair.similarity + ABOVE <= limit]
    ignored = pairs[: len(pairs) - len(counted)]
    if len(ignored) > 1 + IGNORED * len(pairs):
        worst = ", ".join(f"{pair.a} and {pair.b}" for pair in ignored[:3])
        raise SiteError(
            f"people as alike here as two passages of one person: {len(ignored)} in {len(pairs)} pairs ({worst} …); "
            "check the camera and the ids"
        )
    if not counted:
        raise SiteError("every pair of people was left out, so there is nothing to judge by; record more people")
    nearest_pair = counted[0].similarity
    walkers = len({passing.person for passing in passings})
    threshold = nearest_pair + max(ABOVE, beyond(walkers, target_fpir) * (limit - nearest_pair))
    return Site(threshold, limit, len(people), len(passings), tuple(counted), tuple(ignored), tuple(sorted(own)))
