import os
import sqlite3
import stat
from pathlib import Path

import numpy as np
import pytest

from daemon.core.values import Person
from daemon.edges.store import KEEP_RESULTS_S, Store, StoreError, open_store

ALICE = Person("E1", name="Alice", valid_from=1.5, valid_until=2.5, gates=("north", "süd"), consent="form 7", enrolled_at=1.0)
VECTOR = np.arange(4, dtype=np.float32)


def put(store: Store, person: Person, vectors: int = 1) -> list[int]:
    with store.transaction():
        store.put_person(person)
        return [store.add_template(person.person, "m-1", VECTOR + i, b"png", 5.0) for i in range(vectors)]


def test_what_was_put_is_there_after_opening_again(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    numbers = put(store, ALICE, 2)
    store.close()
    store = open_store(tmp_path)
    assert store.people() == [ALICE]
    templates = store.templates()
    assert [(t.number, t.person, t.model, t.crop) for t in templates] == [(n, "E1", "m-1", b"png") for n in numbers]
    assert np.array_equal(templates[1].vector, VECTOR + 1)
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


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    open_store(tmp_path).close()
    with sqlite3.connect(tmp_path / "gallery.sqlite") as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(StoreError, match="schema 99"):
        open_store(tmp_path)


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
        store.put_result("a", b"1", 0.0)
    assert store.result("a") == b"1"
    with store.transaction():
        store.put_result("b", b"2", KEEP_RESULTS_S + 1)
    assert store.result("a") is None and store.result("b") == b"2"
    store.close()


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
    assert [m.payload for m in store.pending("north", 0, 10)] == [b"0", b"3", b"4"]
    assert [m.payload for m in store.pending("north", rows[0], 1)] == [b"3"]
    assert store.depth() == 4
    store.close()


def test_the_revision_counts_changes(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    with store.transaction():
        assert store.next_revision() == 1
    assert store.revision() == 1 and store.integrity() == "ok"
    store.close()
