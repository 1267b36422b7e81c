import pytest

from daemon.core.policy import forbids
from daemon.core.values import Person, Reason

NOW = 1_000_000.0


@pytest.mark.parametrize(
    ("person", "reason"),
    [
        (Person("a"), None),
        (Person("a", suspended=True), Reason.SUSPENDED),
        (Person("a", valid_from=NOW + 1), Reason.NOT_YET_VALID),
        (Person("a", valid_from=NOW), None),
        (Person("a", valid_until=NOW), Reason.EXPIRED),
        (Person("a", valid_until=NOW + 1), None),
        (Person("a", gates=("north",)), None),
        (Person("a", gates=("south",)), Reason.NOT_PERMITTED_HERE),
        (Person("a", gates=()), Reason.NOT_PERMITTED_HERE),
        (Person("a", suspended=True, valid_until=NOW - 1), Reason.SUSPENDED),
        (Person("a", valid_from=float("nan")), Reason.NOT_YET_VALID),
        (Person("a", valid_until=float("nan")), Reason.EXPIRED),
    ],
)
def test_who_may_pass_the_north_gate_now(person: Person, reason: Reason | None) -> None:
    assert forbids(person, "north", NOW) is reason
