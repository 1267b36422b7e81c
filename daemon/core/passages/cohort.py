"""What all faces at one gate have in common: the camera and its light, and nobody in particular.

A card's thresholds come from photos by many cameras. At one gate everybody is seen by the same camera, so strangers are more alike there.
The gate cannot ask who is who, but it need not: the mean of many different faces is what they share, and similarities are compared again
after it is taken away. This is the *centred* similarity. An answer needs both, so a cohort makes the gate stricter and never looser.

The cohort is the last faces that passed, each once, with the enrolled people as if they were a few more. It is in memory only: most of
these faces never agreed to be stored. A gate that has just started knows the enrolled people, which is nearly as good (bench/left_out.py).

The mean of few faces is half chance, so only a share of it is taken away: the one with the least expected error (James and Stein 1961),
for a common part at the upper end of what the faces allow. Normalising scores by a cohort (z-norm, AS-norm) serves the same end; with a
handful of faces it costs more rightful passages (trainer/LOG.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf, sqrt
from typing import Protocol

import numpy as np
import numpy.typing as npt

from daemon.core.passages.evidence import is_unit
from daemon.core.values import Spread, Vector

Floats = npt.NDArray[np.float64]

FACES = 32
"""How many faces are kept."""
ENROLLED = 4.0
"""The enrolled people together weigh as much as this many faces, or as many as they are: they may come from another camera."""
ERRORS = 2.0
"""By how many standard errors the common part may be larger than it looks."""
MOST = 0.98
"""Faces are never taken for more alike than this, because nothing would be left of them."""


@dataclass(frozen=True, slots=True)
class Common:
    """The enrolled people: how many, and the mean of one unit vector each, float64 [D]."""

    people: int
    mean: Floats


class Known(Protocol):
    """The enrolled people, as a cohort needs them."""

    def vectors_of(self, person: str) -> npt.NDArray[np.float32]:
        """Somebody's vectors, float32 [K, D], K >= 0."""
        ...

    def common(self) -> Common:
        """What all enrolled people have in common."""
        ...


@dataclass(slots=True)
class Cohort:
    """The faces that passed a gate, oldest first, each a unit vector, float32 [D]."""

    faces: list[Vector] = field(default_factory=list)

    def take(self, vector: Vector, same: float) -> None:
        """A face has left. It takes the place of the same face, which is one at least `same` alike: whoever passes a thousand times counts
        once. Anything but a unit vector is dropped."""
        if not is_unit(vector):
            return
        if self.faces:
            alike = np.stack(self.faces) @ vector
            if alike.max() >= same:
                del self.faces[int(alike.argmax())]
        self.faces.append(vector)
        del self.faces[:-FACES]

    def forget(self) -> None:
        """Begin anew."""
        self.faces.clear()

    def centre(self, probe: Vector, enrolled: Common, strangers: Spread, same: float) -> Floats:
        """What to take away from a probe and from templates before they are compared, float64 [D]. Zero while nothing is known.

        The probe's own face does not count: it is no stranger to itself.
        """
        others = [face for face in self.faces if not float(face @ probe) >= same]
        return centre(others, enrolled, strangers)


def centre(faces: Sequence[Vector], enrolled: Common, strangers: Spread) -> Floats:
    """The part of the mean of these faces and the enrolled people that is taken away, float64 [D].

    Afterwards strangers are as alike as the card says (`strangers`), as far as the faces can tell.
    """
    weight = min(float(enrolled.people), ENROLLED)
    total = np.sum(faces, axis=0, dtype=np.float64) if faces else np.zeros_like(enrolled.mean)
    total = total + weight * enrolled.mean
    mass = len(faces) + weight
    squares = len(faces) + (weight**2 / enrolled.people if enrolled.people else 0.0)
    if not mass > 0 or not np.isfinite(total).all():
        return np.zeros_like(enrolled.mean)
    count = mass**2 / squares  # how many faces of equal weight would say as much
    pairs = max(1.0, count * (count - 1) / 2)
    # The mean similarity of two different faces, from the length of their sum. A single face says nothing about it.
    seen = (float(total @ total) - squares) / (mass**2 - squares) if count > 1 + 1e-9 else strangers.mean
    alike = min(MOST, seen + ERRORS * strangers.deviation / sqrt(pairs))
    expected = min(max(0.0, strangers.mean), MOST)
    if not alike > expected:
        return np.zeros_like(enrolled.mean)
    certain = alike / (alike + (1 - alike) / count)
    share = 1 - sqrt(expected * (1 - alike) / (alike * (1 - expected)))
    return np.asarray(certain * share * total / mass, np.float64)


def centred(probe: Vector, templates: npt.NDArray[np.float32], away: Floats) -> float:
    """The best cosine of a probe, float32 [D], and templates, float32 [K, D], after `away` is taken from both. -1 without a template, NaN
    where nothing is left of one of them: doubt is never near."""
    if not len(templates):
        return -1.0
    left, known = probe - away, templates - away
    with np.errstate(all="ignore"):
        cosines = known @ left / (np.linalg.norm(known, axis=1) * np.linalg.norm(left))
    best = float(np.max(cosines, initial=-inf, where=np.isfinite(cosines)))
    return best if best > -inf else float("nan")
