"""Decode an enrolment photo without trusting its bytes: only JPEG, and its size is read from the header before anything is decoded."""

import struct

import cv2
import numpy as np

from daemon.core.values import Image

MAX_PIXELS = 40_000_000
MIN_SIDE_PX = 32

# The frame headers of baseline, extended and progressive JPEG files. No camera writes the others (lossless, arithmetic).
_FRAME_HEADERS = {0xC0, 0xC1, 0xC2}


class PhotoError(ValueError):
    """The bytes are not a usable picture; the text says what is wrong with them."""


def jpeg_header(data: bytes) -> tuple[int, int, int]:
    """(width, height, offset of the first scan) of a JPEG file, without decoding it. Raises PhotoError."""
    if data[:3] != b"\xff\xd8\xff":
        raise PhotoError("the file is not a JPEG file")
    at, size = 2, None
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if marker == 0xDA:
            if size is None:
                break
            return *size, at
        if marker in _FRAME_HEADERS and at + 9 <= len(data):
            height, width = struct.unpack_from(">HH", data, at + 5)
            size = (width, height)
        at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    raise PhotoError("the JPEG file is damaged")


def decode_jpeg(data: bytes) -> Image:
    """Decode a JPEG file to BGR pixels, uint8 [height, width, 3], turned upright by its EXIF orientation. Raises PhotoError."""
    width, height, scan = jpeg_header(data)
    if width * height > MAX_PIXELS:
        raise PhotoError(f"{width}×{height} pixels are too many; at most {MAX_PIXELS // 1_000_000} million are allowed")
    if min(width, height) < MIN_SIDE_PX:
        raise PhotoError(f"{width}×{height} pixels are too few; each side needs at least {MIN_SIDE_PX}")
    # A file that was cut short decodes to a picture that is grey from there on. Only the missing end marker shows it.
    if data.find(b"\xff\xd9", scan) < 0:
        raise PhotoError("the JPEG file is cut short")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise PhotoError(f"the JPEG file cannot be decoded ({error.err})") from None
    if image is None:
        raise PhotoError("the JPEG file cannot be decoded")
    return np.ascontiguousarray(image, np.uint8)
