"""The vault and its key: what opens, what does not, and which key files are taken."""

import os
import sqlite3
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.values import Person
from daemon.edges.store import Store, StoreError, VaultError, open_store, rotate_key
from daemon.edges.store.keys import KeyPlace, make_key, read_key
from daemon.edges.store.vault import Vault
from tests.fixtures.stored import ALICE, put
from tests.fixtures.vaults import KEY, Snapshots, busy_store, closed, write_key

PARTS = st.lists(st.one_of(st.text(max_size=8), st.integers(), st.binary(max_size=8)), max_size=5)


# ---- sealing


@given(st.binary(max_size=200), PARTS)
def test_what_is_sealed_opens_where_it_belongs(plain: bytes, place: list[str | int | bytes]) -> None:
    sealed = Vault(KEY).seal(plain, *place)
    assert Vault(KEY).open(sealed, *place) == plain and len(sealed) == len(plain) + 28


@given(st.binary(max_size=50), PARTS, PARTS)
def test_and_nowhere_else(plain: bytes, place: list[str | int | bytes], other: list[str | int | bytes]) -> None:
    same = [(type(a), a) for a in place] == [(type(a), a) for a in other]
    sealed = Vault(KEY).seal(plain, *place)
    if not same:
        with pytest.raises(VaultError):
            Vault(KEY).open(sealed, *other)


@pytest.mark.parametrize(
    ("one", "other"), [(("ab", "c"), ("a", "bc")), (("1",), (1,)), (("a",), (b"a",)), (("a",), ("a", "")), ((), ("",))]
)
def test_places_that_look_alike_are_not_the_same(one: tuple[str, ...], other: tuple[str | int | bytes, ...]) -> None:
    with pytest.raises(VaultError):
        Vault(KEY).open(Vault(KEY).seal(b"x", *one), *other)


@given(st.binary(min_size=1, max_size=50), st.data())
def test_every_bit_counts(plain: bytes, data: st.DataObject) -> None:
    sealed = bytearray(Vault(KEY).seal(plain, "people", "E1"))
    bit = data.draw(st.integers(0, 8 * len(sealed) - 1))
    sealed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(VaultError):
        Vault(KEY).open(bytes(sealed), "people", "E1")


@given(st.integers(0, 255))
def test_every_bit_of_the_key_counts(bit: int) -> None:
    key = bytearray(KEY)
    key[bit // 8] ^= 1 << bit % 8
    with pytest.raises(VaultError):
        Vault(bytes(key)).open(Vault(KEY).seal(b"x"))


@pytest.mark.parametrize("sealed", [b"", b"short", bytes(27), None, 5, 1.5, "text" * 20])
def test_what_is_no_sealed_record_does_not_open(sealed: object) -> None:
    with pytest.raises(VaultError):
        Vault(KEY).open(sealed)


def test_the_same_twice_is_sealed_differently() -> None:
    assert Vault(KEY).seal(b"x") != Vault(KEY).seal(b"x")


def test_a_key_of_another_length() -> None:
    with pytest.raises(VaultError, match="31 bytes"):
        Vault(KEY[1:])


# ---- the key's file


@pytest.mark.parametrize("content", [KEY, KEY.hex().encode(), KEY.hex().upper().encode() + b"\n", KEY.hex().encode() + b"\r\n"])
def test_a_key_is_32_bytes_or_64_digits(tmp_path: Path, content: bytes) -> None:
    assert read_key(KeyPlace(write_key(tmp_path / "key", content, 0o400))) == KEY


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        KEY[1:],
        KEY + b"x",
        KEY.hex().encode()[1:],
        KEY.hex().encode() + b"00",
        b"g" * 64,
        b"00 " * 21 + b"0",
        bytes(32),
        b"7" * 64,
    ],
)
def test_what_is_no_key(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(VaultError, match="key"):
        read_key(KeyPlace(write_key(tmp_path / "key", content)))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601, 0o620])
def test_a_key_that_others_may_read_or_write(tmp_path: Path, mode: int) -> None:
    with pytest.raises(VaultError, match=f"mode {mode:04o}"):
        read_key(KeyPlace(write_key(tmp_path / "key", KEY, mode)))


def test_a_key_that_is_no_regular_file(tmp_path: Path) -> None:
    write_key(tmp_path / "real", KEY)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    os.mkfifo(tmp_path / "pipe", 0o600)
    (tmp_path / "folder").mkdir(0o700)
    for name in ("link", "pipe", "folder"):
        with pytest.raises(VaultError, match=name):
            read_key(KeyPlace(tmp_path / name))


def test_somebody_elses_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_key(tmp_path / "key", KEY)
    monkeypatch.setattr("os.geteuid", lambda: os.getuid() + 1)
    with pytest.raises(VaultError, match="belongs to user"):
        read_key(KeyPlace(path))


def test_a_new_key_is_ours_alone_and_never_written_over(tmp_path: Path) -> None:
    place = KeyPlace(tmp_path / "key")
    (tmp_path / "key.part").write_text("of an attempt that was cut off")
    key = make_key(place)
    assert read_key(place) == key and [p.name for p in tmp_path.iterdir()] == ["key"]
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    with pytest.raises(VaultError, match="there is a key already"):
        make_key(place)
    assert read_key(place) == key and [p.name for p in tmp_path.iterdir()] == ["key"]
    with pytest.raises(StoreError, match="cannot be written"):
        make_key(KeyPlace(tmp_path / "absent" / "key"))


def test_a_new_key_outlives_a_power_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[tuple[bool, bool]] = []
    fsync = os.fsync

    def recorded(file: int) -> None:
        synced.append((stat.S_ISDIR(os.fstat(file).st_mode), (tmp_path / "key").exists()))
        fsync(file)

    monkeypatch.setattr(os, "fsync", recorded)
    make_key(KeyPlace(tmp_path / "key"))
    assert synced == [(False, False), (True, True)], "the file before it has its name, the folder after"


# ---- the key and the store


def people(store: Store) -> list[Person]:
    try:
        return store.people()
    finally:
        store.close()


def enrolled(folder: Path, **more: Path) -> Path:
    store = open_store(folder, **more)  # type: ignore[arg-type]
    put(store, ALICE, 2)
    store.close()
    return folder


def test_a_new_folder_gets_a_key_of_its_own(tmp_path: Path) -> None:
    for name in ("a", "b"):
        enrolled(tmp_path / name)
    assert read_key(KeyPlace(tmp_path / "a" / "key")) != read_key(KeyPlace(tmp_path / "b" / "key"))
    assert people(open_store(tmp_path / "a", read_only=True)) == [ALICE]


def test_a_key_made_at_the_installation_is_taken(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(0o700)
    write_key(tmp_path / "state" / "key", KEY)
    enrolled(tmp_path / "state")
    assert read_key(KeyPlace(tmp_path / "state" / "key")) == KEY


@pytest.mark.parametrize("read_only", [False, True])
def test_a_store_without_its_key_is_refused_and_gets_no_other(tmp_path: Path, read_only: bool) -> None:
    enrolled(tmp_path)
    key = (tmp_path / "key").rename(tmp_path / "elsewhere")
    with pytest.raises(VaultError, match="missing"):
        open_store(tmp_path, read_only)
    assert not (tmp_path / "key").exists()
    key.rename(tmp_path / "key")
    assert people(open_store(tmp_path, read_only)) == [ALICE]


@pytest.mark.parametrize("read_only", [False, True])
def test_a_wrong_key_is_called_a_wrong_key(tmp_path: Path, read_only: bool) -> None:
    enrolled(tmp_path)
    write_key(tmp_path / "key", KEY)
    with pytest.raises(VaultError, match="not the key of"):
        open_store(tmp_path, read_only)


def test_a_damaged_proof_is_called_damage(tmp_path: Path) -> None:
    enrolled(tmp_path)
    with sqlite3.connect(tmp_path / "gallery.sqlite") as db:
        db.execute("UPDATE meta SET value = zeroblob(50) WHERE key = 'proof'")
    db.close()
    with pytest.raises(StoreError, match="the key is right"):
        open_store(tmp_path)


def test_the_key_file_of_the_configuration_and_systemds_credential_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_key(tmp_path / "mine", KEY)
    enrolled(tmp_path / "state", key_file=tmp_path / "mine")
    assert not (tmp_path / "state" / "key").exists()
    (tmp_path / "credentials").mkdir()
    # systemd hands credentials out with a mode and an owner of its own.
    write_key(tmp_path / "credentials" / "ostiary.key", KEY, 0o440)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "credentials"))
    assert people(open_store(tmp_path / "state", key_file=tmp_path / "nowhere")) == [ALICE]
    with pytest.raises(VaultError, match="credential cannot be replaced"):
        rotate_key(tmp_path / "state")
    (tmp_path / "credentials" / "ostiary.key").chmod(0o444)
    with pytest.raises(VaultError, match="others may read"):
        open_store(tmp_path / "state")


# ---- another key: cut off at every step


RECORDS = 1 + 3 + 3 + 4 + 2 + 1 + 1
"""What `busy_store` seals: people, templates, crops, vectors, orders, answers, messages."""


def test_another_key_opens_everything_and_the_old_one_nothing(tmp_path: Path) -> None:
    before = busy_store(tmp_path)
    old = (tmp_path / "key").read_bytes()
    assert rotate_key(tmp_path) == RECORDS
    assert (tmp_path / "key").read_bytes() != old and {p.name for p in tmp_path.iterdir()} == {"gallery.sqlite", "key", "lock"}
    assert closed(open_store(tmp_path)) == before
    write_key(tmp_path / "key", old)
    with pytest.raises(VaultError, match="not the key"):
        open_store(tmp_path)


def test_a_rotation_cut_off_anywhere_leaves_a_store_that_opens(tmp_path: Path) -> None:
    before = busy_store(tmp_path / "state")
    with pytest.MonkeyPatch.context() as patched:
        snapshots = Snapshots(tmp_path / "state", tmp_path / "cut", patched)
        rotate_key(tmp_path / "state")
    keys = {(folder / "key").read_bytes() for folder in snapshots.taken}
    assert len(snapshots.taken) > 40 and len(keys) == 2
    finished = 0
    for folder in snapshots.taken:
        was = (folder / "key").read_bytes()
        assert closed(open_store(folder, read_only=True)) == before, folder.name
        assert closed(open_store(folder)) == before, folder.name
        assert sorted(p.name for p in folder.iterdir()) == ["gallery.sqlite", "key", "lock"], folder.name
        finished += (folder / "key").read_bytes() != was
        assert rotate_key(folder) == RECORDS and closed(open_store(folder)) == before
    assert finished >= 2, "no cut fell between the commit and the new key's taking its place"


def test_a_rotation_cut_off_before_a_read_only_folder_serves_with_the_key_that_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The unit sees /etc read-only, and `store.key_file` may lie there."""

    def read_only(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    before = busy_store(tmp_path / "state")
    key = (tmp_path / "state" / "key").rename(tmp_path / "box")
    with monkeypatch.context() as disk:
        disk.setattr(os, "unlink", read_only)
        assert closed(open_store(tmp_path / "state", key_file=key)) == before
        disk.setattr(os, "unlink", os.remove)
        disk.setattr(os, "replace", read_only)
        with pytest.raises(StoreError, match="cannot take its place"):
            rotate_key(tmp_path / "state", key)
        disk.setattr(os, "unlink", read_only)
        for _ in range(2):
            assert closed(open_store(tmp_path / "state", key_file=key)) == before
    with pytest.raises(VaultError, match="not the key"):
        (tmp_path / "box.new").rename(tmp_path / "kept")
        open_store(tmp_path / "state", key_file=key)
    (tmp_path / "kept").rename(tmp_path / "box.new")
    assert closed(open_store(tmp_path / "state", key_file=key)) == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["box", "state"]


def test_there_is_nothing_to_rotate(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no gallery there"):
        rotate_key(tmp_path / "state")
    assert not (tmp_path / "state").exists()


def test_no_rotation_under_a_serving_daemon(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    with pytest.raises(StoreError, match="in use"):
        rotate_key(tmp_path)
    assert not (tmp_path / "key.new").exists()
    store.close()
