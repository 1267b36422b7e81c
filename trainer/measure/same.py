"""Whether two pictures show the same person, the question of Siamese networks, answered with a model and a threshold.

Distances are squared Euclidean distances between unit vectors, as in FaceNet (Schroff et al. 2015): d² = 2 - 2·similarity. It is 0 for the
same picture, about 2 for two people who have nothing in common, and 4 at most. A network that ends in a same-or-different head gives the
probability that the two are different in its place, 0 to 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from daemon.core.counts import counted
from daemon.core.faults import Fault
from daemon.core.file_names import PICTURES
from trainer import terminal
from trainer.measure import scoring
from trainer.measure.metrics import Floats
from trainer.measure.scoring import Scorer
from trainer.people import comparable


class SameError(Fault):
    """The pictures cannot be compared; `message` and `hint` are one line each."""


@dataclass(frozen=True, slots=True)
class Comparer:
    """What compares pictures: `read` brings files to the form that the scorer embeds. From the similarity `threshold` on two pictures count
    as one `noun` (person, digit, character); a share `fmr` of pairs of two reaches it. Without a threshold `why` says why, and nothing
    counts as one."""

    scorer: Scorer
    read: Callable[[Sequence[Path]], NDArray[np.uint8]]
    threshold: float | None
    fmr: float
    noun: str = "person"
    why: str = ""

    def similarities(self, a: Sequence[Path], b: Sequence[Path]) -> NDArray[np.float64]:
        """float64 [a, b]. Raises SameError if one is no number."""
        vectors = self.scorer.embed(self.read((*a, *b))).astype(np.float64)
        found = np.asarray(self.scorer.similarity(vectors[: len(a)], vectors[len(a) :]), np.float64)
        if not np.isfinite(found).all():
            raise SameError("the model gives similarities that are not numbers", "its training has diverged: use another model")
        return found

    def distance(self, similarity: Floats | float) -> NDArray[np.float64]:
        """d², or the probability of two different ones, of similarities of any shape."""
        alike = np.asarray(similarity, np.float64)
        return np.maximum(0.0, 2 - 2 * alike) if self.scorer.cosine else 1 / (1 + np.exp(np.clip(alike, -500, 500)))

    @property
    def limit(self) -> float | None:
        """The distance up to which two pictures count as one."""
        return None if self.threshold is None else float(self.distance(self.threshold))

    @property
    def measure(self) -> str:
        """What the distance is called."""
        return "distance d²" if self.scorer.cosine else "probability of two different ones"

    @property
    def rate(self) -> str:
        """How many pairs of two pass the threshold."""
        return f"one in {1 / self.fmr:,.0f}"


@dataclass(frozen=True, slots=True)
class Answer:
    """Two pictures compared: their `distance` and `similarity`, the similarity `threshold` from which two pictures count as the same
    person (None: it is not known), and whether these do (`same`)."""

    distance: float
    similarity: float
    threshold: float | None
    same: bool


@dataclass(frozen=True, slots=True, eq=False)
class References:
    """Pictures compared with one reference picture per person: `distances` float64 [pictures, people]; the distance `limit` up to which
    a picture passes (None: it is not known, and none passes); for every picture the `closest` person as an index, and `nearest`: that
    person's name, or None if the distance does not pass."""

    people: tuple[str, ...]
    distances: NDArray[np.float64]
    limit: float | None
    closest: NDArray[np.int64]
    nearest: tuple[str | None, ...]


def of_bundle(model: Path, detector: str = "haar", fmr: float = 1e-3) -> Comparer:
    """A bundle with its own threshold. `fmr` is the share of pairs of two people that may be called the same, one of the card's. Raises
    SameError, BundleError."""
    scorer, card = scoring.of_bundle(model)
    points = card.calibration.fmr
    point = next((point for point in points if math.isclose(point.fmr, fmr, rel_tol=1e-6)), None)
    if point is None:
        known = ", ".join(f"{point.fmr:g}" for point in points if point.threshold is not None)
        raise SameError(
            f"the card has no threshold for FMR {fmr:g}",
            f"use one that it has: {known}" if known else "calibrate with more people: the card has no thresholds",
        )
    if point.threshold is None:
        raise SameError(
            f"the card's {point.comparisons} comparisons are too few for FMR {fmr:g}",
            "use a higher FMR, or calibrate with more people",
        )
    return Comparer(scorer, comparable.faces(detector), point.threshold, fmr)


def same(by: Comparer, a: Path, b: Path) -> Answer:
    """Compare two pictures, and print the answer. Raises SameError, DataError, DetectorError."""
    similarity = float(by.similarities([a], [b])[0, 0])
    distance = float(by.distance(similarity))
    answer = Answer(distance, similarity, by.threshold, by.threshold is not None and similarity >= by.threshold)
    if by.threshold is None or by.limit is None:
        terminal.say(f"{by.measure} {distance:.4f}, similarity {similarity:.4f}")
        terminal.say(f"Whether {a.name} and {b.name} show the same {by.noun} cannot be said: there is no threshold, because {by.why}.")
        return answer
    terminal.say(f"{by.measure} {distance:.4f}, threshold {by.limit:.4f}")
    terminal.say(f"similarity  {similarity:.4f}, threshold {by.threshold:.4f}")
    verdict = f"show the same {by.noun}" if answer.same else f"cannot be called the same {by.noun}"
    terminal.say(f"{a.name} and {b.name} {verdict}; {by.rate} pairs of two different {plural(by.noun)} passes this threshold.")
    return answer


def references(by: Comparer, given: Sequence[Path], folder: Path) -> References:
    """Compare every picture with one reference picture per person. Raises SameError, DataError, DetectorError.

    `folder` holds a picture per person, named after the person, or a folder per person, whose first picture by name is used.
    """
    if not given:
        raise SameError("no pictures to compare", "give one picture or more")
    owned = owners(folder)
    people = tuple(owned)
    distances = by.distance(by.similarities([own[0] for own in owned.values()], given).T)
    closest = distances.argmin(axis=1)
    passes = [by.limit is not None and bool(row.min() <= by.limit) for row in distances]
    nearest = tuple(people[index] if near else None for index, near in zip(closest, passes, strict=True))
    return References(people, distances, by.limit, closest, nearest)


def expanded(given: Sequence[Path]) -> list[Path]:
    """Pictures as they are, and for a folder all pictures below it. Raises SameError for a folder without any."""
    found: list[Path] = []
    for path in given:
        inside = sorted(one for one in path.rglob("*") if one.suffix.lower() in PICTURES and one.is_file()) if path.is_dir() else [path]
        if not inside:
            raise SameError(f"{path} contains no pictures", f"give pictures, or folders with pictures: {', '.join(PICTURES)}")
        found += inside
    return found


def owners(folder: Path) -> dict[str, list[Path]]:
    """The pictures of every person in a folder, by name. Raises SameError."""
    if not folder.is_dir():
        raise SameError(f"{folder} is not a folder", "give a folder with a reference picture per person, named after the person")
    owned: dict[str, list[Path]] = {}
    for entry in sorted(folder.iterdir()):
        person = entry.name if entry.is_dir() else entry.stem
        own = sorted(entry.iterdir()) if entry.is_dir() else [entry]
        own = [path for path in own if path.suffix.lower() in PICTURES and path.is_file()]
        if own and person in owned:
            raise SameError(f"{folder} has {person} twice: {owned[person][0].name} and {entry.name}", "keep one of them")
        if own:
            owned[person] = own
    if not owned:
        raise SameError(f"{folder} contains no pictures", "give a folder with a reference picture per person, named after the person")
    return owned


def truth(found: References, given: Sequence[Path], folder: Path) -> NDArray[np.int64]:
    """The right person of each picture as an index, if the picture's folder is called like one of the people; else -1, and also for the
    reference pictures themselves."""
    place = {person: index for index, person in enumerate(found.people)}
    taken = {own[0].resolve() for own in owners(folder).values()}
    return np.array([-1 if path.resolve() in taken else place.get(path.resolve().parent.name, -1) for path in given], np.int64)


def plural(noun: str) -> str:
    """person and people, digit and digits."""
    return "people" if noun == "person" else f"{noun}s"


def some(noun: str, count: int) -> str:
    """2 people, 1 digit."""
    return counted(count, noun, plural(noun))
