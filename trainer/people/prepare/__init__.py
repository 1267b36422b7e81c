"""Photos to aligned crops, with the daemon's own detector, alignment and quality checks, so that the model learns from what the gate will
show it. Every file is accounted for (`survey`), a photo's own face is chosen (`face`), and a later call goes on (`work`)."""

from __future__ import annotations

import hashlib
from collections import Counter
from contextlib import suppress
from pathlib import Path

from rich.progress import track

from daemon.core.counts import counted, persons
from daemon.core.faults import Fault
from trainer import terminal
from trainer.people import pictures
from trainer.people.names import one_line
from trainer.people.prepare import deciding, summary, table, target
from trainer.people.prepare.deciding import Decisions
from trainer.people.prepare.errors import PrepareError
from trainer.people.prepare.face import Cutter, Faces, Standard, crop_of, open_cutter
from trainer.people.prepare.summary import Summary
from trainer.people.prepare.survey import Survey, survey
from trainer.people.prepare.table import Outcome, Row
from trainer.people.prepare.work import Work

__all__ = ["Outcome", "PrepareError", "Summary", "crop_of", "prepare"]


def prepare(
    photos: Path,
    crops: Path,
    detector: str = "haar",
    faces: Faces = "main",
    standard: Standard = "enrol",
    prune: bool = False,
    decided: Path | None = None,
) -> Summary:
    """Write a crop (PNG, 112x112) of every photo whose face can be used, and prints and returns what became of every file.

    A person is a folder directly below `photos`. `crops` is a new folder or one of an earlier call: then only what is new or has changed is
    looked at. Crops whose photos were deleted are kept, unless `prune`. `decided` is a file of decisions about the findings of `clean`:
    they are carried out at the end, and hold for later calls. Raises PrepareError, DataError, DetectorError and VisibilityError; crops
    that are made by then are kept.
    """
    target.check(photos, crops)
    by_person = deciding.read(decided)
    cutter = open_cutter(detector, faces, standard)
    found = survey(photos)
    _need_photos(photos, found)
    _announce(photos, found)
    with target.held(crops) as new:
        before = table.read(crops)
        if by_person is not None:
            by_person.of(before)
        try:
            made = _made(crops, found, before, cutter, f"{_named(detector)} {faces} {standard}", prune, by_person)
        finally:
            if new:
                _undone(crops)
        if not any(row.crop for row in made.rows):
            summary.show(made, photos, crops)
            why = Counter(row.reason for row in made.of(Outcome.REFUSED)).most_common(1)[0][0]
            raise PrepareError(f"none of the {counted(len(found.photos), 'photo')} gives a crop: {why}", "use photos with one clear face")
    summary.show(made, photos, crops)
    return made


def _made(crops: Path, found: Survey, before: list[Row], cutter: Cutter, how: str, prune: bool, decided: Decisions | None) -> Summary:
    """Look at every photo; whatever happens, the table says what was done until then."""
    had = {row.crop for row in before if row.crop}
    with target.begin(crops, before, len(found.photos)) as journal:
        work = Work(crops, found.folder, cutter, how, before, journal)
        try:
            for photo in track(found.photos, "prepare", console=terminal.console()):
                work.look(photo)
            rest = list(work.rest(found.rows, prune))
            kept = {(row.folder, row.photo) for row in rest}
            rows = [row for row in (*found.rows, *work.rows) if (row.folder, row.photo) not in kept] + rest
            have, said = {row.crop for row in rows if row.crop}, ""
            if decided is not None:
                rows, said = deciding.carry_out(crops, rows, decided, work.note)
        except BaseException:
            with suppress(Fault, OSError):
                table.write(crops, table.read(crops))
            raise
    people = summary.people(found, rows)
    try:
        table.write(crops, [*rows, *people])
    except OSError as error:
        raise target.unwritten(crops / table.NAME, error) from None
    strange = sorted({path.relative_to(crops).as_posix() for path in crops.glob("*/*.png")} - {row.crop for row in rows})
    new, removed = len(have - had), len(had - have)
    return Summary(
        tuple(rows), tuple(people), found.folder, new, tuple(work.changed), removed, said, tuple(one_line(name) for name in strange)
    )


def _need_photos(photos: Path, found: Survey) -> None:
    if found.photos:
        return
    loose = sum(not row.person and row.outcome == Outcome.REFUSED for row in found.rows)
    kinds = Counter(row.reason for row in found.rows).most_common(3)
    held = f" ({', '.join(f'{count:,} × {reason}' for reason, count in kinds)})" if kinds else ""
    what = "no photos in folders of people" if loose else "no photos"
    raise PrepareError(f"{photos} contains {what}{held}", "expected PERSON/photo.jpg: a folder per person")


def _announce(photos: Path, found: Survey) -> None:
    """What can be said before the work."""
    terminal.say(f"{counted(len(found.photos), 'photo')} of {persons(len(found.people))} below {photos}")
    if found.inside is not None:
        line = (
            f"All photos lie in folders of {found.inside}/, which counts as one person; if those are people, give {photos / found.inside}"
        )
        terminal.say(line)
    if heic := sum(row.reason == pictures.NO_HEIC for row in found.rows):
        line = f"{counted(heic, 'HEIC photo')} cannot be read: `pip install pillow-heif`, and call this again"
        terminal.say(line)


def _named(detector: str) -> str:
    """The detector as the table names it: another file of the same name is another detector."""
    return detector if detector == "haar" else f"{Path(detector).stem}-{hashlib.sha256(Path(detector).read_bytes()).hexdigest()[:12]}"


def _undone(crops: Path) -> None:
    """Remove a folder that this call made and that holds no crop."""
    if any(crops.glob("*/*.png")):
        return
    for name in (table.NAME, table.JOURNAL, f"{table.NAME}.tmp"):
        with suppress(OSError):
            (crops / name).unlink()
    for folder in crops.glob("*/"):
        with suppress(OSError):
            folder.rmdir()
    with suppress(OSError):
        crops.rmdir()
