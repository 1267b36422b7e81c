"""Who should walk past a gate next, so that it can be calibrated, and whether there is enough."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
import numpy.typing as npt

from daemon.core.site import LEAST_PEOPLE, Passing, Site, SiteError, judge

STRANGER = "stranger"
STRANGERS = 3
"""So many strangers are asked for before anybody walks twice."""


@dataclass(frozen=True, slots=True)
class Resemblance:
    """Who of the enrolled people a walk looks most like, and how much; and how much like the person whose walk it is said to be."""

    nearest: str | None
    similarity: float
    own: float | None


def stranger(number: int) -> str:
    """The name of the stranger with this number. It has a blank, which no person's id has."""
    return f"{STRANGER} {number}"


def is_stranger(person: str) -> bool:
    """Whether this is the name of a stranger."""
    return person.startswith(f"{STRANGER} ")


def walked(passings: Sequence[Passing]) -> Counter[str]:
    """How many walks there are of each person, and of strangers together."""
    return Counter(STRANGER if is_stranger(passing.person) else passing.person for passing in passings)


def next_walker(enrolled: Sequence[str], passings: Sequence[Passing]) -> str:
    """Who should walk past now: an id, or STRANGER. Everybody enrolled once, then strangers, then who has walked least."""
    done = walked(passings)
    waiting = [person for person in enrolled if not done[person]]
    if waiting:
        return waiting[0]
    if done[STRANGER] < STRANGERS or not enrolled:
        return STRANGER
    return min((*enrolled, STRANGER), key=lambda person: done[person])


def whose(looks: npt.NDArray[np.float32], vectors: Mapping[str, npt.NDArray[np.float32]], person: str) -> Resemblance:
    """What the walk with these fused vectors, float32 [looks, D], looks like among everybody's templates, float32 [K, D]."""
    found = {one: float((looks @ known.T).max()) for one, known in vectors.items() if len(known)}
    nearest = max(found, key=lambda one: found[one], default=None)
    return Resemblance(nearest, found[nearest] if nearest is not None else -1.0, found.get(person))


def name_of_stranger(looks: npt.NDArray[np.float32], passings: Sequence[Passing], twin: float) -> str:
    """The name for a stranger's walk: that of an earlier stranger whose last look was `twin` alike, else a new one."""
    known = [passing for passing in passings if is_stranger(passing.person)]
    same = next((passing.person for passing in known if float(passing.looks[-1] @ looks[-1]) >= twin), None)
    return same or stranger(1 + max((int(passing.person.split()[-1]) for passing in known), default=0))


def judged(passings: Sequence[Passing], vectors: Mapping[str, npt.NDArray[np.float32]], target_fpir: float) -> Site | str:
    """What a gate's threshold would be by these walks, or in words what is missing."""
    if not passings:
        return f"nobody has walked past yet; {LEAST_PEOPLE} people, enrolled or walking, are the least"
    try:
        return judge(passings, vectors, target_fpir)
    except SiteError as error:
        return str(error)


def wanted(target_fpir: float) -> int:
    """How many people should walk past, so that the threshold need not be higher than the most alike pair asks for (`site.beyond`)."""
    return max(LEAST_PEOPLE, ceil(1 / target_fpir) - 1)
