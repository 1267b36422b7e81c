"""The chain itself: its bytes are a contract, and whatever is done to it is found."""

import hashlib
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.audit import (
    AuditError,
    BackupRestored,
    BreakFound,
    CommandAnswered,
    DecisionMade,
    Entry,
    KeyChanged,
    Place,
    Row,
    Started,
    followed,
    link,
    read,
    record_bytes,
)

AT = 1_800_000_000.123
ANCHOR = Place(0, bytes(32))
COMMAND = CommandAnswered("north", "6b1f6f0e-0000-4000-8000-000000000000", "revoke", "done", None, "5eed" * 8, 7)
DECISION = DecisionMade("north", "e-1", 4711, "b-3", None, "accept", "matched", "5eed" * 8, "m-1", "f00d", 0.42, 93)

GOLDEN: list[tuple[Entry, str]] = [
    (
        COMMAND,
        '{"at":"2027-01-15T08:00:00.123Z","command_id":"6b1f6f0e-0000-4000-8000-000000000000","gallery_revision":7,"gate":"north",'
        '"kind":"command","number":1,"op":"revoke","pseudonym":"5eed5eed5eed5eed5eed5eed5eed5eed","reason":null,"status":"done"}',
    ),
    (
        DECISION,
        '{"at":"2027-01-15T08:00:00.123Z","decision":"accept","event_id":"e-1","gallery_revision":93,"gate":"north","kind":"decision",'
        '"model":"m-1","number":1,"passage":"b-3","policy":"f00d","pseudonym":"5eed5eed5eed5eed5eed5eed5eed5eed","reason":"matched",'
        '"sequence":4711,"supersedes":null,"threshold":0.42}',
    ),
    (
        Started("b", "0.1.0", "m-1", 93),
        '{"at":"2027-01-15T08:00:00.123Z","boot_id":"b","gallery_revision":93,"kind":"start","model":"m-1","number":1,"version":"0.1.0"}',
    ),
    (
        BackupRestored("2027-01-14T08:00:00.000Z", 7, 1, 2, 94),
        '{"at":"2027-01-15T08:00:00.123Z","gallery_revision":94,"kind":"restore","made_at":"2027-01-14T08:00:00.000Z","number":1,'
        '"people":7,"revoked":1,"suspended":2}',
    ),
    (KeyChanged(), '{"at":"2027-01-15T08:00:00.123Z","kind":"key","number":1}'),
    (BreakFound(None), '{"at":"2027-01-15T08:00:00.123Z","kind":"break","number":1,"sealed":null}'),
]


@pytest.mark.parametrize(("entry", "text"), GOLDEN, ids=[text.split('"kind":"')[1].split('"')[0] for _, text in GOLDEN])
def test_the_bytes_of_a_record_are_a_contract(entry: Entry, text: str) -> None:
    record = record_bytes(1, AT, entry)
    assert record.decode() == text
    found = read(record)
    assert found is not None and (found.number, found.kind, found.at) == (1, entry.KIND, "2027-01-15T08:00:00.123Z")


def test_the_digest_is_plain_sha256_over_the_digest_before_and_the_record() -> None:
    record = record_bytes(1, AT, COMMAND)
    assert link(ANCHOR, record) == Place(1, hashlib.sha256(bytes(32) + record).digest())
    assert link(ANCHOR, record).digest.hex() == "f26a4a756a7eb802558df2fc46fc80863805767440cf292657ae9c13beaff005"


def test_a_gate_with_letters_of_other_tongues_is_written_in_utf8() -> None:
    record = record_bytes(1, AT, CommandAnswered("süd", None, None, "done", None, None, 1))
    assert "süd".encode() in record and next(followed(ANCHOR, [(1, record, link(ANCHOR, record).digest)])).number == 1


@pytest.mark.parametrize("record", [b"", b"null", b"[1]", b"\xff", b'{"number":1}', "text", 5, None, b"[" * 9999])
def test_what_is_no_record_reads_as_none(record: object) -> None:
    assert read(record) is None


def chain(entries: list[Entry], anchor: Place = ANCHOR) -> list[Row]:
    rows: list[Row] = []
    place = anchor
    for entry in entries:
        record = record_bytes(place.number + 1, AT + place.number, entry)
        place = link(place, record)
        rows.append((place.number, record, place.digest))
    return rows


ENTRIES = st.lists(st.sampled_from([COMMAND, DECISION, KeyChanged(), Started("b", "1", "m", 0)]), min_size=1, max_size=8)


@given(ENTRIES, st.integers(0, 10**9))
def test_an_untouched_chain_is_followed_to_its_end(entries: list[Entry], number: int) -> None:
    rows = chain(entries, Place(number, b"x" * 32))
    places = list(followed(Place(number, b"x" * 32), rows))
    assert [(p.number, p.digest) for p in places] == [(n, d) for n, _, d in rows]


@given(ENTRIES, st.data())
def test_any_changed_bit_is_found_where_it_is(entries: list[Entry], data: st.DataObject) -> None:
    rows = chain(entries)
    place = data.draw(st.integers(0, len(rows) - 1))
    column = data.draw(st.sampled_from([1, 2]))
    content = bytearray(rows[place][column])  # type: ignore[call-overload]
    bit = data.draw(st.integers(0, 8 * len(content) - 1))
    content[bit // 8] ^= 1 << bit % 8
    changed = list(rows[place])
    changed[column] = bytes(content)
    rows[place] = (changed[0], changed[1], changed[2])
    with pytest.raises(AuditError) as error:
        list(followed(ANCHOR, rows))
    assert error.value.number == place + 1


@given(ENTRIES, ENTRIES, st.data())
def test_a_removed_a_swapped_and_an_added_record_are_found(entries: list[Entry], others: list[Entry], data: st.DataObject) -> None:
    rows = chain(entries + others)
    place = data.draw(st.integers(0, len(rows) - 2))
    other = data.draw(st.integers(place + 1, len(rows) - 1))
    swapped = list(rows)
    swapped[place], swapped[other] = (rows[place][0], *rows[other][1:]), (rows[other][0], *rows[place][1:])
    added = [*rows[:other], (other + 1, *chain([COMMAND], Place(other, b"y" * 32))[0][1:]), *rows[other:]]
    for damaged in (rows[:place] + rows[place + 1 :], swapped, [*rows[:place], rows[other], *rows[place + 1 :]], added):
        with pytest.raises(AuditError) as error:
            list(followed(ANCHOR, damaged))
        assert error.value.number in (place + 1, other + 1)


@given(ENTRIES, st.integers(1, 8))
def test_a_cut_end_shows_only_to_who_kept_a_head(entries: list[Entry], cut: int) -> None:
    rows = chain(entries)
    head, left = rows[-1][2], rows[: max(0, len(rows) - cut)]
    assert head not in [place.digest for place in followed(ANCHOR, left)]


@pytest.mark.parametrize(
    "record",
    [
        b'{"number":1, "kind":"key"}',
        b'{"number":1,"kind":"key"}',
        b'{"kind":"key","number":2}',
        b'{"kind":"key","kind":"key","number":1}',
        b'{"kind":"key","number":1}\n',
        b'{"a":NaN,"kind":"key","number":1}',
        b'{"a":"\\ud800","kind":"key","number":1}',
        b"[1]",
        b"not json",
        b"[" * 100_000,
        b"\xff",
    ],
)
def test_what_no_daemon_writes_is_found_even_with_a_digest_that_fits(record: bytes) -> None:
    with pytest.raises(AuditError, match="canonical"):
        list(followed(ANCHOR, [(1, record, link(ANCHOR, record).digest)]))


def test_a_kind_or_a_field_of_a_later_daemon_is_followed_too() -> None:
    record = b'{"at":"2027-01-15T08:00:00.123Z","kind":"roster","new":[1.5,{"x":null}],"number":1}'
    assert [p.number for p in followed(ANCHOR, [(1, record, link(ANCHOR, record).digest)])] == [1]


def test_a_break_that_the_daemon_found_stays_one() -> None:
    rows = chain([COMMAND, BreakFound(5), COMMAND])
    with pytest.raises(AuditError, match="record 2: the daemon found"):
        list(followed(ANCHOR, rows))


@pytest.mark.parametrize("row", [(None, b"", b""), ("x", b"", b""), (1, "text", b""), (1, None, b""), (1, b"{}", 5), (2, b"{}", b"")])
def test_whatever_a_damaged_file_holds_is_one_line(row: Row) -> None:
    with pytest.raises(AuditError) as error:
        list(followed(ANCHOR, [row]))
    assert error.value.number == 1 and "\n" not in error.value.message + error.value.hint


def test_no_record_has_a_place_for_an_id_a_name_a_similarity_or_free_text() -> None:
    fields = {key for _, text in GOLDEN for key in json.loads(text)}
    assert not [key for key in fields if re.search(r"person|name|similarity|rival|detail|image|vector|crop", key)]
