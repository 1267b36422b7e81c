"""Backups: made beside a daemon, opened elsewhere, and told apart from what is none."""

import os
import sqlite3
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.core.values import Person
from daemon.edges.files import FileError
from daemon.edges.store import BackupError, StoreError, VaultError, back_up, open_store, read_passphrase, restore, sealed_file
from daemon.edges.store.sealed_file import Cost, read_sealed, write_sealed
from tests.fixtures.backups import MADE_AT, NOW, PASSPHRASE, cheap, written
from tests.fixtures.stored import ALICE, VECTOR, put, tampered, two_people
from tests.fixtures.vaults import busy_store, closed

_ = cheap  # for everything here


# ---- the sealed file


def sealed(path: Path, parts: list[bytes]) -> Path:
    with path.open("wb") as file:
        write_sealed(file, parts, PASSPHRASE, Cost(1, 1, 1))
    return path


def opened(path: Path, passphrase: str = PASSPHRASE) -> bytes:
    with path.open("rb") as file:
        return b"".join(read_sealed(file, passphrase))


@settings(max_examples=60, deadline=None)
@given(parts=st.lists(st.binary(max_size=70), max_size=6), chunk=st.sampled_from([1, 7, 32]))
def test_what_went_in_comes_out_in_whatever_parts(tmp_path_factory: pytest.TempPathFactory, parts: list[bytes], chunk: int) -> None:
    path = tmp_path_factory.getbasetemp() / "any"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sealed_file, "CHUNK_BYTES", chunk)
        sealed(path, parts)
    assert opened(path) == b"".join(parts)


def test_a_wrong_passphrase_is_called_so(tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="passphrase is not the one"):
        opened(sealed(tmp_path / "a", [b"x"]), PASSPHRASE + " ")


def test_every_bit_counts_and_is_called_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealed_file, "CHUNK_BYTES", 16)
    content = sealed(tmp_path / "a", [bytes(40)]).read_bytes()
    said = {"not a backup": 0, "passphrase": 0, "damaged": 0, "kind": 0}
    for bit in range(8 * len(content)):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        (tmp_path / "b").write_bytes(flipped)
        with pytest.raises(BackupError) as error:
            opened(tmp_path / "b")
        said[next(word for word in said if word in error.value.message)] += 1
    # Only a flipped bit in the 16 bytes of the proof is taken for a wrong passphrase.
    assert said == {"not a backup": 8 * 15, "passphrase": 8 * 16, "damaged": 8 * (len(content) - 31), "kind": 0}


def test_cut_lengthened_shuffled_or_spliced_it_is_no_backup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealed_file, "CHUNK_BYTES", 16)
    content = sealed(tmp_path / "a", [bytes(range(48))]).read_bytes()
    other = sealed(tmp_path / "o", [bytes(range(48))]).read_bytes()
    body = len(content) - 3 * 32
    for cut in range(len(content)):
        (tmp_path / "b").write_bytes(content[:cut])
        with pytest.raises(BackupError):
            opened(tmp_path / "b")
    chunks = [content[body + 32 * i : body + 32 * (i + 1)] for i in range(3)]
    (tmp_path / "b").write_bytes(content[:body] + chunks[0] + chunks[1])
    with pytest.raises(BackupError, match="its end is missing"):
        opened(tmp_path / "b")
    for wrong in (
        [chunks[1], chunks[0], chunks[2]],
        [chunks[0], chunks[2]],
        [*chunks, chunks[2]],
        [*chunks, b"x"],
        [chunks[0], other[body + 32 : body + 64], chunks[2]],
    ):
        (tmp_path / "b").write_bytes(content[:body] + b"".join(wrong))
        with pytest.raises(BackupError, match="damaged"):
            opened(tmp_path / "b")


def test_a_file_from_who_knows_where_does_not_take_all_the_memory(tmp_path: Path) -> None:
    header = sealed_file._HEADER.pack(b"ostiary backup\n\x01", 30, 8, 1, bytes(16), 1 << 20)
    (tmp_path / "a").write_bytes(header + sealed_file._checksum(header) + bytes(64))
    with pytest.raises(BackupError, match="kind that this daemon does not read"):
        opened(tmp_path / "a")


# ---- the passphrase


def test_the_passphrase_is_the_first_line_the_same_from_every_keyboard(tmp_path: Path) -> None:
    assert read_passphrase(written(tmp_path / "p", b"six words drawn by dice\r\nmore\n", 0o400)) == PASSPHRASE
    composed, apart = (read_passphrase(written(tmp_path / "p", form.encode())) for form in ("sch\u00f6nes Wetter", "scho\u0308nes Wetter"))
    assert composed == apart


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644])
def test_a_passphrase_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(BackupError, match=f"mode {mode:04o}"):
        read_passphrase(written(tmp_path / "p", PASSPHRASE.encode(), mode))


@pytest.mark.parametrize("content", [b"", b"\nsix words drawn by dice", b"short words", b"abababababababab", b"\xff\xfe" * 20])
def test_what_is_no_passphrase(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(BackupError, match=r"too weak|UTF-8"):
        read_passphrase(written(tmp_path / "p", content))
    with pytest.raises(BackupError, match="cannot be read"):
        read_passphrase(tmp_path / "absent")


def test_a_weak_passphrase_makes_no_backup(tmp_path: Path) -> None:
    put_closed(tmp_path / "state", ALICE)
    with pytest.raises(BackupError, match="too weak"):
        back_up(tmp_path / "state", tmp_path / "b", "secret", MADE_AT)
    assert [p.name for p in tmp_path.iterdir()] == ["state"]


# ---- making one


def put_closed(folder: Path, *people: Person) -> None:
    store = open_store(folder)
    for person in people:
        put(store, person, 2)
    store.close()


def made(folder: Path, file: Path) -> Path:
    back_up(folder, file, PASSPHRASE, MADE_AT)
    return file


def test_beside_a_serving_daemon_and_ours_alone(tmp_path: Path) -> None:
    store = open_store(tmp_path / "state")
    put(store, ALICE, 2)
    done = back_up(tmp_path / "state", tmp_path / "b", PASSPHRASE, MADE_AT)
    assert (done.people, done.templates, done.damaged) == (1, 2, ())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b", "state"] and stat.S_IMODE((tmp_path / "b").stat().st_mode) == 0o600
    put(store, Person("E2"), 1)  # it goes on
    store.close()
    assert restore(tmp_path / "other", tmp_path / "b", PASSPHRASE, NOW).people == 1


def test_what_stands_in_the_log_alone_is_in_the_backup(tmp_path: Path) -> None:
    store = open_store(tmp_path / "state")
    with store.transaction():
        store.put_result("c1", b"done", 5.0)
    assert (tmp_path / "state" / "gallery.sqlite-wal").stat().st_size > 0
    made(tmp_path / "state", tmp_path / "b")
    store.close()
    restore(tmp_path / "other", tmp_path / "b", PASSPHRASE, NOW)
    other = open_store(tmp_path / "other")
    assert other.result("c1") == b"done"
    other.close()


def test_it_shows_nothing_of_whom_it_holds(tmp_path: Path) -> None:
    put_closed(tmp_path / "state", ALICE)
    key = (tmp_path / "state" / "key").read_bytes().strip()
    content = made(tmp_path / "state", tmp_path / "b").read_bytes()
    assert not [known for known in (b"Alice", b"SQLite", b"people", VECTOR.tobytes(), key, bytes.fromhex(key.decode())) if known in content]


def test_it_is_never_written_over_without_force(tmp_path: Path) -> None:
    put_closed(tmp_path / "state", ALICE)
    written(tmp_path / "b", b"something dear")
    with pytest.raises(FileError, match="there is a file already"):
        made(tmp_path / "state", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"something dear"
    back_up(tmp_path / "state", tmp_path / "b", PASSPHRASE, MADE_AT, force=True)
    assert restore(tmp_path / "other", tmp_path / "b", PASSPHRASE, NOW).people == 1


def test_one_that_fails_leaves_nothing_and_spoils_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_closed(tmp_path / "state", ALICE)
    written(tmp_path / "b", b"something dear")

    def full(file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FileError, match="No space left"):
        back_up(tmp_path / "state", tmp_path / "b", PASSPHRASE, MADE_AT, force=True)
    assert (tmp_path / "b").read_bytes() == b"something dear" and sorted(p.name for p in tmp_path.iterdir()) == ["b", "state"]
    with pytest.raises(FileError, match="cannot be written"):
        made(tmp_path / "state", tmp_path / "absent" / "b")


def test_it_outlives_a_power_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_closed(tmp_path / "state", ALICE)
    synced: list[tuple[bool, bool]] = []
    fsync = os.fsync

    def recorded(file: int) -> None:
        synced.append((stat.S_ISDIR(os.fstat(file).st_mode), (tmp_path / "b").exists()))
        fsync(file)

    monkeypatch.setattr(os, "fsync", recorded)
    made(tmp_path / "state", tmp_path / "b")
    assert synced == [(False, False), (True, True)], "the file before it has its name, the folder after"


def test_a_damaged_store_makes_no_backup_and_damaged_records_are_told(tmp_path: Path) -> None:
    two_people(tmp_path / "state")
    tampered(tmp_path / "state", "UPDATE people SET sealed = zeroblob(99) WHERE person = 'E2'").close()
    done = back_up(tmp_path / "state", tmp_path / "b", PASSPHRASE, MADE_AT)
    assert (done.people, done.templates, done.damaged) == (1, 4, ("E2",))
    assert restore(tmp_path / "other", tmp_path / "b", PASSPHRASE, NOW).damaged == ("E2",)
    with sqlite3.connect(tmp_path / "state" / "gallery.sqlite") as db:
        (page,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'crops'").fetchone()
    db.close()
    content = bytearray((tmp_path / "state" / "gallery.sqlite").read_bytes())
    content[4096 * (page - 1)] = 0x77
    (tmp_path / "state" / "gallery.sqlite").write_bytes(content)
    with pytest.raises(StoreError, match=r"damaged|malformed"):
        made(tmp_path / "state", tmp_path / "c")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b", "other", "state"]


def test_there_is_nothing_to_back_up(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no gallery there"):
        made(tmp_path / "state", tmp_path / "b")
    assert list(tmp_path.iterdir()) == []


def test_a_rotation_that_was_cut_off_is_no_obstacle(tmp_path: Path) -> None:
    before = busy_store(tmp_path / "state")
    (tmp_path / "state" / "key").rename(tmp_path / "state" / "key.new")
    written(tmp_path / "state" / "key", bytes(range(32)))
    made(tmp_path / "state", tmp_path / "b")
    restore(tmp_path / "other", tmp_path / "b", PASSPHRASE, NOW, active=True)
    assert len(closed(open_store(tmp_path / "other"))) == len(before)


def test_without_its_key_there_is_no_backup(tmp_path: Path) -> None:
    put_closed(tmp_path / "state", ALICE)
    (tmp_path / "state" / "key").unlink()
    with pytest.raises(VaultError, match="missing"):
        made(tmp_path / "state", tmp_path / "b")
