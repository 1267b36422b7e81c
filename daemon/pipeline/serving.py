"""What the gates decide by at this moment: the model that serves with its gallery and its rules, and everybody's record."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from daemon.core.passages.claims import Mode
from daemon.core.passages.rules import Rules
from daemon.core.values import Person
from daemon.edges.gallery import Gallery
from daemon.pipeline.model import Model
from daemon.pipeline.steps import Raised, Thresholds

Policy = Callable[[str | None, Thresholds, int, Mode], Rules]
"""Makes the rules of a gate from its name, a model's thresholds there, the number of templates and the gate's mode. It knows the
configuration. Without a name: the rules of the site's own configuration."""


@dataclass(frozen=True, slots=True)
class Serving:
    """The model that serves, the gallery of its vectors, and the policy that makes rules from its thresholds.

    A change of model replaces the whole value, so that vectors, thresholds and standards of two models never meet. The gallery inside
    changes with every enrolment. `left_out` is the number of stored templates that had no vector of this model when it began to serve.
    """

    model: Model
    gallery: Gallery
    policy: Policy
    left_out: int = 0

    def rules(self, mode: Mode = "identify", gate: str | None = None) -> Rules:
        """The rules of a gate of this mode, for the present size of the gallery. Without a gate, those of the site's configuration."""
        return self.policy(gate, self.model.thresholds(gate), self.gallery.templates, mode)

    def uncalibrated(self, rules: Rules, gate: str) -> bool:
        """Whether these rules of a gate come from photos alone, and nobody has measured it with this model."""
        return rules.adapts is not None and not self.model.thresholds(gate).measured_here

    def measured(self, gate: str) -> tuple[bool, float | None]:
        """Whether somebody has measured this gate with this model, and when (UTC seconds, None if that is not known)."""
        here = self.model.thresholds(gate)
        return here.measured_here, here.at if isinstance(here, Raised) and here.measured_here else None


@dataclass(slots=True)
class Current:
    """What is in memory now. The engine owns it, and everybody who decides or changes something is given it.

    The store is the truth and memory follows it. Memory is ahead only of a disk that takes no writes: whoever is revoked or suspended
    meanwhile is shut out in memory.
    """

    serving: Serving
    people: dict[str, Person]

    def put(self, record: Person) -> None:
        """A person has this record."""
        self.people[record.person] = record

    def remove(self, person: str) -> None:
        """Nobody is enrolled under this id any more."""
        self.serving.gallery.remove(person)
        self.people.pop(person, None)

    def suspend(self, person: str) -> None:
        """The person, if there is one, may not pass."""
        if person in self.people:
            self.put(replace(self.people[person], suspended=True))

    def serve(self, serving: Serving) -> None:
        """Another model, or another gallery, serves from the next frame on. Ends what goes on beside the gallery of before."""
        before, self.serving = self.serving, serving
        before.gallery.close()
