"""Who may pass: rules about a person that has been recognised. Pure; the time is an argument."""

from daemon.core.values import Person, Reason


def forbids(person: Person, gate: str, now: float) -> Reason | None:
    """The reason why `person` may not pass `gate` at `now` (UTC seconds), or None. The first rule that forbids wins."""
    if person.suspended:
        return Reason.SUSPENDED
    if person.valid_from is not None and not now >= person.valid_from:
        return Reason.NOT_YET_VALID
    if person.valid_until is not None and not now < person.valid_until:
        return Reason.EXPIRED
    if person.gates is not None and gate not in person.gates:
        return Reason.NOT_PERMITTED_HERE
    return None
