"""A recording: a video file or a folder of pictures, every frame in order. The times of a video are its own. Those of pictures follow from
their number, or are in a table beside them (`ostiaryd record --plain`)."""

import csv
import logging
import math
import re
import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from daemon.core.counts import counted
from daemon.core.stamps import Stamps
from daemon.core.values import Frame, Image
from daemon.edges.camera.source import SOURCES, CameraError, State

log = logging.getLogger("ostiary")

PICTURES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})
CLOSE_S = 1.5
TABLE = "frames.csv"


@dataclass(frozen=True, slots=True)
class Moment:
    """When a frame was taken: its number, seconds of a clock that never steps, UTC seconds."""

    number: int
    at_s: float
    captured_at: float


@dataclass(frozen=True, slots=True)
class Shot:
    """One frame of a recording: its number, seconds since the first frame, its picture (None where it cannot be decoded), and when it was
    taken (UTC seconds) where the recording says it."""

    number: int
    offset_s: float
    image: Image | None
    captured_at: float | None = None


class Recording:
    """A video file or a folder of pictures, frame after frame; with a clock, at its own rate. At its end it logs what was wrong with it,
    under `name`."""

    live = False

    def __init__(
        self,
        gate: str,
        name: str,
        shots: Iterator[Shot],
        start_s: float,
        start_wall: float,
        clock: Callable[[], float] | None,
        stamps: Stamps | None = None,
    ) -> None:
        self.gate, self._name, self._stamps, self._corrupt = gate, name, stamps, 0
        self._shots, self._start_s, self._start_wall, self._clock = shots, start_s, start_wall, clock or _at_once
        self._waiting: Frame | None = None
        self._over = False
        self._stop = threading.Event()
        self._reading = threading.Lock()

    @property
    def state(self) -> State:
        return "ended" if self._over or self._stop.is_set() else "up"

    @property
    def trouble(self) -> None:
        return None

    @property
    def detail(self) -> str | None:
        if not self._over:
            return "closed" if self._stop.is_set() else None
        return "; ".join(["the recording is over", *self._faults()])

    @property
    def dropped(self) -> Mapping[str, int]:
        return {"corrupt": self._corrupt} if self._corrupt else {}

    def read(self, timeout_s: float) -> Frame | None:
        with self._reading:
            return self._play(timeout_s)

    def close(self) -> None:
        self._stop.set()
        if self._reading.acquire(timeout=CLOSE_S):
            try:
                if isinstance(self._shots, Generator):
                    self._shots.close()
            finally:
                self._reading.release()

    def _faults(self) -> list[str]:
        """What was wrong with the recording up to here."""
        said = []
        if self._corrupt:
            said.append(f"{counted(self._corrupt, 'damaged picture')} left out")
        if self._stamps is not None and self._stamps.wrong:
            said.append(f"{counted(self._stamps.wrong, 'time stamp')} missing or wrong, replaced by steps of {self._stamps.step_s:.3f} s")
        return said

    def _next(self) -> Frame | None:
        """The next frame with a picture; None at the end."""
        while not self._stop.is_set():
            shot = next(self._shots, None)
            if shot is None:
                self._over = True
                for fault in self._faults():
                    log.warning("%s: %s", self._name, fault)
                return None
            if shot.image is None:
                self._corrupt += 1
                continue
            at_wall = self._start_wall + shot.offset_s
            # Played at its own pace it happens now; otherwise it happened then.
            captured_at = shot.captured_at if shot.captured_at is not None and self._clock is _at_once else at_wall
            return Frame(self.gate, shot.number, self._start_s + shot.offset_s, captured_at, shot.image)
        return None

    def _play(self, timeout_s: float) -> Frame | None:
        """The next frame, when its time has come. A slow reader gets it late, but always gets it."""
        if self._waiting is None:
            self._waiting = self._next()
        if self._waiting is None:
            return None
        early_s = self._waiting.at_s - self._clock()
        if self._stop.wait(min(timeout_s, max(0.0, early_s))) or early_s > timeout_s:
            return None
        frame, self._waiting = self._waiting, None
        return frame


def pictures(path: Path, fps: float) -> Iterator[Shot]:
    """The pictures of a folder: those in its table, at its times; or all in the order of their names, at `fps`. Raises CameraError."""
    if not path.exists():
        raise CameraError(f"{path}: no such file or folder", SOURCES)
    table = moments(path) if path.is_dir() else None
    if table is not None:
        files = [path / name for name in table[0]]
    else:
        files = [path] if path.is_file() else sorted((p for p in path.iterdir() if p.suffix.lower() in PICTURES), key=natural)
    if not files:
        raise CameraError(f"{path}: no pictures in this folder", f"the names of pictures end in {', '.join(sorted(PICTURES))}")
    if all(_picture(p) is None for p in files):
        raise CameraError(f"{path}: none of its pictures can be decoded ({len(files)})", "check that these files are pictures")
    if table is None:
        return (Shot(number, number / fps, _picture(file)) for number, file in enumerate(files))
    first = table[1][0]
    return (
        Shot(moment.number, moment.at_s - first.at_s, _picture(file), moment.captured_at)
        for file, moment in zip(files, table[1], strict=True)
    )


def moments(folder: Path) -> tuple[list[str], list[Moment]] | None:
    """The names of a folder's pictures and when they were taken, from its table; None where there is no table.

    Raises CameraError for a table that cannot be read.
    """
    path = folder / TABLE
    if not path.is_file():
        return None
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        found = [Moment(int(row["number"]), float(row["at_s"]), float(row["captured_at"])) for row in rows]
        names = [Path(row["file"]).name for row in rows]
        if not all(math.isfinite(moment.at_s) and math.isfinite(moment.captured_at) for moment in found):
            raise ValueError("a time is not a finite number")
    except (OSError, UnicodeDecodeError, csv.Error, KeyError, TypeError, ValueError) as error:
        hint = "make the table with `ostiaryd record --plain`, or remove it to read the folder at --fps"
        raise CameraError(f"{path}: the table cannot be read: {error!r}", hint) from None
    return names, found


def _at_once() -> float:
    """The clock of a reader that does not wait."""
    return math.inf


def natural(path: Path) -> list[tuple[int, int, str]]:
    """A sort key that puts frame-2 before frame-10."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", path.name) if part]


def _picture(path: Path) -> Image | None:
    try:
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    except cv2.error:
        return None  # larger than OPENCV_IO_MAX_IMAGE_PIXELS
    return None if image is None else _bgr(image)


def _bgr(image: np.ndarray) -> Image | None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        return None
    return np.ascontiguousarray(image, np.uint8)
