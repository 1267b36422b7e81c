"""Frames in and out of chunks: exactly what went in."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.tapes.frames import Began, Ended, FrameDecoder, FrameEncoder, Lost, frame_head, note_bytes, note_of
from daemon.core.tapes.tape import TapeError
from daemon.core.values import Frame, Image
from tests.fixtures.frames import frames, same


def played(chunks: list[bytes]) -> list[Frame]:
    decoder = FrameDecoder("north")
    return [decoder.decode(chunk) for chunk in chunks]


@given(st.integers(1, 12), st.integers(1, 6), st.integers(0, 99))
def test_every_pixel_and_every_time_comes_back(count: int, key_every: int, seed: int) -> None:
    given_, encoder = frames(count, seed), FrameEncoder(key_every)
    chunks = [encoder.encode(frame) for frame in given_]
    assert all(same(a, b) for a, b in zip(given_, played(chunks), strict=True))
    assert [frame_head(chunk)[3] for chunk in chunks] == [number % key_every == 0 for number in range(count)]


def test_a_camera_that_changes_its_size_goes_on() -> None:
    mixed, encoder = [*frames(2), *frames(2, shape=(10, 12)), *frames(1)], FrameEncoder()
    assert all(same(a, b) for a, b in zip(mixed, played([encoder.encode(f) for f in mixed]), strict=True))


def test_differences_wrap_around() -> None:
    def plain(value: int) -> Image:
        return np.full((8, 8, 3), value, np.uint8)

    encoder = FrameEncoder()
    chunks = [encoder.encode(Frame("north", n, 0.0, 0.0, plain(value))) for n, value in enumerate((250, 3, 255, 0))]
    assert [int(frame.image[0, 0, 0]) for frame in played(chunks)] == [250, 3, 255, 0]


def test_a_difference_without_what_it_is_from_is_no_frame() -> None:
    encoder = FrameEncoder()
    _, second = (encoder.encode(frame) for frame in frames(2))
    with pytest.raises(TapeError):
        FrameDecoder("north").decode(second)
    other = FrameDecoder("north")
    other.decode(FrameEncoder().encode(frames(1, shape=(10, 12))[0]))
    with pytest.raises(TapeError):
        other.decode(second)


@pytest.mark.parametrize("note", [Began("north", "frames", 1e9), Lost(3), Ended(50, 3, 1e9 + 2)])
def test_a_note_is_a_note_and_a_frame_is_none(note: Began | Lost | Ended) -> None:
    assert note_of(note_bytes(note)) == note
    assert note_of(FrameEncoder().encode(frames(1)[0])) is None


@pytest.mark.parametrize("chunk", [b'N{"kind":"later"}', b"N", b"N{"])
def test_a_note_of_a_later_daemon_is_no_guess(chunk: bytes) -> None:
    with pytest.raises(TapeError, match="cannot read"):
        note_of(chunk)


@pytest.mark.parametrize("chunk", [b"", b"F", b"L" + bytes(99), b"F" + bytes(25), b"F" + bytes(99)])
def test_what_is_no_frame_is_refused(chunk: bytes) -> None:
    with pytest.raises(TapeError):
        FrameDecoder("north").decode(chunk)
