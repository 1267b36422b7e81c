"""The state folder and its files: private, regular, and never followed elsewhere."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.edges.store import StoreError, open_store
from tests.fixtures.stored import two_people

PLACES = pytest.mark.parametrize("name", ["gallery.sqlite", "lock"])
READINGS = pytest.mark.parametrize("read_only", [False, True])


def refused(folder: Path, read_only: bool = False) -> str:
    """The one line that opening ends with."""
    with pytest.raises(StoreError) as caught:
        open_store(folder, read_only=read_only).close()
    assert "\n" not in caught.value.message and caught.value.hint
    return caught.value.message


@READINGS
@pytest.mark.parametrize("mode", [0o750, 0o710, 0o701, 0o702, 0o755, 0o777, 0o1777])
def test_a_folder_that_others_may_enter_is_refused_and_stays_as_it_is(tmp_path: Path, mode: int, read_only: bool) -> None:
    folder = tmp_path / "state"
    open_store(folder).close()
    before = sorted(path.name for path in folder.iterdir())
    folder.chmod(mode)
    assert f"has mode {mode:04o}" in refused(folder, read_only)
    assert folder.stat().st_mode & 0o7777 == mode and sorted(path.name for path in folder.iterdir()) == before
    folder.chmod(0o700)
    open_store(folder).close()


@READINGS
def test_a_folder_of_somebody_else_is_refused(tmp_path: Path, read_only: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    open_store(tmp_path).close()
    monkeypatch.setattr("os.geteuid", lambda: os.getuid() + 1)
    assert "belongs to user" in refused(tmp_path, read_only)


def test_the_daemon_makes_a_private_folder(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        open_store(tmp_path / "state").close()
    finally:
        os.umask(before)
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "state").iterdir()} == {0o600}


@PLACES
def test_a_link_is_not_followed(tmp_path: Path, name: str) -> None:
    folder, elsewhere = tmp_path / "state", tmp_path / "elsewhere"
    open_store(folder).close()
    elsewhere.write_bytes(b"somebody else's")
    (folder / name).unlink()
    (folder / name).symlink_to(elsewhere)
    assert name in refused(folder)
    assert elsewhere.read_bytes() == b"somebody else's"


def test_a_link_that_leads_nowhere_makes_nothing_there(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(0o700)
    (tmp_path / "state" / "lock").symlink_to(tmp_path / "nowhere")
    refused(tmp_path / "state")
    assert not (tmp_path / "nowhere").exists()


@PLACES
def test_a_folder_or_a_pipe_in_the_place_of_a_file_is_one_line(tmp_path: Path, name: str) -> None:
    makers: tuple[Callable[[Path], None], ...] = (Path.mkdir, os.mkfifo)
    for number, make in enumerate(makers):
        folder = tmp_path / str(number)
        folder.mkdir(0o700)
        make(folder / name)
        assert name in refused(folder)


def test_a_reader_finds_no_gallery_in_a_link_or_a_folder_either(tmp_path: Path) -> None:
    two_people(tmp_path / "real")
    folder = tmp_path / "state"
    folder.mkdir(0o700)
    (folder / "gallery.sqlite").symlink_to(tmp_path / "real" / "gallery.sqlite")
    assert "cannot be opened" in refused(folder, read_only=True)
    (folder / "gallery.sqlite").unlink()
    (folder / "gallery.sqlite").mkdir()
    assert "not a regular file" in refused(folder, read_only=True)
