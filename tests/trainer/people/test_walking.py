"""Every file below a folder, once."""

import os
import time
from pathlib import Path

import pytest

from daemon.core.file_names import left_by_a_system
from trainer.people.names import file_name, one_line, readable
from trainer.people.walking import walk


def found(root: Path) -> dict[str, str]:
    return {entry.name: entry.lost or entry.useless or "" for entry in walk(root)}


def test_links_are_followed_and_end(tmp_path: Path) -> None:
    root, out = tmp_path / "root", tmp_path / "out"
    for folder in (root / "a/b", out / "deep"):
        folder.mkdir(parents=True)
        (folder / "x").touch()
    for link, target in (
        ("a/up", root), ("a/me", "me"), ("a/b/first", root / "a"), ("out", out), ("out2", out), ("none", "nowhere"),
        ("over", tmp_path), ("x", root / "a/b/x"), ("ping", "pong"), ("pong", "ping"),
    ):  # fmt: skip
        (root / link).symlink_to(target)
    (out / "back").symlink_to(root)
    assert found(root) == {
        "a/b/x": "", "x": "", "out/deep/x": "",
        "a/up": "a link that leads in a circle", "a/me": "a link that leads in a circle", "a/b/first": "a link that leads in a circle",
        "over": "a link that leads in a circle", "ping": "a link that leads in a circle", "pong": "a link that leads in a circle",
        "out2": "a link to out, which is here already", "out/back": "a link that leads in a circle",
        "none": "a link that leads to nothing",
    }  # fmt: skip


def test_a_link_to_a_folder_that_is_here_is_not_a_second_person(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b/x").touch()
    (tmp_path / "a").symlink_to("b")
    assert found(tmp_path) == {"b/x": "", "a": "a link to b, which is here already"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir(mode=0)
    assert found(tmp_path) == {"a": "it cannot be read (Permission denied)"}


def test_a_hundred_links_each_to_a_folder_of_links_take_no_time(tmp_path: Path) -> None:
    for level in range(30):  # followed each time, 2 to the power of 30
        (tmp_path / f"{level}").mkdir()
        for name in ("a", "b"):
            (tmp_path / f"{level}" / name).symlink_to(tmp_path / f"{level + 1}" if level < 29 else "nowhere")
    started = time.process_time()
    assert len(found(tmp_path)) == 60 and time.process_time() - started < 2


@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("._a.png", True), (".DS_Store", True), ("__MACOSX/a/b.png", True), ("ada/Thumbs.db", True), ("ada/@eaDir/a.jpg/b.jpg", True),
        ("ada/DESKTOP.INI", True), ("$RECYCLE.BIN/a.jpg", True), ("ada/a.png", False), ("a.b/__MACOSX.png", False), ("ada_/_a.png", False),
    ],
)  # fmt: skip
def test_what_systems_leave(name: str, left: bool) -> None:
    assert left_by_a_system(name.split("/")) is left


def test_names_become_readable_safe_and_stay_two() -> None:
    assert readable(os.fsdecode(b"Ren\xe9")) == "René" == readable("Rene\u0301")
    assert file_name("Zoë [Z.] Müller Jr.") == "Zoë [Z.] Müller Jr."
    odd = ["a/b", "a\\b", "a\nb", "a_b", "a\0b", "x" * 300, "x" * 301, "ж" * 200, "..", "\u2028"]
    safe = [file_name(name) for name in odd]
    assert len({*safe}) == len(odd)
    assert all(len(name.encode()) <= 200 and "/" not in name and name not in ("", ".", "..") for name in safe)
    assert one_line("a\nb\x1b[31m") == "a\\nb\\x1b[31m" and one_line(os.fsdecode(b"\xe9")) == "\\udce9" and one_line("é [x]") == "é [x]"
