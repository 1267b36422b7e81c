import contextlib
import struct

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.faces.photo import PhotoError, decode_jpeg, jpeg_header
from tests.fixtures.bombs import png_bomb

PICTURE = np.random.default_rng(1).integers(0, 255, (90, 120, 3), np.uint8)
JPEG = cv2.imencode(".jpg", PICTURE)[1].tobytes()


def with_size(width: int, height: int) -> bytes:
    """The same file, claiming another size."""
    at = JPEG.index(b"\xff\xc0")
    return JPEG[: at + 5] + struct.pack(">HH", height, width) + JPEG[at + 9 :]


def with_exif(orientation: int) -> bytes:
    tiff = b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    body = b"Exif\0\0" + tiff
    return JPEG[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + JPEG[2:]


def test_a_jpeg_is_decoded() -> None:
    assert decode_jpeg(JPEG).shape == (90, 120, 3) and jpeg_header(JPEG)[:2] == (120, 90)


def test_it_is_turned_upright() -> None:
    assert decode_jpeg(with_exif(6)).shape == (120, 90, 3)


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"", "not a JPEG"),
        (b"hello", "not a JPEG"),
        (png_bomb(), "not a JPEG"),
        (with_size(60_000, 60_000), "too many"),
        (with_size(0, 0), "too few"),
        (JPEG[: len(JPEG) // 2], "cut short"),
        (JPEG[:-2], "cut short"),
        (with_exif(1)[: len(JPEG) // 2], "cut short"),
        (JPEG[:30], "damaged"),
        (JPEG[:2] + b"\xff" * 1000, "damaged"),
    ],
)
def test_what_is_no_good_photo_is_named(data: bytes, word: str) -> None:
    with pytest.raises(PhotoError, match=word):
        decode_jpeg(data)


@given(st.integers(0, len(JPEG) - 1), st.integers(0, 255))
def test_a_changed_byte_is_a_picture_or_a_photo_error(at: int, value: int) -> None:
    with contextlib.suppress(PhotoError):
        assert decode_jpeg(JPEG[:at] + bytes([value]) + JPEG[at + 1 :]).ndim == 3
