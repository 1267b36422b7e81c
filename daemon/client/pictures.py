"""Pictures as people have them (PNG, WebP, HEIC, large phone photos) to JPEG files as small as a command takes."""

import importlib
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from daemon.client.failures import USAGE, ClientError
from daemon.core import messages as m
from daemon.core.faces.photo import MAX_PIXELS, JpegHeader, PhotoError, jpeg_header
from daemon.core.values import Image

MAX_FILE_BYTES = 256 << 20
RECORD_BYTES = 16 << 10
"""What a command needs beside its pictures."""
BUDGET_BYTES = (m.MAX_PAYLOAD_BYTES - RECORD_BYTES) // 4 * 3
"""For all pictures of a command together, before they are written in base64."""
SIZES_PX = ((2400, 92), (2000, 90), (1600, 90), (1280, 88), (1000, 85), (800, 80), (640, 75), (480, 70))
"""Longer sides and JPEG qualities, tried in this order until a picture fits. A face 300 pixels wide is enough."""

_JPEG = b"\xff\xd8\xff"
_PHONES = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"mif2", b"msf1")
_MOST_HEIC_PIXELS = 50_000_000
"""As OPENCV_IO_MAX_IMAGE_PIXELS in `daemon/__init__.py`: 150 MB."""
_SMALLER = "save it smaller: 2000 pixels a side are enough"
_KINDS = "give a JPEG, PNG, WebP, HEIC, AVIF, GIF, BMP or TIFF file that shows one face"


def photos(paths: Sequence[Path]) -> list[bytes]:
    """The pictures in these files, as `fitted` gives them. Raises ClientError."""
    return fitted([(str(path), content_of(path)) for path in paths])


def fitted(files: Sequence[tuple[str, bytes]]) -> list[bytes]:
    """The pictures of one command, each with its name for errors, as JPEG files, upright, in their order. One that fits stays as it is.

    Raises ClientError, which names the picture."""
    left, made = BUDGET_BYTES, dict[int, bytes]()
    # The smallest come first: what they leave of their share is for the others.
    for done, place in enumerate(sorted(range(len(files)), key=lambda place: len(files[place][1]))):
        room = left // (len(files) - done)
        name, data = files[place]
        if not data:
            raise ClientError(USAGE, f"{name} is empty", "was the picture copied to its end?")
        made[place] = data if _fits(data, room) else _smaller(name, data, room)
        left -= len(made[place])
    return [made[place] for place in range(len(files))]


def content_of(path: Path) -> bytes:
    """All bytes of a picture file. Raises ClientError."""
    return read_file(path, MAX_FILE_BYTES, "give the path of a picture")


def read_file(path: Path, most: int, hint: str) -> bytes:
    """All bytes of a regular file. Raises ClientError with `hint` for anything else, and for one with more than `most` bytes."""
    try:
        # NONBLOCK: a pipe in its place must not stop the command.
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(file, "rb") as opened:
            about = os.fstat(file)
            if not stat.S_ISREG(about.st_mode):
                raise ClientError(USAGE, f"{path} is no file but a pipe or a device", hint)
            if about.st_size > most:
                message = f"{path} has {about.st_size / 1e6:,.0f} MB, and {most / 1e6:.0f} MB are allowed"
                raise ClientError(USAGE, message, "is this the file that you mean?")
            return opened.read(about.st_size)
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise ClientError(USAGE, f"{path}: {why}", hint) from None


def _fits(data: bytes, room: int) -> bool:
    """Whether a gate takes this file as it is. What is wrong with a damaged one, the gate says."""
    header = _header(data)
    return data.startswith(_JPEG) and len(data) <= room and (header is None or header.width * header.height <= MAX_PIXELS)


def _header(data: bytes) -> JpegHeader | None:
    try:
        return jpeg_header(data)
    except PhotoError:
        return None


def _smaller(name: str, data: bytes, room: int) -> bytes:
    """The picture as a JPEG file of at most `room` bytes. Raises ClientError."""
    import cv2  # a command without pictures need not wait for it

    image = _decoded(name, data)
    for side, quality in _sizes(max(image.shape[:2])):
        scale = side / max(image.shape[:2])
        size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
        shrunk = cv2.resize(image, size, interpolation=cv2.INTER_AREA) if scale < 1 else image
        jpeg = cv2.imencode(".jpg", shrunk, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
        if len(jpeg) <= room:
            return jpeg
    raise ClientError(USAGE, f"{name} does not fit into {room / 1e3:.0f} kB, also if it is shrunk", "send fewer images at a time")


def _sizes(longest: int) -> Iterator[tuple[int, int]]:
    """What is tried for a picture with this longer side: first as large as it is, and never larger."""
    yield from ((min(side, longest), quality) for side, quality in SIZES_PX)


def _decoded(name: str, data: bytes) -> Image:
    """The picture, uint8 [height, width, 3] BGR, turned upright as its file says. Raises ClientError; a picture of too many pixels is
    refused before it is decoded (`daemon/__init__.py`)."""
    import cv2

    if is_heic(data):
        return _decoded_heic(name, data)
    header = _header(data)
    longest = max(header.width, header.height) if header is not None else 0
    # A JPEG file can be decoded at half or a quarter of its size, which saves the memory of the whole.
    how = next((how for times, how in _reductions() if longest >= times * SIZES_PX[0][0]), cv2.IMREAD_COLOR)
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), how)
    except (cv2.error, MemoryError) as error:
        if "PIXELS" in str(error) or isinstance(error, MemoryError):
            raise _too_many_pixels(name) from None
        raise ClientError(USAGE, f"{name} cannot be decoded ({error.err})", _KINDS) from None
    if image is None:
        raise ClientError(USAGE, *_unreadable(name, data))
    return np.ascontiguousarray(image, np.uint8)


def is_heic(data: bytes) -> bool:
    """Whether these bytes begin as a phone's HEIC photo does."""
    return data[4:8] == b"ftyp" and data[8:12] in _PHONES


def _decoded_heic(name: str, data: bytes) -> Image:
    """The first picture of a HEIC file, upright, uint8 [height, width, 3] BGR. Raises ClientError."""
    try:
        heif = importlib.import_module("pillow_heif")
    except ImportError:
        hint = (
            "`pip install pillow-heif` to read it, choose the format 'most compatible' on the phone, or save the picture as JPEG "
            "(`heif-convert IN.heic OUT.jpg`)"
        )
        raise ClientError(USAGE, f"{name} is an HEIC picture, which cannot be read here", hint) from None
    try:
        opened = heif.open_heif(data)
        width, height = opened.size
        if width * height > _MOST_HEIC_PIXELS:
            raise _too_many_pixels(name)
        return np.ascontiguousarray(np.asarray(opened.to_pillow().convert("RGB"), np.uint8)[:, :, ::-1])
    except ClientError:
        raise
    except MemoryError:
        raise _too_many_pixels(name) from None
    except Exception as error:  # the library fails in many ways
        raise ClientError(USAGE, f"{name} is an HEIC picture that is damaged", "was the picture copied to its end?") from error


def _too_many_pixels(name: str) -> ClientError:
    return ClientError(USAGE, f"{name} has too many pixels to be decoded", _SMALLER)


def _reductions() -> tuple[tuple[int, int], ...]:
    import cv2

    return (8, cv2.IMREAD_REDUCED_COLOR_8), (4, cv2.IMREAD_REDUCED_COLOR_4), (2, cv2.IMREAD_REDUCED_COLOR_2)


def _unreadable(name: str, data: bytes) -> tuple[str, str]:
    if data.startswith((_JPEG, b"\x89PNG")):
        return f"{name} is damaged: it cannot be decoded", "was the picture copied to its end?"
    return f"{name} is not a picture that can be read here", _KINDS
