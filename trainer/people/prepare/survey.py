"""Every file below the folder of photos: a photo of a person, or why it is none."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from daemon.core.file_names import PICTURES, left_by_a_system
from trainer.people import pictures, walking
from trainer.people.names import file_name, one_line, readable
from trainer.people.pictures import RAW_SUFFIXES, PictureError
from trainer.people.prepare import table
from trainer.people.prepare.errors import PrepareError
from trainer.people.prepare.table import Outcome, Row
from trainer.people.walking import Entry

ARCHIVES = (".zip", ".rar", ".7z", ".tar", ".gz", ".tgz", ".bz2", ".xz")
VIDEOS = (".mov", ".mp4", ".m4v", ".avi", ".mkv", ".3gp", ".webm", ".mts", ".mpg")
NO_PERSON = "it lies in no person's folder"


@dataclass(frozen=True, slots=True)
class Photo:
    """A picture file at `path`. `name` is its path below the folder of photos as it is shown, `inner` its path below the person's."""

    path: Path
    name: str
    person: str
    inner: str


@dataclass(frozen=True, slots=True)
class Survey:
    """What a folder holds: photos, a row for every other file, and the people, who may have no photo. `folder` is its name in the table.
    `inside`: below which folder, if there is one person only and all photos are deeper."""

    folder: str
    photos: list[Photo]
    rows: list[Row]
    people: list[str]
    inside: str | None = None


def survey(folder: Path) -> Survey:
    """Look through a folder whose folders are people. Only the first bytes of each file are read. Raises PrepareError."""
    name = one_line(os.path.realpath(folder))
    photos: list[Photo] = []
    rows: list[Row] = []
    heic = pictures.opens_heic()
    try:
        entries = sorted(walking.walk(folder), key=lambda entry: entry.name)
        people = _people(folder, entries)
    except OSError as error:
        raise PrepareError(f"{folder} cannot be read ({error.strerror})", "give a folder with a folder of photos per person") from None
    for entry in entries:
        person = _person(entry.parts[0]) if len(entry.parts) > 1 or entry.parts[0] in people else ""
        outcome, reason = _judged(entry, heic)
        if outcome is Outcome.TAKEN:
            photos.append(Photo(entry.path, one_line(entry.name), person, readable("/".join(entry.parts[1:]))))
        else:
            rows.append(Row(one_line(entry.name), person, outcome, reason, folder=name))
    named = sorted({_person(raw) for raw in people})
    return Survey(name, photos, rows, named, _wrapping(photos) if len(named) == 1 else None)


def _people(folder: Path, entries: Iterable[Entry]) -> set[str]:
    """The names of the folders that are people, as the file system has them: also of empty ones, but not of links that are not followed."""
    useless = {entry.name for entry in entries if entry.useless is not None}
    with os.scandir(folder) as listing:
        return {entry.name for entry in listing if entry.is_dir() and not left_by_a_system([entry.name]) and entry.name not in useless}


def _person(raw: str) -> str:
    person = file_name(readable(raw))
    return f"{person}_" if person == table.NAME else person


def _judged(entry: Entry, heic: bool) -> tuple[Outcome, str]:
    if entry.useless is not None:
        return Outcome.USELESS, entry.useless
    if entry.lost is not None:
        return Outcome.REFUSED, entry.lost
    if left_by_a_system(entry.parts):
        return Outcome.USELESS, "left by an operating system"
    suffix = PurePosixPath(entry.name).suffix.lower()
    try:
        head = pictures.head_of(entry.path)
    except PictureError as error:
        return Outcome.REFUSED, error.reason
    kind = pictures.kind(head)
    if suffix in RAW_SUFFIXES and kind in (None, "TIFF"):
        return Outcome.REFUSED, "a camera's raw file; save it as a JPEG file"
    if kind is None:
        return _no_picture(suffix, empty=not head)
    if len(entry.parts) == 1:
        return Outcome.REFUSED, NO_PERSON
    if kind == "HEIC" and not heic:
        return Outcome.REFUSED, pictures.NO_HEIC
    return Outcome.TAKEN, ""


def _no_picture(suffix: str, empty: bool) -> tuple[Outcome, str]:
    if suffix in ARCHIVES:
        return Outcome.REFUSED, "an archive; unpack it"
    reason = "an empty file" if empty else "a video" if suffix in VIDEOS else "not a picture"
    return (Outcome.REFUSED if suffix in PICTURES else Outcome.USELESS), reason


def _wrapping(photos: list[Photo]) -> str | None:
    """The only person, if no photo lies in that folder itself and its folders are several: it may be a folder of people."""
    folders = {photo.inner.split("/")[0] if "/" in photo.inner else "" for photo in photos}
    return photos[0].name.split("/")[0] if len(folders) > 1 and "" not in folders else None
