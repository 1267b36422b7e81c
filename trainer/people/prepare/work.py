"""Photo by photo to crops, going on from what earlier calls have done."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import IO

import cv2

from trainer.people import pictures
from trainer.people.names import file_name
from trainer.people.pictures import PictureError
from trainer.people.prepare import deciding, table, target
from trainer.people.prepare.deciding import DROPPED, MERGED
from trainer.people.prepare.face import Cutter, Found
from trainer.people.prepare.survey import Photo
from trainer.people.prepare.table import TWIN, Outcome, Row

GONE = "the photo is no longer there; its crop is kept"
NOT_NOW = "the photo cannot be read now; its crop is kept"
MAIN = "the main one of"


class Work:
    """What one call does with the photos of `folder`, in a folder of `crops` where `before` are the rows of earlier calls.

    A crop belongs to one person and one content, and is written before its row is noted. So a call that is killed has at worst made a crop
    that the next one makes again.
    """

    def __init__(self, crops: Path, folder: str, cutter: Cutter, how: str, before: Sequence[Row], journal: IO[str]) -> None:
        self.rows: list[Row] = []
        self.changed: list[str] = []
        self._crops, self._folder, self._cutter, self._how, self._journal = crops, folder, cutter, how, journal
        self._before = before
        self._contents = {(row.person, row.digest): row for row in sorted(before, key=lambda row: bool(row.crop)) if _looked_at(row)}
        self._places = {row.photo: row for row in before if row.folder == folder}
        # A new photo in the place of one that was decided about does not get its name: the decision may be given once more.
        self._used = {row.crop for row in before} | {deciding.name_before(row) for row in before}
        self._merged = deciding.merged_people(before)
        self._first: dict[str, Row] = {}
        self._own: dict[tuple[str, str], Photo] = {}

    def look(self, photo: Photo) -> None:
        """Make the crop of a photo, unless an earlier call has, and note what became of it. Raises PrepareError if it cannot be written,
        DetectorError and VisibilityError if a model fails."""
        row = self._row(photo)
        self.rows.append(row)
        self.note(row)

    def rest(self, others: Sequence[Row], prune: bool) -> Iterator[Row]:
        """The rows of earlier calls that stay beside those of this one (`others` are of files that are no photos). Crops that no row has
        any more are deleted; with `prune` also those whose photos were deleted. Raises PrepareError."""
        now = [*self.rows, *others]
        unread = {row.photo for row in now if row.outcome == Outcome.REFUSED and pictures.passing(row.reason)}
        places, owned = {row.photo for row in now} - unread, {row.crop for row in self.rows if row.crop}
        contents, looked = {row.digest for row in self.rows if row.crop}, {row.digest for row in self.rows}
        for row in self._before:
            if row.reason == DROPPED:
                # The photo may come back, and its crop must not.
                if row.digest not in looked and row.photo not in places and not (prune and row.folder == self._folder):
                    yield row
                continue
            if row.crop in owned or (not row.crop and row.folder == self._folder):
                continue
            missing = bool(row.crop) and not (self._crops / row.crop).is_file()
            if row.folder != self._folder:
                # A folder that was moved is not there any more; its photos are in the new one.
                if not missing and (row.crop or Path(row.folder).is_dir()):
                    yield row
            elif not unread.isdisjoint(accumulate(row.photo.split("/"), "{}/{}".format)) and not missing:
                yield replace(row, reason="; ".join([NOT_NOW, *deciding.standing(row.reason)]))
            elif missing or prune or row.photo in places or row.digest in contents:
                target.remove(self._crops, row.crop)
            else:
                yield replace(row, reason="; ".join([GONE, *deciding.standing(row.reason)]))

    def _row(self, photo: Photo) -> Row:
        blank = Row(photo.name, photo.person, Outcome.REFUSED, folder=self._folder)
        try:
            content = pictures.content_of(photo.path)
        except PictureError as error:
            return replace(blank, reason=error.reason)
        blank = replace(blank, digest=hashlib.sha256(content).hexdigest(), how=self._how)
        if (place := self._places.get(photo.name)) is not None and place.digest not in ("", blank.digest):
            self.changed.append(photo.name)
        own = self._own.setdefault((photo.person, blank.digest), photo)
        if own is not photo:
            return replace(blank, outcome=Outcome.USELESS, reason=f"{TWIN} {own.name}", how="")
        known = self._contents.get((photo.person, blank.digest))
        if known is not None and known.reason == DROPPED:
            return replace(known, photo=photo.name, folder=self._folder)
        if known is not None and known.how == self._how and (not known.crop or (self._crops / known.crop).is_file()):
            row = replace(known, photo=photo.name, folder=self._folder)
        else:
            row = self._seen(content, blank, photo, known)
        if not row.crop:
            return row
        several = [part for part in row.reason.split("; ") if part.startswith(MAIN)]
        by_decision = deciding.standing(known.reason) if known is not None and known.crop else [MERGED] * (photo.person in self._merged)
        first = self._first.setdefault(row.digest, row)
        others = deciding.owner_of(first.crop) != deciding.owner_of(row.crop)
        twin = [f"{TWIN} {first.photo}, of another person"] if others else []
        return replace(row, reason="; ".join(several + by_decision + twin))

    def _seen(self, content: bytes, blank: Row, photo: Photo, known: Row | None) -> Row:
        """What the photo shows."""
        try:
            found = self._cutter.cut(pictures.decode(content))
        except (PictureError, MemoryError, cv2.error) as error:
            reason = error.reason if isinstance(error, PictureError) else pictures.NO_MEMORY
            return replace(blank, reason=reason, digest="" if pictures.passing(reason) else blank.digest)
        if not isinstance(found, Found):
            return replace(blank, reason=found)
        name = known.crop if known is not None and known.crop else self._free(photo, blank.digest)
        target.put(self._crops, name, found.crop)
        several = f"{MAIN} {found.faces} faces" if found.faces > 1 else ""
        return replace(blank, outcome=Outcome.TAKEN, crop=name, reason=several)

    def _free(self, photo: Photo, digest: str) -> str:
        """A name for a crop: the photo's, and a part of the digest where another photo has it."""
        name = f"{self._merged.get(photo.person, photo.person)}/{file_name(photo.inner)}"
        name = f"{name}.png" if f"{name}.png" not in self._used else f"{name}-{digest[:12]}.png"
        self._used.add(name)
        return name

    def note(self, row: Row) -> None:
        """Write a row to the journal. Raises PrepareError."""
        try:
            table.note(self._journal, row)
        except OSError as error:
            raise target.unwritten(self._crops / table.JOURNAL, error) from None


def _looked_at(row: Row) -> bool:
    return bool(row.digest) and row.outcome != Outcome.USELESS
