"""Decode an enrolment photo without trusting its bytes: only JPEG, and its markers are read before anything is decoded."""

import re
import struct
from dataclasses import dataclass

import cv2
import numpy as np

from daemon.core.values import Image

MAX_PIXELS = 40_000_000
MIN_SIDE_PX = 32
MAX_ASPECT = 10
"""The longer side may have this many times the pixels of the shorter one. No camera's photo has more than 4 times."""
MAX_SCANS = 64
"""A decoder goes through the whole picture for every scan. Baseline files have at most 3, progressive ones usually 10."""
MAX_SEGMENTS = 2_000
"""Tables, comments and metadata. A file of 2 MiB could have 500,000 of them, without any pixel."""

_FRAMES = frozenset((0xC0, 0xC1, 0xC2))
"""The frame headers of baseline, extended and progressive files."""
_OTHER_FRAMES = frozenset(range(0xC3, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Lossless, hierarchical and arithmetic files. No camera writes them."""
_TABLES = frozenset((0xC4, 0xCC, 0xDB, 0xDC, 0xDD, 0xFE, *range(0xE0, 0xF0)))
"""Segments that say their length and may stand anywhere."""
_SCAN, _END = 0xDA, 0xD9
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
"""What ends the data of a scan: neither an escaped FF nor a restart marker."""


class PhotoError(ValueError):
    """The bytes are not a usable picture; the text says what is wrong with them."""


@dataclass(frozen=True, slots=True)
class JpegHeader:
    """What a JPEG file says of itself: sides in pixels, and how many scans it has."""

    width: int
    height: int
    scans: int


def jpeg_header(data: bytes) -> JpegHeader:
    """Read the markers of a JPEG file up to its end marker, without decoding it. Takes a millisecond. Raises PhotoError.

    Every file that a decoder could read in another way than this does is refused: markers that nobody knows, two frames.
    """
    if data[:3] != b"\xff\xd8\xff":
        raise PhotoError("the file is not a JPEG file")
    at, size, scans, segments = 2, None, 0, 0
    while at + 2 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if marker == _END and size is not None and scans:
            return JpegHeader(*size, scans)
        if marker in _OTHER_FRAMES:
            raise PhotoError("the JPEG file is neither baseline nor progressive; save it again as a usual photo")
        segments += 1
        if segments > MAX_SEGMENTS:
            raise PhotoError(f"the JPEG file has more than {MAX_SEGMENTS} segments; save it again as a usual photo")
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        end = at + 2 + length
        if length < 2 or end > len(data):
            break
        if marker in _FRAMES and size is None and length >= 8:
            size = _frame(data, at)
        elif marker == _SCAN and size is not None:
            scans += 1
            if scans > MAX_SCANS:
                raise PhotoError(f"the JPEG file has more than {MAX_SCANS} scans; save it again as a usual photo")
            found = _NEXT_MARKER.search(data, end)
            end = found.start() if found is not None else len(data)
        elif marker not in _TABLES:
            raise PhotoError("the JPEG file is damaged")
        at = end
    raise PhotoError("the JPEG file is cut short" if scans else "the JPEG file is damaged")


def _frame(data: bytes, at: int) -> tuple[int, int]:
    """(width, height) of the frame header at this place. Raises PhotoError."""
    precision, height, width, components = struct.unpack_from(">BHHB", data, at + 4)
    if precision != 8 or components not in (1, 3, 4):
        raise PhotoError(f"the JPEG file has {components} colours of {precision} bits; save it as a usual photo, with 8 bits")
    return width, height


def check_jpeg(data: bytes) -> None:
    """Refuse what need not be decoded to be refused. Raises PhotoError."""
    header = jpeg_header(data)
    shorter, longer = sorted((header.width, header.height))
    named = f"{header.width}×{header.height} pixels"
    if shorter * longer > MAX_PIXELS:
        raise PhotoError(f"{named} are too many; at most {MAX_PIXELS // 1_000_000} million are allowed")
    if shorter < MIN_SIDE_PX:
        raise PhotoError(f"{named} are too few; each side needs at least {MIN_SIDE_PX}")
    if longer > MAX_ASPECT * shorter:
        raise PhotoError(f"{named} are too narrow; one side may have at most {MAX_ASPECT} times the pixels of the other")


def decode_jpeg(data: bytes) -> Image:
    """Decode a JPEG file to BGR pixels, uint8 [height, width, 3], turned upright by its EXIF orientation. Raises PhotoError."""
    check_jpeg(data)
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise PhotoError(f"the JPEG file cannot be decoded ({error.err})") from None
    if image is None:
        raise PhotoError("the JPEG file cannot be decoded")
    return np.ascontiguousarray(image, np.uint8)
