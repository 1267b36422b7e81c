import contextlib
import struct
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.faces.photo import MAX_SCANS, MAX_SEGMENTS, PhotoError, check_jpeg, decode_jpeg, jpeg_header
from tests.fixtures.bombs import claiming, jpeg, png_bomb, scan_bomb, segment, two_frames, with_segments

PICTURE = np.random.default_rng(1).integers(0, 255, (90, 120, 3), np.uint8)
JPEG = cv2.imencode(".jpg", PICTURE)[1].tobytes()
SCAN = JPEG.index(b"\xff\xda")


def exif(orientation: int) -> bytes:
    return segment(0xE1, b"Exif\0\0II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0))


def test_a_jpeg_is_decoded() -> None:
    header = jpeg_header(JPEG)
    assert decode_jpeg(JPEG).shape == (90, 120, 3) and (header.width, header.height, header.scans) == (120, 90, 1)


def test_it_is_turned_upright() -> None:
    assert decode_jpeg(with_segments(JPEG, exif(6))).shape == (120, 90, 3)


@pytest.mark.parametrize(
    "data",
    [
        jpeg(progressive=True),
        jpeg(1000, 101),
        jpeg(rst_interval=1),
        scan_bomb(MAX_SCANS - 10),
        JPEG + b"behind the end stands what a phone has to say: \xff\xda\xff\xda" * 100,
        with_segments(JPEG, segment(0xE1, b"a thumbnail" + jpeg(progressive=True))),
        with_segments(JPEG, *[segment(0xFE, b"a comment")] * 1_000),
        JPEG[:2] + b"\xff" * 1000 + JPEG[2:],
        JPEG[:-2] + b"\xff" * 9 + JPEG[-1:],
        cv2.imencode(".jpg", PICTURE[:, :, 0])[1].tobytes(),
    ],
    ids=["progressive", "long", "restarts", "scans", "trailer", "thumbnail", "comments", "fill", "fill at the end", "grey"],
)
def test_unusual_photos_are_photos_too(data: bytes) -> None:
    assert decode_jpeg(data).dtype == np.uint8


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"", "not a JPEG"),
        (b"hello", "not a JPEG"),
        (png_bomb(), "not a JPEG"),
        (claiming(JPEG, width=60_000, height=60_000), "too many"),
        (claiming(JPEG, width=0, height=0), "too few"),
        (claiming(JPEG, height=0), "too few"),
        (claiming(JPEG, width=400, height=39), "too narrow"),
        (JPEG[: len(JPEG) // 2], "cut short"),
        (JPEG[:-2], "cut short"),
        (JPEG[:-1], "cut short"),
        (with_segments(JPEG, exif(1))[: len(JPEG) // 2], "cut short"),
        (JPEG[:30], "damaged"),
        (JPEG[:2] + b"\xff" * 1000, "damaged"),
        (JPEG[:SCAN] + b"\xff\xd9", "damaged"),
        (JPEG[:2] + JPEG[SCAN:], "damaged"),
        (scan_bomb(2_000), f"more than {MAX_SCANS} scans"),
        (with_segments(JPEG, *[segment(0xE0, b"")] * (MAX_SEGMENTS + 1)), f"more than {MAX_SEGMENTS} segments"),
        (two_frames(JPEG, 30_000, 30_000), "damaged"),
        (with_segments(JPEG, segment(0x02, JPEG[SCAN:-2] * 3)), "damaged"),
        (JPEG[:-2] + segment(0x02, JPEG[SCAN:-2]) + JPEG[-2:], "damaged"),
        (claiming(JPEG, bits=12, marker=0xC1), "12 bits"),
        (claiming(JPEG, marker=0xC9), "neither baseline nor progressive"),
        (claiming(JPEG, marker=0xC3), "neither baseline nor progressive"),
        (with_segments(JPEG, segment(0xCF, b"\x08" + bytes(20))), "neither baseline nor progressive"),
    ],
)
def test_what_is_no_good_photo_is_named_within_a_moment(data: bytes, word: str) -> None:
    started = time.perf_counter()
    with pytest.raises(PhotoError, match=word):
        check_jpeg(data)
    assert time.perf_counter() - started < 0.05
    with pytest.raises(PhotoError, match=word):
        decode_jpeg(data)


@pytest.mark.parametrize(("name", "word"), [("scanbomb-2000.jpg", "scans"), ("thin-33x50000.jpg", "too narrow")])
@pytest.mark.data
def test_the_files_that_once_stopped_a_gate_are_refused(cases_dir: Path, name: str, word: str) -> None:
    with pytest.raises(PhotoError, match=word):
        check_jpeg((cases_dir / "files" / name).read_bytes())


@given(st.integers(0, len(JPEG) - 1), st.integers(0, 255))
def test_a_changed_byte_is_a_picture_or_a_photo_error(at: int, value: int) -> None:
    with contextlib.suppress(PhotoError):
        assert decode_jpeg(JPEG[:at] + bytes([value]) + JPEG[at + 1 :]).ndim == 3


@given(st.binary(max_size=200), st.integers(2, SCAN))
def test_bytes_put_in_anywhere_are_a_picture_or_a_photo_error(more: bytes, at: int) -> None:
    with contextlib.suppress(PhotoError):
        assert decode_jpeg(JPEG[:at] + more + JPEG[at:]).ndim == 3
