"""Whether a record lets two different faces in: a morph of two people, or a stranger who is taken for somebody.

A record cannot tell: a morph is like both. But the two are not like each other, and the gate sees both. So it remembers how those looked
whom it accepted under an id. This changes no decision, and is in memory only. On the gate clips (bench/two_faces.py) passages of one person
were never less than 0.915 alike, those of two people never more than 0.738.
"""

from dataclasses import dataclass, field

import numpy as np

from daemon.core.passages.evidence import is_unit
from daemon.core.values import Vector

FACES = 3
"""How many different faces are remembered of one person."""
OFTEN = 2
"""A face that was accepted only once may be one bad look."""
PEOPLE = 5_000
"""How many people are remembered; of more, those who came last."""


@dataclass(slots=True, eq=False)
class Face:
    """How somebody looked who was accepted, and in how many passages."""

    vector: Vector
    times: int = 1


@dataclass(slots=True)
class Doubles:
    """The faces of the accepted passages of one gate, by person. `found` are people with two different faces, and `news` those of them who
    were just found."""

    faces: dict[str, list[Face]] = field(default_factory=dict)
    found: set[str] = field(default_factory=set)
    news: list[str] = field(default_factory=list)

    def take(self, person: str, vector: Vector, same: float) -> None:
        """A passage of this person was accepted, and `vector` is its fused one. Faces less alike than `same` are two. Anything but a unit
        vector is dropped."""
        if not is_unit(vector):
            return
        faces = self.faces.pop(person, [])
        self.faces[person] = faces
        likeness = [float(face.vector @ vector) for face in faces]
        nearest = int(np.argmax(likeness)) if likeness else 0
        if likeness and likeness[nearest] >= same:
            faces[nearest].times += 1
        else:
            if len(faces) == FACES:
                faces.remove(min(faces, key=lambda face: face.times))
            faces.append(Face(vector.copy()))
        if person not in self.found and sum(face.times >= OFTEN for face in faces) > 1:
            self.found.add(person)
            self.news.append(person)
        if len(self.faces) > PEOPLE:
            oldest = next(iter(self.faces))
            self.forget(oldest)

    def forget(self, person: str) -> None:
        """Somebody was revoked, suspended or given another face."""
        self.faces.pop(person, None)
        self.found.discard(person)

    def forget_all(self) -> None:
        """Another model serves from now on."""
        self.faces.clear()
        self.found.clear()
