"""Folders of photos for `prepare`, and what came of them."""

from pathlib import Path

from tests.fixtures import messy
from trainer.people.prepare import Summary


def add(folder: Path, who: str, count: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, shot in zip(range(count), messy.shots(who), strict=False):
        (folder / f"{number}.jpg").write_bytes(messy.encoded(shot, "JPEG"))


def reasons(summary: Summary) -> dict[str, tuple[str, str]]:
    return {row.photo: (row.outcome, row.reason) for row in summary.rows}


def crops_in(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*.png"))}
