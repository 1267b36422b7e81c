"""The audit chain in the store: tied to its transaction, followed beside a writing daemon, and what tampering with the file comes to."""

import hashlib
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from daemon.core.audit import AuditError, CommandAnswered, HeadError, KeyChanged, Place, Row, Started, link, record_bytes
from daemon.edges.store import Store, StoreError, open_store, rotate_key
from daemon.edges.store import audit as audit_module
from daemon.edges.store.records import AuditEnds
from tests.fixtures.stored import ALICE, put

DAY_S = 86_400.0
NOW = 1_800_000_000.0
ENTRY = CommandAnswered("north", None, "ping", "done", None, None, 0)


def record(store: Store, count: int = 1, at_s: float = NOW, step_s: float = 0.0) -> list[Place]:
    places = []
    for number in range(count):
        with store.transaction():
            places.append(store.audit.append(at_s + number * step_s, ENTRY))
    return places


def broken(store: Store) -> int:
    with pytest.raises(AuditError) as error:
        store.audit.verify()
    assert "\n" not in error.value.message
    return error.value.number


def test_a_new_chain_is_whole_and_like_no_other(store: Store, tmp_path: Path) -> None:
    assert store.audit.verify().last == store.audit.head() and store.audit.head().number == 0
    other = open_store(tmp_path / "other")
    assert other.audit.head() != store.audit.head()
    other.close()


def test_records_are_numbered_and_followed_across_restarts(tmp_path: Path) -> None:
    for start in range(3):
        store = open_store(tmp_path)
        assert store.audit.broken is None
        assert [p.number for p in record(store, 4)] == [4 * start + n for n in (1, 2, 3, 4)]
        walked = store.audit.verify()
        assert (walked.first.number, walked.last) == (0, store.audit.head())
        store.close()


def test_what_is_rolled_back_leaves_no_record(store: Store) -> None:
    (head,) = record(store)
    with pytest.raises(ZeroDivisionError), store.transaction():
        store.put_person(ALICE)
        store.audit.append(NOW, ENTRY)
        raise ZeroDivisionError
    assert store.audit.head() == head and store.audit.verify().last == head
    assert record(store)[0].number == 2


def test_the_chain_is_followed_without_the_key_and_without_us(store: Store, tmp_path: Path) -> None:

    record(store, 5)
    db = sqlite3.connect(tmp_path / "gallery.sqlite")
    rows = db.execute("SELECT record, digest FROM audit ORDER BY number").fetchall()
    db.close()
    for (_, before), (text, digest) in pairwise(rows):
        assert hashlib.sha256(before + text).digest() == digest


def test_every_head_that_was_ever_told_is_passed_through(store: Store) -> None:
    heads = [store.audit.head().digest] + [p.digest for p in record(store, 3)]
    for head in heads:
        store.audit.verify(head)
    with pytest.raises(HeadError):
        store.audit.verify(bytes(32))


# ---- beside a daemon that goes on


def test_it_is_followed_beside_a_daemon_that_goes_on_writing(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_module, "PAGE", 3)
    record(store, 10)
    reader = open_store(tmp_path, read_only=True)
    seen: list[Place] = []

    def rows(after: int = -1) -> Iterator[Row]:
        for row in original(after):
            if len(seen) < 20:
                seen.extend(record(store))
            yield row

    original = reader.audit.rows
    monkeypatch.setattr(reader.audit, "rows", rows)
    assert reader.audit.verify().last == store.audit.head() and store.audit.head().number == 30
    reader.close()


def test_a_record_that_comes_when_all_have_been_read_is_no_break(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record(store, 3)
    reader = open_store(tmp_path, read_only=True)
    original, late = reader.audit._tail, list[Place]()

    def tail() -> tuple[Place, AuditEnds | None]:
        if not late:
            late.extend(record(store))
        return original()

    monkeypatch.setattr(reader.audit, "_tail", tail)
    assert reader.audit.verify().last.number == 4
    reader.close()


def test_a_reader_between_two_pages_holds_nothing_up(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_module, "PAGE", 3)
    record(store, 10)
    reader = open_store(tmp_path, read_only=True)
    original, pages = reader.audit._page, list[int]()

    def page(after: int, most: int) -> list[Row]:
        found = original(after, most)
        pages.append(len(found))
        return found

    monkeypatch.setattr(reader.audit, "_page", page)
    rows = reader.audit.rows()
    next(rows)
    put(store, ALICE)
    with store.transaction():
        store.remove_person("E1")
    assert (tmp_path / "gallery.sqlite-wal").stat().st_size == 0, "the log could not be emptied"
    assert len(list(rows)) == 10 and pages == [3, 3, 3, 2, 0]
    reader.close()


def test_records_let_go_under_a_reader_are_no_break(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_module, "PAGE", 3)
    record(store, 10, step_s=DAY_S)
    reader = open_store(tmp_path, read_only=True)
    original, done = reader.audit.rows, list[int]()

    def rows(after: int = -1) -> Iterator[Row]:
        for row in original(after):
            yield row
            if row[0] == 2 and not done:
                with store.transaction():
                    done.append(store.audit.prune(NOW + 7.5 * DAY_S, NOW + 99 * DAY_S))

    monkeypatch.setattr(reader.audit, "rows", rows)
    walked = reader.audit.verify()
    assert done == [8] and (walked.first.number, walked.last.number) == (8, 10)
    reader.close()


# ---- letting go


def test_old_records_go_and_the_rest_verifies(store: Store, tmp_path: Path) -> None:
    places = record(store, 10, step_s=DAY_S)
    with store.transaction():
        assert store.audit.prune(NOW + 4 * DAY_S, NOW + 10 * DAY_S) == 4
    walked = store.audit.verify(places[6].digest)
    assert (walked.first, walked.last) == (places[3], places[9])
    store.audit.verify(places[3].digest)
    with pytest.raises(HeadError):
        store.audit.verify(places[2].digest)
    with store.transaction():
        assert store.audit.prune(NOW + 4 * DAY_S, NOW + 10 * DAY_S) == 0
    store.close()
    again = open_store(tmp_path)
    assert again.audit.broken is None and record(again)[0].number == 11 and again.audit.verify().first == places[3]
    again.close()


def test_a_slice_is_no_longer_than_it_may_be(store: Store) -> None:
    record(store, 10)
    gone = []
    for _ in range(5):
        with store.transaction():
            gone.append(store.audit.prune(NOW + 1, NOW + 2, limit=4))
        store.audit.verify()
    assert gone == [4, 4, 2, 0, 0]
    head = store.audit.head()
    assert store.audit.verify(head.digest).last == head and head.number == 10, "the head outlives its record"
    assert record(store)[0].number == 11 and store.audit.verify().last.number == 11


def test_a_record_of_a_clock_gone_wrong_does_not_keep_the_old_ones(store: Store) -> None:
    record(store, 2)
    record(store, 1, NOW + 9999 * DAY_S)
    record(store, 2, NOW + 1)
    record(store, 1, NOW + 5 * DAY_S)
    with store.transaction():
        assert store.audit.prune(NOW + DAY_S, NOW + 6 * DAY_S) == 5
    assert store.audit.verify().last.number == 6


def test_letting_go_that_fails_lets_nothing_go(store: Store) -> None:
    record(store, 5)
    with pytest.raises(ZeroDivisionError), store.transaction():
        store.audit.prune(NOW + 1, NOW + 2)
        raise ZeroDivisionError
    assert store.audit.verify().first.number == 0


# ---- tampering


def tamper(folder: Path, *statements: str | tuple[str, tuple[object, ...]]) -> Store:
    """Somebody writes the file, who has not the key; then the daemon starts again."""
    db = sqlite3.connect(folder / "gallery.sqlite")
    with db:
        for statement in statements:
            if isinstance(statement, tuple):
                db.execute(*statement)
            else:
                db.executescript(statement)
    db.close()
    return open_store(folder)


def filled(folder: Path, count: int = 6) -> list[Place]:
    store = open_store(folder)
    places = record(store, count)
    store.close()
    return places


@pytest.mark.parametrize(
    ("statement", "first_broken"),
    [
        ("UPDATE audit SET record = replace(record, 'done', 'gone') WHERE number = 3", 3),
        ("UPDATE audit SET record = CAST(replace(record, 'done', 'gone') AS BLOB) WHERE number = 3", 3),
        ("UPDATE audit SET digest = zeroblob(32) WHERE number = 3", 3),
        ("UPDATE audit SET digest = 7 WHERE number = 6", 6),
        ("UPDATE audit SET digest = 'x' WHERE number = 0", 1),
        ("UPDATE audit SET record = x'' WHERE number = 2", 2),
        ("DELETE FROM audit WHERE number = 3", 3),
        ("DELETE FROM audit WHERE number > 4", 5),
        ("DELETE FROM audit WHERE number < 4", 4),
        ("DELETE FROM audit WHERE number = 0", 1),
        ("DELETE FROM audit", 1),
        ("UPDATE audit SET number = 9 WHERE number = 6", 6),
        ("UPDATE audit SET number = 9223372036854775807 WHERE number = 6", 6),
        ("UPDATE audit SET number = -3 WHERE number = 0", 1),
        ("DELETE FROM audit WHERE number < 4; UPDATE audit SET record = x'' WHERE number = 4", 5),
        ("DELETE FROM meta WHERE key = 'audit'", 7),
        ("UPDATE meta SET value = zeroblob(80) WHERE key = 'audit'", 7),
        ("UPDATE meta SET value = 5 WHERE key = 'audit'", 7),
    ],
)
def test_a_daemon_goes_on_with_a_chain_that_was_tampered_with_and_it_stays_broken(
    tmp_path: Path, statement: str, first_broken: int
) -> None:
    filled(tmp_path)
    reader_before = tamper(tmp_path, statement)
    assert broken(reader_before) == first_broken
    for _ in range(2):
        record(reader_before, 2)
        assert broken(reader_before) == first_broken
    put(reader_before, ALICE)
    reader_before.close()
    again = open_store(tmp_path)
    assert broken(again) == first_broken and [p.person for p in again.people()] == ["E1"]
    again.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET record = CAST(replace(record, 'done', 'gone') AS BLOB) WHERE number = 6",
        "DELETE FROM audit WHERE number > 4",
        "DELETE FROM audit WHERE number < 4",
        "DELETE FROM audit",
        "DELETE FROM meta WHERE key = 'audit'",
        "UPDATE audit SET digest = 5 WHERE number = 6",
    ],
)
def test_a_start_finds_what_is_wrong_with_its_ends(tmp_path: Path, statement: str) -> None:
    filled(tmp_path)
    store = tamper(tmp_path, statement)
    assert store.audit.broken is not None
    store.close()


def test_a_start_does_not_read_the_whole_chain_and_the_walk_does(tmp_path: Path) -> None:
    filled(tmp_path)
    store = tamper(tmp_path, "UPDATE audit SET digest = zeroblob(32) WHERE number = 3")
    assert store.audit.broken is None and broken(store) == 3
    store.close()


def rewritten(folder: Path, keep: int, count: int) -> list[tuple[str, tuple[object, ...]]]:
    """What makes a chain that fits in itself from record `keep` on, for who has not the key."""
    db = sqlite3.connect(folder / "gallery.sqlite")
    place = Place(*db.execute("SELECT number, digest FROM audit WHERE number = ?", (keep,)).fetchone())
    db.close()
    statements: list[tuple[str, tuple[object, ...]]] = [("DELETE FROM audit WHERE number > ?", (keep,))]
    for _ in range(count):
        text = record_bytes(place.number + 1, NOW, replace(ENTRY, op="revoke"))
        place = link(place, text)
        statements.append(("INSERT INTO audit VALUES (?,?,?)", (place.number, text, place.digest)))
    return statements


@pytest.mark.parametrize("count", [2, 4, 9])
def test_a_chain_written_anew_without_the_key_does_not_fit_its_seal_also_later(tmp_path: Path, count: int) -> None:
    heads = filled(tmp_path)
    store = tamper(tmp_path, *rewritten(tmp_path, 2, count))
    assert store.audit.broken is not None
    found = broken(store)
    record(store, 3)
    assert broken(store) == 3 + count and found <= 3 + count, "where the daemon noticed"
    with pytest.raises(AuditError):
        store.audit.verify(heads[1].digest)
    store.close()


def test_whoever_has_the_key_too_is_found_by_a_head_that_was_kept_elsewhere(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    record(store, 3)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.name != "lock"}
    head = record(store, 2)[-1].digest
    store.close()
    for path in tmp_path.iterdir():
        path.unlink()
    for name, content in before.items():
        (tmp_path / name).write_bytes(content)
        (tmp_path / name).chmod(0o600)
    store = open_store(tmp_path)
    assert store.audit.verify().last.number == 3
    record(store, 4, NOW + 1)
    store.audit.verify()
    with pytest.raises(HeadError, match="records 1 to 7"):
        store.audit.verify(head)
    store.close()


def test_a_page_of_the_chain_that_cannot_be_read_is_one_line_and_the_daemon_goes_on(tmp_path: Path) -> None:
    filled(tmp_path, 60)
    path = tmp_path / "gallery.sqlite"
    with sqlite3.connect(path) as db:
        ((root,),) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'audit'").fetchall()
    db.close()
    content = bytearray(path.read_bytes())
    pages = [p for p in range(root + 1, len(content) // 4096 + 1) if b'"kind":"command"' in content[4096 * (p - 1) : 4096 * p]]
    content[4096 * (pages[1] - 1)] = 0x77
    path.write_bytes(content)
    store = open_store(tmp_path)
    assert record(store)[0].number == 61
    with pytest.raises(StoreError, match="chain cannot be read after record") as error:
        store.audit.verify()
    assert "\n" not in error.value.message
    with pytest.raises(StoreError), store.transaction():
        store.audit.prune(NOW + DAY_S, NOW + DAY_S)
    store.close()


# ---- keys and versions


def test_another_key_is_a_record_and_breaks_nothing(tmp_path: Path) -> None:
    filled(tmp_path)
    rotate_key(tmp_path)
    store = open_store(tmp_path)
    assert store.audit.broken is None and store.audit.verify().last.number == 7
    last = list(store.audit.rows())[-1][1]
    assert isinstance(last, bytes) and b'"kind":"key"' in last
    assert KeyChanged.KIND == "key"
    store.close()


# ---- pseudonyms


def test_a_pseudonym_is_random_and_lasts_as_long_as_the_person(store: Store) -> None:
    assert store.pseudonym("E1") is None
    put(store, ALICE)
    first = store.pseudonym("E1")
    assert first is not None and len(first) == 32
    put(store, replace(ALICE, suspended=True))
    assert store.pseudonym("E1") == first
    with store.transaction():
        store.remove_person("E1")
    assert store.pseudonym("E1") is None
    put(store, ALICE)
    assert store.pseudonym("E1") not in (None, first)


def test_a_start_is_recorded_like_anything_else(store: Store) -> None:
    with store.transaction():
        store.audit.append(NOW, Started("b", "1", "m", 0))
    assert store.audit.verify().last.number == 1
