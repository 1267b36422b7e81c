"""A recording: a video file or a folder of pictures, every frame in order. Times follow from the frame's number, or are in a table beside
the pictures (`ostiaryd record --plain`)."""

import csv
import math
import re
import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from daemon.core.counts import counted
from daemon.core.values import Frame, Image
from daemon.edges.camera.source import SOURCES, CameraError, State

PICTURES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})
CLOSE_S = 1.5
TABLE = "frames.csv"


@dataclass(frozen=True, slots=True)
class Moment:
    """When a frame was taken: its number, seconds of a clock that never steps, UTC seconds."""

    number: int
    at_s: float
    captured_at: float


# ---- recordings


class Recording:
    """A video file or a folder of pictures, frame after frame; with a clock, at its own rate."""

    live = False

    def __init__(
        self,
        gate: str,
        images: Iterator[Image | None],
        fps: float,
        start_s: float,
        start_wall: float,
        clock: Callable[[], float] | None,
        moments: Sequence[Moment] | None = None,
    ) -> None:
        self.gate, self.fps, self._moments = gate, fps, moments
        self._images, self._start_s, self._start_wall, self._clock = images, start_s, start_wall, clock or _at_once
        self._number = 0
        self._waiting: Frame | None = None
        self._dropped: Counter[str] = Counter()
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
        return "the recording is over" if self._over else "closed" if self._stop.is_set() else None

    @property
    def dropped(self) -> Mapping[str, int]:
        return dict(self._dropped)

    def read(self, timeout_s: float) -> Frame | None:
        with self._reading:
            return self._play(timeout_s)

    def close(self) -> None:
        self._stop.set()
        if self._reading.acquire(timeout=CLOSE_S):
            try:
                if isinstance(self._images, Generator):
                    self._images.close()
            finally:
                self._reading.release()

    def _advance(self) -> Image | None:
        """The next picture that can be decoded. Its number is `self._number` - 1; None at the end."""
        while not self._stop.is_set():
            try:
                image = next(self._images)
            except StopIteration:
                self._over = True
                return None
            self._number += 1
            if image is not None:
                return image
            self._dropped["corrupt"] += 1
        return None

    def _next(self) -> Frame | None:
        image = self._advance()
        if image is None:
            return None
        place = self._number - 1
        if self._moments is None:
            offset_s = place / self.fps
            return Frame(self.gate, place, self._start_s + offset_s, self._start_wall + offset_s, image)
        moment, first = self._moments[place], self._moments[0]
        offset_s = moment.at_s - first.at_s
        # Played at its own pace it happens now; otherwise it happened then.
        captured_at = moment.captured_at if self._clock is _at_once else self._start_wall + offset_s
        return Frame(self.gate, moment.number, self._start_s + offset_s, captured_at, image)

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


def video(path: Path, fallback_fps: float) -> tuple[Iterator[Image | None], float]:
    if not path.exists():
        raise CameraError(f"{path}: no such file or folder", SOURCES)
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    ok, first = capture.read() if capture.isOpened() else (False, None)
    if not ok or first is None:
        capture.release()
        raise CameraError(f"{path}: not a video that can be decoded", "use an MP4, MKV, AVI or GIF file; convert others with ffmpeg")
    fps = float(capture.get(cv2.CAP_PROP_FPS))

    def images() -> Iterator[Image | None]:
        try:
            image: np.ndarray | None = first
            while image is not None:
                yield _bgr(image)
                ok, image = capture.read()
                image = image if ok else None
        finally:
            capture.release()

    # Some containers give their time base (1000, 90000) instead of a rate.
    return images(), fps if 0.1 <= fps <= 240 else fallback_fps


def pictures(path: Path, table: Sequence[str] | None = None) -> Iterator[Image | None]:
    """The pictures of a folder: those in a table, or all in the order of their names."""
    if not path.exists():
        raise CameraError(f"{path}: no such file or folder", SOURCES)
    if table is not None:
        files = [path / name for name in table]
    else:
        files = [path] if path.is_file() else sorted((p for p in path.iterdir() if p.suffix.lower() in PICTURES), key=natural)
    if not files:
        raise CameraError(f"{path}: no pictures in this folder", f"the names of pictures end in {', '.join(sorted(PICTURES))}")
    if all(_picture(p) is None for p in files):
        raise CameraError(f"{path}: none of its {counted(len(files), 'picture')} can be decoded", "check that these files are pictures")
    return (_picture(p) for p in files)


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
