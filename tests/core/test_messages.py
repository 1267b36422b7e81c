"""What a payload may say: ids without a trailing newline, and times that cannot overflow."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from daemon.core import messages as m


def payload(op: str = "ping", **fields: Any) -> bytes:
    base = {"op": op, "command_id": str(uuid4()), "issued_at": "2027-01-01T08:00:00Z", "expires_at": "2027-01-01T08:05:00Z"}
    return json.dumps(base | fields).encode()


@pytest.mark.parametrize(
    ("op", "fields"),
    [
        ("ping", {"issued_at": "9999-12-31T23:59:59Z"}),
        ("ping", {"issued_at": "9999-12-31T23:59:59-12:00"}),
        ("resume", {"person": "E1", "expires_at": "0001-01-01T00:00:00Z"}),
        ("resume", {"person": "E1", "expires_at": "0001-01-01T00:00:00+14:00"}),
        ("update", {"person": "E1", "valid_until": "9999-12-31T23:59:59-05:00"}),
        ("update", {"person": "E1", "valid_from": "1999-12-31T23:59:59Z"}),
        ("enroll", {"person": "E1", "images": ["aaaa"], "valid_from": "3000-01-01T00:00:00Z"}),
    ],
)
def test_times_outside_of_the_years_are_malformed(op: str, fields: dict[str, Any]) -> None:
    with pytest.raises(m.MessageError, match="outside of the years 2000 to 2999") as caught:
        m.parse_command(payload(op, **fields))
    assert caught.value.reason == "malformed" and caught.value.command_id is not None


@pytest.mark.parametrize("person", ["E1042\n", "\nE1042", "E1042\r", "E1042\u2028", "E10\n42", "E1042 "])
def test_an_id_holds_no_line_end(person: str) -> None:
    with pytest.raises(m.MessageError, match="person"):
        m.parse_command(payload("revoke", person=person))
    assert not m.is_topic_segment(person)
    assert m.is_topic_segment("north")


def test_any_number_of_seconds_can_be_written() -> None:
    assert m.utc(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp() + 1e9).startswith("9999-12-30")
    assert m.utc(-1e18).startswith("0001-01-02")


def test_every_op_has_its_lanes() -> None:
    ops = {str(kind.__struct_config__.tag) for kind in m.Command.__args__}
    assert m.LANES["command"] == ops
    assert all(lane <= ops for lane in m.LANES.values())
    assert m.urgent_topics("hq", "north") == ("ostiary/v1/hq/north/command/revoke", "ostiary/v1/hq/all/command/revoke")
    assert not set(m.urgent_topics("hq", "north")) & set(m.command_topics("hq", "north"))
    assert {m.leaf_of(t) for t in (*m.command_topics("hq", "north"), *m.urgent_topics("hq", "north"))} == set(m.LANES)
