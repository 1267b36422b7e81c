import os
import shutil
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest

from daemon.core.values import Person
from daemon.edges.store import Store, StoreError, open_store
from daemon.edges.store.database import Database
from tests.fixtures.stored import ALICE, VECTOR, outbox, put, tampered, two_people


def test_what_was_put_is_there_after_opening_again(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    numbers = put(store, ALICE, 2)
    store.close()
    store = open_store(tmp_path)
    assert store.people() == [ALICE]
    templates = store.templates()
    assert [(t.number, t.person, list(t.vectors), t.crop) for t in templates] == [(n, "E1", ["m-1"], b"png") for n in numbers]
    assert np.array_equal(templates[1].vectors["m-1"], VECTOR + 1)
    store.close()


def everything(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())


def test_a_stolen_folder_shows_neither_faces_nor_names(tmp_path: Path) -> None:
    """Every file, searched for the vector as float32 and float64, the crop and the name, while open, after a revocation, and closed."""
    vector = np.random.default_rng(1).normal(size=128).astype(np.float32)
    crop = np.random.default_rng(2).bytes(20_000)
    known = [
        vector.tobytes(),
        vector.astype(np.float64).tobytes(),
        vector[::-1].tobytes(),
        *(crop[i : i + 16] for i in range(0, 19_900, 500)),
        b"Alice",
    ]
    known += [vector[i : i + 4].tobytes() for i in range(0, 128, 4)]
    store = open_store(tmp_path)

    def need_nothing() -> None:
        content = everything(tmp_path)
        assert not [piece for piece in known if piece in content]

    with store.transaction():
        store.put_person(ALICE)
        store.add_template("E1", "m-1", vector, crop, 5.0)
        store.put_result("c1", b"Alice is in", 5.0)
        store.enqueue("north", "t", b"Alice is in")
        need_nothing()
    need_nothing()
    sealed = b"".join(bytes(store.database.row(f"SELECT sealed FROM {table}")[0]) for table in ("vectors", "crops"))
    assert sealed[:16] in everything(tmp_path), "the search would find what is there"
    with store.transaction():
        store.remove_person("E1")
    content = everything(tmp_path)
    assert not [i for i in range(0, len(sealed) - 16, 64) if sealed[i : i + 16] in content], "not even sealed pages stay"
    need_nothing()
    store.close()
    need_nothing()


def test_a_revocation_that_a_reader_holds_up_is_durable_at_once_and_erased_with_the_next_change(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    put(store, ALICE)
    reader = sqlite3.connect(tmp_path / "gallery.sqlite", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM people").fetchall()
    with store.transaction():
        store.remove_person("E1")
    assert (tmp_path / "gallery.sqlite-wal").stat().st_size > 0 and store.people() == []
    reader.close()
    store.probe()
    assert (tmp_path / "gallery.sqlite-wal").stat().st_size == 0
    store.close()


def test_a_revocation_that_a_crash_left_in_the_log_is_in_force_and_erased_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(tmp_path / "state")
    put(store, ALICE)
    monkeypatch.setattr(Database, "settle", lambda self: None)  # the crash comes between the commit and this
    with store.transaction():
        store.remove_person("E1")
    shutil.copytree(tmp_path / "state", tmp_path / "crashed")
    store.close()
    assert (tmp_path / "crashed" / "gallery.sqlite-wal").stat().st_size > 0
    store = open_store(tmp_path / "crashed")
    assert store.people() == [] and (tmp_path / "crashed" / "gallery.sqlite-wal").stat().st_size == 0
    store.close()


# ---- damage


def seen(store: Store) -> tuple[list[str], list[int], tuple[str, ...], tuple[int, ...]]:
    people, templates = [p.person for p in store.people()], [t.number for t in store.templates()]
    damage = store.damage()
    store.close()
    return people, templates, damage.people, damage.templates


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (
            "UPDATE people SET sealed = (SELECT sealed FROM people WHERE person = 'E1') WHERE person = 'E2'",
            (["E1"], [1, 2], ("E2",), (3, 4)),
        ),
        ("UPDATE people SET sealed = zeroblob(9) WHERE person = 'E1'", (["E2"], [3, 4], ("E1",), (1, 2))),
        ("UPDATE people SET sealed = 5 WHERE person = 'E1'", (["E2"], [3, 4], ("E1",), (1, 2))),
        ("UPDATE people SET person = 'E3' WHERE person = 'E2'", (["E1"], [1, 2], ("E3",), (3, 4))),
        ("DELETE FROM people WHERE person = 'E1'", (["E2"], [3, 4], (), (1, 2))),
        *(
            (f"UPDATE {table} SET sealed = substr(sealed, 1, 30) WHERE number = 3", (["E1", "E2"], [1, 2, 4], (), (3,)))
            for table in ("templates", "vectors", "crops")
        ),
        *(
            (
                f"UPDATE {table} SET sealed = (SELECT sealed FROM {table} WHERE number = 1) WHERE number = 2",
                (["E1", "E2"], [1, 3, 4], (), (2,)),
            )
            for table in ("templates", "vectors", "crops")
        ),
        ("UPDATE templates SET person = 'E1' WHERE number = 3", (["E1", "E2"], [1, 2, 4], (), (3,))),
        ("UPDATE vectors SET model = 'm-2' WHERE number = 1", (["E1", "E2"], [2, 3, 4], (), (1,))),
        ("UPDATE templates SET number = 7 WHERE number = 1", (["E1", "E2"], [2, 3, 4], (), (1, 7))),
        ("UPDATE vectors SET number = 7 WHERE number = 1", (["E1", "E2"], [2, 3, 4], (), (1, 7))),
        ("DELETE FROM vectors WHERE number = 1", (["E1", "E2"], [2, 3, 4], (), (1,))),
        ("UPDATE crops SET sealed = zeroblob(60) WHERE number = 1", (["E1", "E2"], [2, 3, 4], (), (1,))),
        ("UPDATE crops SET number = 9 WHERE number = 1", (["E1", "E2"], [2, 3, 4], (), (1,))),
        ("UPDATE vectors SET model = 7 WHERE number = 1", (["E1", "E2"], [2, 3, 4], (), (1,))),
    ],
)
def test_what_was_tampered_with_serves_nobody_and_the_others_are_served(tmp_path: Path, statement: str, expected: object) -> None:
    two_people(tmp_path)
    assert seen(tampered(tmp_path, statement)) == expected


def test_a_crop_that_does_not_open_costs_the_template_nothing_but_the_crop(tmp_path: Path) -> None:
    two_people(tmp_path)
    store = tampered(tmp_path, "UPDATE crops SET sealed = zeroblob(60) WHERE number = 1")
    assert [t.number for t in store.vectors("m-1")] == [1, 2, 3, 4] and not store.damage()
    assert [(t.number, t.crop) for t in store.templates_of("E1")] == [(1, b""), (2, b"png")]
    with store.transaction():
        store.remove_person("E1")
    assert [t.number for t in store.templates()] == [3, 4] and not store.damage()
    assert store.database.row("SELECT count(*) FROM crops") == (2,)
    store.close()


def test_templates_left_behind_are_nobodys_when_the_number_is_given_again(tmp_path: Path) -> None:
    two_people(tmp_path)
    with sqlite3.connect(tmp_path / "gallery.sqlite") as db:
        left = [db.execute(f"SELECT * FROM {table} WHERE number < 3").fetchall() for table in ("templates", "crops", "vectors")]
    db.close()
    store = open_store(tmp_path)
    with store.transaction():
        store.remove_person("E1")
    put(store, Person("E1", name="Another"), 1)
    store.close()
    with sqlite3.connect(tmp_path / "gallery.sqlite") as db:
        for table, rows in zip(("templates", "crops", "vectors"), left, strict=True):
            db.executemany(f"INSERT INTO {table} VALUES ({','.join('?' * len(rows[0]))})", rows)
    db.close()
    assert seen(open_store(tmp_path)) == (["E1", "E2"], [3, 4, 5], (), (1, 2))


def test_who_is_enrolled_over_a_damaged_record_starts_anew(tmp_path: Path) -> None:
    two_people(tmp_path)
    store = tampered(tmp_path, "UPDATE people SET sealed = zeroblob(99) WHERE person = 'E2'")
    put(store, Person("E2", name="Bob", enrolled_at=50.0))
    assert store.people()[1].enrolled_at == 50.0 and store.template_counts() == {"E1": 2, "E2": 1}
    assert seen(store) == (["E1", "E2"], [1, 2, 5], (), ())


@pytest.mark.parametrize("change", ["sealed = zeroblob(40)", "person = 'E9'", "person = CAST(x'ff45' AS TEXT)", "person = 5"])
def test_no_old_command_comes_to_life_when_its_order_is_damaged(tmp_path: Path, change: str) -> None:
    two_people(tmp_path)
    before = time.time()
    store = tampered(tmp_path, f"UPDATE orders SET {change} WHERE person = 'E2'")
    last = store.last_issued("E2")
    assert last is not None and before <= last <= time.time() + 60
    with store.transaction():
        store.put_issued("E2", 11.0)
    assert store.last_issued("E2") == last
    with store.transaction():
        store.put_issued("E2", last + 1)
    store.close()
    store = open_store(tmp_path)
    assert store.last_issued("E2") == last + 1
    store.close()


def test_messages_and_answers_that_do_not_open_are_lost_and_hold_up_nothing(tmp_path: Path) -> None:
    two_people(tmp_path)
    store = tampered(tmp_path, "UPDATE outbox SET sealed = zeroblob(70) WHERE row = 1", "UPDATE results SET sealed = 'x'")
    assert [m.payload for m in outbox(store)[:1]] == [b"second"] and store.depth() == 1
    assert store.result("c1") is None and store.damage().messages == 1
    with store.transaction():
        store.put_result("c1", b"2", 1.0)
    assert store.result("c1") == b"2"
    store.close()


@pytest.mark.parametrize(
    "statement",
    ["DROP INDEX templates_by_person", "CREATE TABLE more (x)", "PRAGMA user_version = 0", "DELETE FROM meta WHERE key = 'proof'"],
)
def test_a_file_whose_tables_are_others_is_refused(tmp_path: Path, statement: str) -> None:
    two_people(tmp_path)
    with pytest.raises(StoreError, match="damaged"):
        tampered(tmp_path, statement)


def test_a_page_that_sqlite_finds_damaged_is_refused(tmp_path: Path) -> None:
    two_people(tmp_path)
    content = bytearray((tmp_path / "gallery.sqlite").read_bytes())
    content[2 * 4096] = 0x77  # the kind of a page that holds a table
    (tmp_path / "gallery.sqlite").write_bytes(content)
    with pytest.raises(StoreError, match=r"damaged|malformed"):
        open_store(tmp_path)


def test_rows_out_of_order_are_refused_because_a_revocation_could_miss_one(tmp_path: Path) -> None:
    two_people(tmp_path)
    with sqlite3.connect(tmp_path / "gallery.sqlite") as db:
        (page,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'people'").fetchone()
    db.close()
    content = bytearray((tmp_path / "gallery.sqlite").read_bytes())
    first = content.index(b"E1", 4096 * (page - 1))
    assert first < 4096 * page
    content[first] ^= 8  # E1 becomes M1, which stands before E2 and should not
    (tmp_path / "gallery.sqlite").write_bytes(content)
    with pytest.raises(StoreError, match=r"damaged: .*order.* people"):
        open_store(tmp_path)


def test_a_template_of_nobody_is_not_taken(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    with pytest.raises(StoreError, match="nobody"), store.transaction():
        store.add_template("E1", "m-1", VECTOR, b"", 0.0)
    store.close()


def test_a_removed_person_takes_the_templates_along_and_numbers_are_never_used_again(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    first = put(store, ALICE, 3)
    with store.transaction():
        store.remove_person("E1")
    assert store.people() == [] and store.templates() == [] and store.template_counts() == {}
    assert min(put(store, ALICE)) > max(first)
    store.close()


def test_a_transaction_that_fails_leaves_nothing(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    with pytest.raises(ZeroDivisionError), store.transaction():
        store.put_person(ALICE)
        raise ZeroDivisionError
    assert store.people() == []
    store.close()


def test_an_update_keeps_the_day_of_enrolment(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    put(store, ALICE)
    with store.transaction():
        store.put_person(Person("E1", name="Alice B.", enrolled_at=99.0))
    (person,) = store.people()
    assert (person.name, person.enrolled_at, len(store.templates())) == ("Alice B.", 1.0, 1)
    store.close()


def test_a_second_daemon_on_the_folder_is_refused(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    with pytest.raises(StoreError, match="in use by another daemon"):
        open_store(tmp_path)
    store.close()
    open_store(tmp_path).close()


def test_reading_beside_a_serving_daemon(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    put(store, ALICE)
    reader = open_store(tmp_path, read_only=True)
    assert reader.people() == [ALICE]
    with pytest.raises(StoreError), reader.transaction():
        reader.put_person(ALICE)
    reader.close()
    store.close()


def test_reading_where_nothing_is(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no gallery there"):
        open_store(tmp_path, read_only=True)
    assert list(tmp_path.iterdir()) == []


def test_only_the_daemons_user_may_read_it(tmp_path: Path) -> None:
    store = open_store(tmp_path / "state")
    put(store, ALICE)
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
    for path in (tmp_path / "state").glob("gallery*"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    store.close()


@pytest.mark.parametrize("version", [1, 99])
@pytest.mark.parametrize("read_only", [False, True])
def test_a_store_of_another_version_is_refused_as_it_is(tmp_path: Path, version: int, read_only: bool) -> None:
    with sqlite3.connect(tmp_path / "gallery.sqlite") as db:
        db.execute("CREATE TABLE people (person TEXT PRIMARY KEY, name TEXT) WITHOUT ROWID")
        db.execute(f"PRAGMA user_version = {version}")
    db.close()
    with pytest.raises(StoreError, match=f"schema {version}, and this daemon knows only schemas 2 and 3") as error:
        open_store(tmp_path, read_only)
    assert "state_dir" in error.value.hint and "\n" not in error.value.message + error.value.hint
    assert {path.name for path in tmp_path.iterdir()} <= {"gallery.sqlite", "lock"}, "no key was made for it"
    with sqlite3.connect(tmp_path / "gallery.sqlite") as db:
        assert db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall() == [("people",)]
    db.close()


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "gallery.sqlite").write_bytes(os.urandom(5000))
    with pytest.raises(StoreError, match="opened"):
        open_store(tmp_path)


def test_the_order_of_commands_outlives_the_person(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    put(store, ALICE)
    with store.transaction():
        store.put_issued("E1", 10.0)
        store.put_issued("E1", 7.0)
        store.remove_person("E1")
    assert store.last_issued("E1") == 10.0 and store.last_issued("E2") is None
    store.close()


def test_results_are_kept_for_redelivery_and_not_for_ever(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    with store.transaction():
        for number in range(7):
            store.put_result(f"old-{number}", b"1", 0.0)
            store.put_result(f"new-{number}", b"2", 10.0)
    walk: list[str | None] = [""]
    while (after_id := walk[-1]) is not None:
        with store.transaction():
            walk.append(store.prune_results(10.0, after_id, 3))
    assert walk == ["", "new-2", "new-5", "old-1", "old-4", None], "a few at a time, each once"
    assert [store.result(f"old-{number}") for number in range(7)] == [None] * 7
    assert [store.result(f"new-{number}") for number in range(7)] == [b"2"] * 7
    store.close()


def test_the_walk_through_damaged_answers_ends(tmp_path: Path) -> None:
    open_store(tmp_path).close()
    rows = "INSERT INTO results VALUES (CAST(x'ff61' AS TEXT), x'00', 0.0), (CAST(x'ff62' AS TEXT), x'00', 'never'), ('a', x'00', 0.0)"
    store = tampered(tmp_path, rows)
    after_id: str | None = ""
    for _ in range(4):
        with store.transaction():
            after_id = store.prune_results(10.0, after_id or "", 1)
        if after_id is None:
            break
    assert after_id is None and store.result("a") is None
    store.close()


def test_what_the_broker_has_taken_costs_no_wait_for_the_disk_and_the_next_change_does(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    asked: list[str] = []
    with store.transaction():
        row = store.enqueue("north", "t", b"1")
    store.database.connection.set_trace_callback(asked.append)
    store.sent([row])
    assert asked[0] == "PRAGMA synchronous = NORMAL" and asked[-1] == "PRAGMA synchronous = FULL" and store.depth() == 0
    with pytest.raises(StoreError), store.database.unhurried():
        raise StoreError("no", "room")
    assert store.database.row("PRAGMA synchronous") == (2,)
    store.close()


def test_who_settles_later_says_when_a_change_of_the_gallery_leaves_the_log(tmp_path: Path) -> None:
    store, log = open_store(tmp_path), tmp_path / "gallery.sqlite-wal"
    store.settle_later()
    put(store, ALICE)
    assert store.settle_due and log.stat().st_size > 0
    store.settle()
    assert not store.settle_due and log.stat().st_size == 0
    with store.transaction():
        store.enqueue("north", "t", b"1")
    assert not store.settle_due, "nothing of the gallery is in the log"
    with reading(tmp_path):
        with store.transaction():
            store.remove_person("E1")
        store.settle()
        assert not store.settle_due and log.stat().st_size > 0, "it was tried, and a reader prevented it"
    with store.transaction():
        store.enqueue("north", "t", b"1")
    assert store.settle_due, "it is tried again after the next change of anything"
    store.settle()
    assert log.stat().st_size == 0
    store.close()


@contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Somebody reads the file meanwhile."""
    with closing(sqlite3.connect(folder / "gallery.sqlite", isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM people").fetchone()
        yield


def test_sequences_go_on_across_restarts_each_gate_its_own(tmp_path: Path) -> None:
    seen = []
    for _ in range(2):
        store = open_store(tmp_path)
        with store.transaction():
            seen += [store.next_sequence("north"), store.next_sequence("north"), store.next_sequence("south")]
        store.close()
    assert seen == [1, 2, 1, 3, 4, 2]


def test_the_outbox_keeps_order_and_forgets_only_what_was_sent(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    with store.transaction():
        rows = [store.enqueue("north", "t", b"%d" % i, valid_until=3.0) for i in range(5)]
        store.enqueue("south", "t", b"x")
    store.sent(rows[1:3])
    assert [m.payload for m in outbox(store)] == [b"0", b"3", b"4"]
    assert store.depth() == 4
    store.close()


def test_the_revision_counts_changes(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    with store.transaction():
        assert store.next_revision() == 1
    assert store.revision() == 1 and store.integrity() == "ok"
    store.close()
