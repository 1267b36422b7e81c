"""Picture files of every usual kind to upright pixels. What a file is, is judged by its content and not by its name."""

from __future__ import annotations

import importlib
import io
import os
import stat
import warnings
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from daemon.core.faces.photo import MAX_ASPECT, MIN_SIDE_PX, PhotoError, jpeg_header
from daemon.core.values import Image
from trainer.people.walking import NO_TARGET, UNREADABLE

MAX_PIXELS = 120_000_000
"""Phones give 12 to 108 million. One such picture takes 360 MB."""
MAX_BYTES = 256 << 20
HEAD_BYTES = 32
RAW_SUFFIXES = (".dng", ".nef", ".nrw", ".cr2", ".cr3", ".arw", ".srf", ".sr2", ".orf", ".rw2", ".raf", ".pef", ".srw", ".x3f", ".raw")

_STARTS = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"\0\0\0\x0cjP  \r\n\x87\n": "JPEG 2000",
}
_HEIC = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"mif2"})
_DEEP = ("I", "F")
"""What Pillow calls pictures of more than 8 bits; it would cut their values off where OpenCV scales them."""


NO_HEIC = "a HEIC photo, and the package pillow-heif is not installed"
NO_MEMORY = "the memory is not enough for it"


class PictureError(ValueError):
    """A file gives no picture; `reason` is one line."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def passing(reason: str) -> bool:
    """Whether a file that is refused for this reason may be taken another time, as it is."""
    return reason.startswith((UNREADABLE, NO_TARGET, NO_HEIC, NO_MEMORY))


def kind(head: bytes) -> str | None:
    """What kind of picture begins with these HEAD_BYTES bytes; None if it is none that can be read."""
    for start, name in _STARTS.items():
        if head.startswith(start):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    if head[:2] == b"BM" and head[6:10] == b"\0\0\0\0" and len(head) > 18:
        return "BMP"
    if head[4:8] == b"ftyp":
        return "HEIC" if head[8:12] in _HEIC else "AVIF" if head[8:12] in (b"avif", b"avis") else None
    return None


def head_of(path: Path) -> bytes:
    """The first bytes of a file. Raises PictureError."""
    return _bytes(path, HEAD_BYTES)


def content_of(path: Path) -> bytes:
    """All bytes of a file. Raises PictureError, also for more than MAX_BYTES."""
    return _bytes(path, None)


def opens_heic() -> bool:
    """Whether HEIC photos can be read: their package is installed."""
    try:
        importlib.import_module("pillow_heif").register_heif_opener()
    except ImportError:
        return False
    return True


def read(path: Path) -> Image:
    """The picture in a file, as `decode` gives it. Raises PictureError."""
    return decode(content_of(path))


def decode(content: bytes) -> Image:
    """A picture file to BGR pixels, uint8 [height, width, 3], turned upright by its EXIF orientation; of several pictures the first.
    Raises PictureError."""
    what = kind(content[:HEAD_BYTES])
    if what is None:
        raise PictureError("not a picture" if content else "an empty file")
    if what == "HEIC" and not opens_heic():
        raise PictureError(NO_HEIC)
    try:
        if what == "JPEG":
            header = jpeg_header(content)
            _check_size(header.width, header.height)
            image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        else:
            image = _by_pillow(content)
    except PhotoError as error:
        raise PictureError(str(error)) from None
    except PictureError:
        raise
    except MemoryError:
        raise PictureError(NO_MEMORY) from None
    except Exception as error:  # each of Pillow's readers fails in its own way
        raise PictureError(f"a damaged {what} picture") from error
    if image is None:
        raise PictureError(f"a damaged {what} picture")
    return np.ascontiguousarray(image, np.uint8)


def _by_pillow(content: bytes) -> Any:
    from PIL import Image as pillow
    from PIL import ImageOps

    limit, pillow.MAX_IMAGE_PIXELS = pillow.MAX_IMAGE_PIXELS, None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with pillow.open(io.BytesIO(content)) as opened:
                _check_size(*opened.size)
                if opened.mode.startswith(_DEEP):
                    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
                return np.asarray(ImageOps.exif_transpose(opened).convert("RGB"), np.uint8)[:, :, ::-1]
    finally:
        pillow.MAX_IMAGE_PIXELS = limit


def _check_size(width: int, height: int) -> None:
    shorter, longer = sorted((width, height))
    if shorter * longer > MAX_PIXELS:
        raise PictureError(f"{width}×{height} pixels are too many; at most {MAX_PIXELS // 1_000_000} million are read")
    if shorter < MIN_SIDE_PX:
        raise PictureError(f"{width}×{height} pixels are too few")
    if longer > MAX_ASPECT * shorter:
        raise PictureError(f"{width}×{height} pixels are too narrow")


def _bytes(path: Path, most: int | None) -> bytes:
    try:
        # Between the listing and now a pipe may have taken the file's place: opening it must not wait.
        opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(opened, "rb") as file:
            about = os.fstat(opened)
            if not stat.S_ISREG(about.st_mode):
                raise PictureError("no file any more")
            if most is None and about.st_size > MAX_BYTES:
                raise PictureError(f"it has more than {MAX_BYTES >> 20} MB")
            return file.read(MAX_BYTES if most is None else most)
    except OSError as error:
        raise PictureError(f"{UNREADABLE} ({error.strerror})") from None
