"""What the gate says about one face."""

from collections.abc import Callable
from dataclasses import dataclass

from daemon.core.values import Reason, Verdict

Permit = Callable[[str, float], Reason | None]
"""(person, UTC seconds) to the reason that forbids them to pass, or None."""


@dataclass(frozen=True, slots=True)
class Ruling:
    """The answer to one passage. `person` is whom it names: who was recognised, or, after a claim, whom the claim names."""

    verdict: Verdict
    reason: Reason
    person: str | None = None

    def accepts(self, person: str) -> bool:
        """Whether it lets this person in."""
        return self.verdict is Verdict.ACCEPT and self.person == person


AMBIGUOUS = Ruling(Verdict.REJECT, Reason.AMBIGUOUS)
NO_MATCH = Ruling(Verdict.UNKNOWN, Reason.NO_MATCH)
UNSCORABLE = Ruling(Verdict.UNKNOWN, Reason.UNSCORABLE)


def mismatch(person: str) -> Ruling:
    """The face is not that of the person whom the claim names."""
    return Ruling(Verdict.REJECT, Reason.CLAIM_MISMATCH, person)


def permitted(person: str, reason: Reason, permit: Permit, now: float) -> Ruling:
    """The answer to somebody who is recognised for `reason`: an accept, or a reject with the reason that forbids it."""
    forbidden = permit(person, now)
    return Ruling(Verdict.ACCEPT, reason, person) if forbidden is None else Ruling(Verdict.REJECT, forbidden, person)
