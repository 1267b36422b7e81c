"""Records of people: what enrolments and updates change, and what they leave."""

from datetime import UTC, datetime
from typing import Any

import pytest

from daemon.core.messages import Enroll, Update
from daemon.core.people.records import enrolled, entry, updated
from daemon.core.values import Person

AT = datetime(2026, 12, 1, 8, tzinfo=UTC)
COMMON: dict[str, Any] = {"command_id": "6b1f6f0e-0000-4000-8000-000000000000", "issued_at": AT, "expires_at": AT, "person": "E1"}
ALICE = Person("E1", "Alice", True, 1.0, 2.0, ("north",), "form 7", 0.5)


@pytest.mark.parametrize(
    ("change", "field", "value"),
    [
        ({"name": "Alicia"}, "name", "Alicia"),
        ({"name": None}, "name", None),
        ({"valid_from": AT}, "valid_from", AT.timestamp()),
        ({"valid_from": None}, "valid_from", None),
        ({"valid_until": AT}, "valid_until", AT.timestamp()),
        ({"valid_until": None}, "valid_until", None),
        ({"gates": ["south", "east"]}, "gates", ("south", "east")),
        ({"gates": None}, "gates", None),
        ({"consent": "form 8"}, "consent", "form 8"),
        ({"consent": None}, "consent", None),
    ],
)
def test_an_update_changes_what_it_names_and_nothing_else(change: dict[str, Any], field: str, value: object) -> None:
    after = updated(Update(**COMMON, **change), ALICE)
    for name in Person.__dataclass_fields__:
        assert getattr(after, name) == (value if name == field else getattr(ALICE, name)), name


def test_an_enrolment_keeps_what_it_does_not_say_and_the_suspension() -> None:
    assert enrolled(Enroll(**COMMON, images=[b"x"]), ALICE, 99.0) == ALICE
    assert enrolled(Enroll(**COMMON, images=[b"x"], name="Bob"), None, 99.0) == Person("E1", "Bob", enrolled_at=99.0)


def test_only_a_whole_record_tells_of_the_consent() -> None:
    assert entry(ALICE, 3).consent is None
    whole = entry(ALICE, 3, whole=True)
    assert (whole.consent, whole.templates, whole.state, whole.gates) == ("form 7", 3, "suspended", ["north"])
    assert whole.valid_until == "1970-01-01T00:00:02.000Z"
