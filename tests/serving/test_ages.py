"""A clock that jumps ten years erases nothing: no record, no message, no recording."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from daemon.core.tapes.tape import Bounds
from daemon.core.values import Person
from daemon.edges.recorder import Recorder, Shelf, tapes_in
from daemon.edges.store import Store, open_store
from daemon.serving.ages import Ages
from tests.edges.test_recorder import Lines
from tests.fixtures.desk import NOW, command, painted
from tests.fixtures.engine_site import ALICE, Site

YEARS_S = 10 * 365 * 86_400.0


def test_no_record_and_no_message_goes_with_a_clock_that_jumps(store: Store) -> None:
    site = Site(store)
    site.asks(command("enroll", "E1", [painted(ALICE)], issued=100))
    site.sees(ALICE, 8)
    site.wire.connected = False
    rows, records = list(store.waiting("north")), len(list(store.audit.rows()))
    site.jump_s = YEARS_S
    for _ in range(5):
        site.now_s += 3601
        site.turn()
    assert list(store.waiting("north"))[: len(rows)] == rows and site.engine._overflow.dropped == 0
    assert len(list(store.audit.rows())) >= records
    again = Site(store)  # and after a restart
    again.jump_s = YEARS_S
    again.wire.connected = False
    for _ in range(5):
        again.now_s += 3601
        again.turn()
    assert list(store.waiting("north"))[: len(rows)] == rows and again.engine._overflow.dropped == 0


def test_messages_go_when_time_passes(store: Store) -> None:
    site = Site(store)
    site.sees(ALICE, 8)
    site.wire.connected = False
    assert store.depth()
    site.now_s += 8 * 86_400
    site.turn()
    assert site.engine._overflow.dropped


@pytest.mark.parametrize(("jump_s", "passed_s", "left"), [(YEARS_S, 60.0, 1), (-YEARS_S, 60.0, 1), (0.0, 4000.0, 0)])
def test_no_recording_goes_with_a_clock_that_jumps(tmp_path: Path, jump_s: float, passed_s: float, left: int) -> None:
    wall, clock = NOW, 0.0
    ages = Ages(lambda: clock, lambda: wall, lambda: False, None)
    shelf = Shelf(tmp_path, bytes(32), Bounds(10**9, 3600.0, 10**8, 600.0), "lines")
    tape = shelf.begin("north", NOW, NOW)
    tape.abandon()
    os.utime(tape.path, (NOW, NOW))
    one: Recorder[bytes] = Recorder(shelf, Lines, lambda line: wall, wall=lambda: wall, clock=lambda: clock, ages=ages.now)
    clock, wall = passed_s, NOW + passed_s + jump_s
    one._tend()
    assert len(tapes_in(tmp_path)) == left


def test_an_erasure_is_completed_when_a_reader_has_gone(store: Store, tmp_path: Path) -> None:
    """SQLite keeps the pages that a reader may still ask for in its log. Nothing else is written meanwhile: it is night."""
    site = Site(store)
    site.asks(command("enroll", "E1042", [painted(ALICE)], issued=100))
    site.turn()
    file = tmp_path / "gallery.sqlite"
    log = file.with_name(file.name + "-wal")
    assert log.stat().st_size == 0
    sealed = [bytes(row[0]) for table in ("people", "templates", "crops") for row in store.database.rows(f"SELECT sealed FROM {table}")]
    assert len(sealed) == 3
    with closing(sqlite3.connect(file, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM people").fetchone()
        (result,) = site.asks(command("revoke", "E1042", issued=101))
        assert result["status"] == "done" and log.stat().st_size > 0
        for _ in range(5):
            site.now_s += 20
            site.turn()
        assert any(reason.startswith("erasure_waits: ") for reason in site.status()["reasons"])
        assert log.stat().st_size > 0
    site.now_s += 20
    site.turn()
    assert log.stat().st_size == 0, "no page of somebody who was revoked stays"
    left = file.read_bytes() + log.read_bytes()
    assert not any(one[:64] in left for one in sealed), "neither record, nor vector, nor picture"
    site.turn()
    assert "erasure_waits" not in str(site.status()["reasons"])


def test_an_erasure_that_a_restart_interrupts_is_completed_too(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    with store.transaction():
        store.put_person(Person("E1042", name="Ada"))
    with closing(sqlite3.connect(tmp_path / "gallery.sqlite", isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM people").fetchone()
        with store.transaction():
            store.remove_person("E1042")
        store.close()
        store = open_store(tmp_path)
        assert store.unsettled
    store.settle_again()
    assert not store.unsettled and (tmp_path / "gallery.sqlite-wal").stat().st_size == 0
    store.close()
