"""A recording: a video file or a folder of pictures, every frame in order, with times that follow from the frame's number."""

import math
import re
import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path

import cv2
import numpy as np

from daemon.core.values import Frame, Image
from daemon.edges.camera.source import SOURCES, CameraError, State

PICTURES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})
CLOSE_S = 1.5


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
    ) -> None:
        self.gate, self.fps = gate, fps
        self._images, self._start_s, self._start_wall, self._clock = images, start_s, start_wall, clock or (lambda: math.inf)
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
        offset_s = (self._number - 1) / self.fps
        return Frame(self.gate, self._number - 1, self._start_s + offset_s, self._start_wall + offset_s, image)

    def _play(self, timeout_s: float) -> Frame | None:
        """The next frame, when its time has come. A reader that is slow gets it late, never not at all."""
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
        raise CameraError(f"{path}: not a video that can be decoded", "most MP4, MKV, AVI and GIF files can; convert others with ffmpeg")
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

    # Some containers name their time base (1000, 90000) in place of a rate.
    return images(), fps if 0.1 <= fps <= 240 else fallback_fps


def pictures(path: Path) -> Iterator[Image | None]:
    if not path.exists():
        raise CameraError(f"{path}: no such file or folder", SOURCES)
    files = [path] if path.is_file() else sorted((p for p in path.iterdir() if p.suffix.lower() in PICTURES), key=natural)
    if not files:
        raise CameraError(f"{path}: no pictures in this folder", f"pictures end in {', '.join(sorted(PICTURES))}")
    if all(_picture(p) is None for p in files):
        raise CameraError(f"{path}: none of its {len(files)} pictures can be decoded", "are they really pictures?")
    return (_picture(p) for p in files)


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
