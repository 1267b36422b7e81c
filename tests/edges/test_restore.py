"""Restoring: all or nothing at every instant, and nobody who was shut out since the backup is let in."""

import fcntl
import os
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.core.audit import AuditError, Started, read
from daemon.core.values import Person
from daemon.edges.store import (
    BackupError,
    Store,
    StoreError,
    VaultError,
    back_up,
    open_store,
    restore,
    rotate_key,
)
from daemon.edges.store import backup as module
from daemon.edges.store.sealed_file import write_sealed
from daemon.edges.store.since import DECISIONS_A_SECOND
from tests.fixtures.backups import MADE_AT, NOW, PASSPHRASE, cheap, written
from tests.fixtures.stored import ALICE, BOB, VECTOR, outbox, put, tampered
from tests.fixtures.vaults import KEY, Snapshots, busy_store, closed, write_key

_ = cheap  # for everything here

PEOPLE = ("E1", "E2", "E3", "E4", "E5", "E6")


def fill(folder: Path) -> None:
    store = open_store(folder)
    for number, person in enumerate(PEOPLE):
        put(store, Person(person, name=f"Name of {person}", suspended=person == "E2", enrolled_at=1.0), 2)
        with store.transaction():
            store.put_issued(person, 100.0 + number)
            store.put_result(f"c-{person}", b"done", 5.0)
            store.next_revision()
    with store.transaction():
        store.put_issued("E0", 90.0)  # revoked before
        for _ in range(7):
            store.next_sequence("north")
        store.enqueue("north", "t", b"of the day of the backup", 9.0)
    store.close()


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    fill(tmp_path / "state")
    back_up(tmp_path / "state", tmp_path / "b", PASSPHRASE, MADE_AT)
    return tmp_path / "b"


def who(store: Store) -> dict[str, bool]:
    return {p.person: p.suspended for p in store.people()}


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


# ---- into an empty folder


def test_on_another_box_everybody_comes_back_suspended(tmp_path: Path, backup: Path) -> None:
    done = restore(tmp_path / "other", backup, PASSPHRASE, NOW)
    assert (done.made_at, done.people, done.suspended, done.revoked, done.damaged, done.aside) == (MADE_AT, 6, 5, 0, (), None)
    assert names(tmp_path / "other") == ["gallery.sqlite", "key", "lock"]
    assert (tmp_path / "other" / "key").read_bytes() != (tmp_path / "state" / "key").read_bytes(), "boxes do not share a key"
    before, after = open_store(tmp_path / "state"), open_store(tmp_path / "other")
    assert after.people() == [replace(p, suspended=True) for p in before.people()]
    assert [(t.number, t.person, t.vectors["m-1"].tobytes(), t.crop) for t in after.templates()] == [
        (t.number, t.person, t.vectors["m-1"].tobytes(), t.crop) for t in before.templates()
    ]
    assert not after.damage() and after.integrity() == "ok" and after.revision() == before.revision() + 1
    assert [after.last_issued(p) for p in ("E0", *PEOPLE)] == [before.last_issued(p) for p in ("E0", *PEOPLE)]
    assert after.result("c-E3") == b"done" and after.depth() == 0, "messages of that day are not sent again"
    with after.transaction():
        assert after.next_sequence("north") > 7 + DECISIONS_A_SECOND * (NOW - MADE_AT), "no consumer has seen this number"
    before.close()
    after.close()


def signing_key(folder: Path) -> bytes | None:
    store = open_store(folder, read_only=True)
    try:
        return store.signing_key()
    finally:
        store.close()


def put_signing_key(folder: Path, secret: bytes) -> None:
    store = open_store(folder)
    with store.transaction():
        store.put_signing_key(secret)
    store.close()


def test_a_restored_box_signs_as_before_and_keeps_a_key_that_it_has(tmp_path: Path) -> None:
    fill(tmp_path / "state")
    put_signing_key(tmp_path / "state", b"a" * 32)
    back_up(tmp_path / "state", tmp_path / "b", PASSPHRASE, MADE_AT)
    restore(tmp_path / "other", tmp_path / "b", PASSPHRASE, NOW)
    assert signing_key(tmp_path / "other") == b"a" * 32, "on another computer it is the same gate for its consumers"
    put_signing_key(tmp_path / "other", b"b" * 32)
    restore(tmp_path / "other", tmp_path / "b", PASSPHRASE, NOW, replace=True)
    assert signing_key(tmp_path / "other") == b"b" * 32


def test_who_may_enter_is_as_at_the_backup_if_the_operator_says_so(tmp_path: Path, backup: Path) -> None:
    assert restore(tmp_path / "other", backup, PASSPHRASE, NOW, active=True).suspended == 0
    store = open_store(tmp_path / "other")
    assert who(store) == {p: p == "E2" for p in PEOPLE}
    store.close()


@pytest.mark.parametrize("credential", [False, True])
def test_a_box_that_has_a_key_keeps_it(tmp_path: Path, backup: Path, credential: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `install.sh` leaves it, or with systemd's credential: the restored store is sealed with that key."""
    (tmp_path / "other").mkdir(0o700)
    (tmp_path / "credentials").mkdir()
    write_key(tmp_path / ("credentials/ostiary.key" if credential else "other/key"), KEY)
    if credential:
        monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "credentials"))
    restore(tmp_path / "other", backup, PASSPHRASE, NOW)
    assert names(tmp_path / "other") == (["gallery.sqlite", "lock"] if credential else ["gallery.sqlite", "key", "lock"])
    store = open_store(tmp_path / "other")
    assert len(store.people()) == 6 and len(store.templates()) == 12 and not store.damage()
    store.close()


def test_no_record_is_left_sealed_with_the_key_of_the_backup(tmp_path: Path, backup: Path) -> None:
    restore(tmp_path / "other", backup, PASSPHRASE, NOW)
    with sqlite3.connect(tmp_path / "state" / "gallery.sqlite") as db:
        tables = ("people", "templates", "crops", "vectors", "orders", "results")
        sealed = [bytes(row[0]) for table in tables for row in db.execute(f"SELECT sealed FROM {table}")]
    db.close()
    content = (tmp_path / "other" / "gallery.sqlite").read_bytes()
    assert len(sealed) > 30 and not [record for record in sealed if record[:16] in content]


def test_it_refuses_where_a_gallery_is_and_parts_of_one(tmp_path: Path, backup: Path) -> None:
    before = (tmp_path / "state" / "gallery.sqlite").read_bytes()
    with pytest.raises(BackupError, match="there is a gallery already"):
        restore(tmp_path / "state", backup, PASSPHRASE, NOW)
    assert (tmp_path / "state" / "gallery.sqlite").read_bytes() == before
    (tmp_path / "other").mkdir(0o700)
    written(tmp_path / "other" / "gallery.sqlite-wal", b"a log without its database")
    with pytest.raises(BackupError, match="parts of a gallery"):
        restore(tmp_path / "other", backup, PASSPHRASE, NOW)
    assert names(tmp_path / "other") == ["gallery.sqlite-wal", "lock"]


def test_not_under_a_serving_daemon_and_no_daemon_during_it(tmp_path: Path, backup: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(tmp_path / "state")
    with pytest.raises(StoreError, match="in use by another daemon"):
        restore(tmp_path / "state", backup, PASSPHRASE, NOW, replace=True)
    store.close()

    def busy(*_: object) -> None:
        with pytest.raises(StoreError, match="in use by another daemon"):
            open_store(tmp_path / "other")

    monkeypatch.setattr("daemon.edges.store.restoring._settle", busy)
    restore(tmp_path / "other", backup, PASSPHRASE, NOW)


def test_somebody_elses_folder(tmp_path: Path, backup: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: os.getuid() + 1)
    with pytest.raises(StoreError, match="belongs to user"):
        restore(tmp_path / "other", backup, PASSPHRASE, NOW)


def test_what_is_no_sound_backup_changes_nothing(tmp_path: Path, backup: Path) -> None:
    open_store(tmp_path / "state").close()  # a reader leaves an empty log behind, a daemon none
    content = backup.read_bytes()
    database = tmp_path / "database"
    with sqlite3.connect(database) as db:
        db.execute("CREATE TABLE other (x)")
        db.execute("PRAGMA user_version = 2")
    db.close()

    def of(key: bytes, size: int) -> bytes:
        with (tmp_path / "made").open("wb") as file:
            write_sealed(file, module._parts(module.Manifest(MADE_AT, key, size), database), PASSPHRASE)
        return (tmp_path / "made").read_bytes()

    size = database.stat().st_size
    cases = [(content[:-1], "damaged"), (b"PK\x03\x04", "not a backup"), (of(KEY, size), "cannot be used"), (of(KEY, size + 1), "bytes of")]
    for number, (bad, word) in enumerate(cases):
        (tmp_path / "bad").write_bytes(bad)
        for folder, more in ((tmp_path / "other", {}), (tmp_path / "state", {"replace": True})):
            was = names(folder) if folder.exists() else ["lock"]
            with pytest.raises(BackupError, match=word):
                restore(folder, tmp_path / "bad", PASSPHRASE, NOW, **more)  # type: ignore[arg-type]
            assert names(folder) == was, number
    with pytest.raises(BackupError, match="passphrase is not the one"):
        restore(tmp_path / "other", backup, PASSPHRASE.upper(), NOW)
    with pytest.raises(BackupError, match="cannot be read"):
        restore(tmp_path / "other", tmp_path / "absent", PASSPHRASE, NOW)
    assert names(tmp_path / "other") == ["lock"]
    store = open_store(tmp_path / "state")
    assert who(store) == {p: p == "E2" for p in PEOPLE}
    store.close()


def test_a_backup_whose_database_is_damaged_is_not_put_in_place(tmp_path: Path) -> None:
    fill(tmp_path / "state")
    with sqlite3.connect(tmp_path / "state" / "gallery.sqlite") as db:
        db.execute("PRAGMA journal_mode = DELETE")
        (page,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'crops'").fetchone()
    db.close()
    content = bytearray((tmp_path / "state" / "gallery.sqlite").read_bytes())
    content[4096 * (page - 1)] = 0x77  # a start does not read this table, a restore does
    (tmp_path / "damaged").write_bytes(content)
    key = bytes.fromhex((tmp_path / "state" / "key").read_text())
    with (tmp_path / "b").open("wb") as file:
        write_sealed(file, module._parts(module.Manifest(MADE_AT, key, len(content)), tmp_path / "damaged"), PASSPHRASE)
    with pytest.raises(StoreError, match=r"damaged|malformed"):
        restore(tmp_path / "other", tmp_path / "b", PASSPHRASE, NOW)
    assert names(tmp_path / "other") == ["lock"]


# ---- in place of a gallery


def later(folder: Path) -> None:
    """After the backup E1 is revoked, E3 suspended, E4 gets another face, E5 fewer gates, E6 one picture more, E7 comes; E2 stays."""
    store = open_store(folder)
    with store.transaction():
        store.remove_person("E1")
        store.put_issued("E1", 100.0)  # issued before, and applied after: shutting out is never superseded
        store.put_person(Person("E3", name="Name of E3", suspended=True, enrolled_at=1.0))
        store.put_issued("E3", 200.0)
        store.remove_person("E4")
        store.put_person(Person("E4", name="Name of E4", enrolled_at=1.0))
        store.add_template("E4", "m-1", VECTOR + 9, b"png", 5.0)
        store.add_template("E6", "m-1", VECTOR + 6, b"png", 5.0)
        store.put_person(Person("E5", name="Name of E5", gates=("south",), enrolled_at=1.0))
        store.put_issued("E5", 201.0)
        store.put_person(Person("E7"))
        store.add_template("E7", "m-1", VECTOR + 7, b"png", 5.0)
        store.put_issued("E7", 202.0)
        store.next_revision()
        for _ in range(50):
            store.next_sequence("north")
        store.enqueue("north", "t", b"still to be sent", 9.0)
    store.close()


@pytest.mark.parametrize("active", [False, True])
def test_who_was_revoked_or_suspended_since_stays_so(tmp_path: Path, backup: Path, active: bool) -> None:
    later(tmp_path / "state")
    old = open_store(tmp_path / "state")
    revision, key = old.revision(), (tmp_path / "state" / "key").read_bytes()
    old.close()
    done = restore(tmp_path / "state", backup, PASSPHRASE, NOW, replace=True, active=active)
    assert (done.people, done.suspended, done.revoked) == (5, 1 if active else 3, 1)
    assert names(tmp_path / "state") == ["gallery.before-restore-19700101T012320Z.sqlite", "gallery.sqlite", "key", "lock"]
    assert (tmp_path / "state" / "key").read_bytes() == key
    store = open_store(tmp_path / "state")
    assert who(store) == {"E2": True, "E3": True, "E4": not active, "E5": not active, "E6": False}
    assert [store.last_issued(p) for p in ("E0", "E1", "E3", "E5", "E6", "E7")] == [90.0, 100.0, 200.0, 201.0, 105.0, 202.0]
    assert store.revision() == revision + 1 and not store.damage()
    assert [m.payload for m in outbox(store)] == [b"of the day of the backup", b"still to be sent"]
    with store.transaction():
        assert store.next_sequence("north") == 58
    assert min(put(store, BOB)) > 15, "a number that E4's, E6's or E7's template had is nobody's"
    store.close()
    # The gallery before is whole, and opens with the same key.
    (tmp_path / "before").mkdir(0o700)
    assert done.aside is not None
    shutil.copy(done.aside, tmp_path / "before" / "gallery.sqlite")
    shutil.copy(tmp_path / "state" / "key", tmp_path / "before" / "key")
    old = open_store(tmp_path / "before")
    assert who(old) == {"E2": True, "E3": True, "E4": False, "E5": False, "E6": False, "E7": False}
    old.close()


def test_a_gallery_that_never_knew_them_vouches_for_nobody(tmp_path: Path, backup: Path) -> None:
    """The disk was replaced and the daemon started before anybody thought of the backup."""
    store = open_store(tmp_path / "other")
    put(store, ALICE, 1)  # another E1
    store.close()
    done = restore(tmp_path / "other", backup, PASSPHRASE, NOW, replace=True)
    assert (done.people, done.suspended, done.revoked) == (6, 5, 0)


def test_somebody_whose_record_was_damaged_is_suspended_and_not_revoked(tmp_path: Path, backup: Path) -> None:
    tampered(tmp_path / "state", "UPDATE people SET sealed = zeroblob(99) WHERE person = 'E3'").close()
    done = restore(tmp_path / "state", backup, PASSPHRASE, NOW, replace=True)
    assert (done.people, done.suspended, done.revoked) == (6, 1, 0)
    store = open_store(tmp_path / "state")
    assert who(store)["E3"] and not store.damage()
    store.close()


@pytest.mark.parametrize("where", ["state", "backup"])
def test_an_order_for_everybody_holds_for_whom_the_other_store_knew(tmp_path: Path, where: str) -> None:
    """Where orders were damaged, everybody's is later than all that was applied."""
    fill(tmp_path / "state")
    if where == "backup":
        tampered(tmp_path / "state", "UPDATE orders SET person = 'E9' WHERE person = 'E3'").close()
    back_up(tmp_path / "state", tmp_path / "b", PASSPHRASE, MADE_AT)
    if where == "state":
        tampered(tmp_path / "state", "UPDATE orders SET person = 'E9' WHERE person = 'E3'").close()
    else:
        store = open_store(tmp_path / "state")
        with store.transaction():
            store.put_issued("E3", 300.0)
        store.close()
    restore(tmp_path / "state", tmp_path / "b", PASSPHRASE, NOW, replace=True)
    store = open_store(tmp_path / "state")
    for person in ("E3", "E8"):
        last = store.last_issued(person)
        assert last is not None and last > 1e9, person
    store.close()


def test_a_gallery_that_does_not_open_is_not_put_aside(tmp_path: Path, backup: Path) -> None:
    (tmp_path / "state" / "key").rename(tmp_path / "kept")
    with pytest.raises(BackupError, match="nobody can tell who was revoked"):
        restore(tmp_path / "state", backup, PASSPHRASE, NOW, replace=True)
    assert names(tmp_path / "state") == ["gallery.sqlite", "lock"]


def test_a_reader_holds_it_up_and_nothing_changes(tmp_path: Path, backup: Path) -> None:
    reader = sqlite3.connect(tmp_path / "state" / "gallery.sqlite", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM people").fetchall()
    with pytest.raises(StoreError, match="a reader holds"):
        restore(tmp_path / "state", backup, PASSPHRASE, NOW, replace=True)
    reader.close()
    assert names(tmp_path / "state") == ["gallery.sqlite", "key", "lock"]
    restore(tmp_path / "state", backup, PASSPHRASE, NOW, replace=True)


# ---- cut off


def sampled(taken: list[Path]) -> list[Path]:
    """Some of all instants, and all of the last ones, where the new takes the place of the old."""
    return [folder for number, folder in enumerate(taken) if number % (len(taken) // 40) == 0 or number >= len(taken) - 20]


def test_cut_off_anywhere_there_is_the_whole_backup_or_nothing_of_it(tmp_path: Path, backup: Path) -> None:
    with pytest.MonkeyPatch.context() as patched:
        (tmp_path / "other").mkdir(0o700)
        snapshots = Snapshots(tmp_path / "other", tmp_path / "cut", patched)
        restore(tmp_path / "other", backup, PASSPHRASE, NOW)
    assert len(snapshots.taken) > 100
    whole = 0
    for folder in sampled(snapshots.taken):
        there = (folder / "gallery.sqlite").exists()
        whole += there
        store = open_store(folder)
        assert who(store) == (dict.fromkeys(PEOPLE, True) if there else {}) and not store.damage()
        assert len(store.templates()) == (12 if there else 0)
        store.close()
        assert names(folder) == ["gallery.sqlite", "key", "lock"]
    assert 0 < whole < 20


def test_cut_off_anywhere_in_place_of_a_gallery_it_is_the_one_or_the_other(tmp_path: Path, backup: Path) -> None:
    later(tmp_path / "state")
    with pytest.MonkeyPatch.context() as patched:
        snapshots = Snapshots(tmp_path / "state", tmp_path / "cut", patched)
        restore(tmp_path / "state", backup, PASSPHRASE, NOW, replace=True)
    seen = set()
    for folder in sampled(snapshots.taken):
        read = open_store(folder, read_only=True)
        seen.add(len(who(read)))
        read.close()
        store = open_store(folder)
        now_there = who(store)
        assert now_there in (
            {"E2": True, "E3": True, "E4": False, "E5": False, "E6": False, "E7": False},
            {"E2": True, "E3": True, "E4": True, "E5": True, "E6": False},
        ), folder.name
        assert not store.damage() and store.last_issued("E3") == 200.0
        store.close()
        # And again from there: nothing is in its way.
        again = restore(folder, backup, PASSPHRASE, NOW + 60, replace=True)
        assert len([name for name in names(folder) if name.startswith("gallery.before")]) <= 2
        assert again.people == 5 and "restoring.sqlite" not in names(folder)
    assert seen == {6, 5}


def test_the_restored_store_lives_on(tmp_path: Path, backup: Path) -> None:
    restore(tmp_path / "other", backup, PASSPHRASE, NOW)
    assert rotate_key(tmp_path / "other") > 30
    back_up(tmp_path / "other", tmp_path / "b2", PASSPHRASE, NOW)
    assert restore(tmp_path / "third", tmp_path / "b2", PASSPHRASE, NOW + 1).people == 6
    with (tmp_path / "third" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_what_else_is_sealed_comes_along(tmp_path: Path) -> None:
    before = busy_store(tmp_path / "state")
    back_up(tmp_path / "state", tmp_path / "b", PASSPHRASE, MADE_AT)
    restore(tmp_path / "other", tmp_path / "b", PASSPHRASE, NOW, active=True)
    after = closed(open_store(tmp_path / "other"))
    assert [value for value in before if value not in after] == [before[-3], before[-2]], "all but the messages and the revision"
    with pytest.raises(VaultError):
        (tmp_path / "other" / "key").unlink()
        open_store(tmp_path / "other")


# ---- the audit chain


def kinds(store: Store) -> list[str]:
    return [record.kind for _, raw, _ in store.audit.rows() if (record := read(raw)) is not None]


def test_on_another_box_the_chain_of_the_backup_goes_on(tmp_path: Path, backup: Path) -> None:
    with closing(open_store(tmp_path / "state")) as store:
        before = kinds(store)
    restore(tmp_path / "other", backup, PASSPHRASE, NOW)
    with closing(open_store(tmp_path / "other")) as store:
        assert kinds(store) == [*before, "restore"] and store.audit.broken is None
        store.audit.verify()


def test_in_place_of_a_gallery_its_own_chain_goes_on_and_passes_through_every_head_that_was_kept(tmp_path: Path, backup: Path) -> None:
    with closing(open_store(tmp_path / "state")) as store, store.transaction():
        head = store.audit.append(NOW, Started("boot", "1.0", "m-1", 7))
    restore(tmp_path / "state", backup, PASSPHRASE, NOW, replace=True)
    with closing(open_store(tmp_path / "state")) as store:
        assert kinds(store)[-2:] == ["start", "restore"] and store.audit.broken is None
        store.audit.verify(head.digest)


def test_a_broken_chain_comes_along_as_broken(tmp_path: Path, backup: Path) -> None:
    with closing(open_store(tmp_path / "state")) as store, store.transaction():
        store.audit.append(NOW, Started("boot", "1.0", "m-1", 7))
    with sqlite3.connect(tmp_path / "state" / "gallery.sqlite") as db:
        db.execute("DELETE FROM audit WHERE number = (SELECT max(number) FROM audit)")
    db.close()
    restore(tmp_path / "state", backup, PASSPHRASE, NOW, replace=True)
    with closing(open_store(tmp_path / "state")) as store:
        assert kinds(store)[-2:] == ["break", "restore"]
        with pytest.raises(AuditError):
            store.audit.verify()
