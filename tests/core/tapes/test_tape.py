"""Which tapes go, and what their bytes say of themselves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.tapes.tape import HEAD_BYTES, LONGEST, Bounds, Kept, TapeError, bounds, head, header, length_of, salt_of, surplus

tapes = st.lists(st.builds(Kept, st.uuids().map(str), st.integers(0, 1000), st.floats(0, 1000)), max_size=12)


@given(tapes, st.integers(0, 3000), st.floats(0, 2000), st.integers(1, 4000), st.floats(1, 500))
def test_what_stays_is_within_bounds_and_nothing_younger_goes_before_an_older_one(
    kept: list[Kept], besides: int, now: float, most: int, keep_s: float
) -> None:
    gone = surplus(kept, besides, now, Bounds(most, keep_s, most, keep_s))
    stays = [tape for tape in kept if tape not in gone]
    assert not stays or sum(tape.bytes for tape in stays) + besides <= most
    assert all(now - tape.written_at <= keep_s for tape in stays)
    assert all(old.written_at <= young.written_at for old in gone for young in stays)
    if gone:  # and the last of them had to
        last = gone[-1]
        assert now - last.written_at > keep_s or sum(tape.bytes for tape in (*stays, last)) + besides > most


def test_the_tapes_being_written_take_a_quarter_of_the_room_at_most() -> None:
    found = bounds(4000, 8000.0, gates=5, tape_s=600.0)
    assert 5 * found.tape_bytes <= 1000 and found.tape_s == 600.0


def test_what_is_on_a_tape_from_its_beginning_is_gone_in_time() -> None:
    short = bounds(4000, 400.0, 1, 600.0)
    assert short.tape_s == 50.0 and short.keep_s + short.tape_s == 400.0
    assert bounds(4000, 86_400.0, 1, 600.0).keep_s == 85_800.0
    nothing = bounds(4000, 0.0, 1, 600.0)
    assert surplus([Kept("a", 1, 100.0)], 0, 100.001, nothing)


def test_a_header_that_is_not_as_it_was_written_has_no_salt() -> None:
    whole = header(bytes(range(16)))
    assert salt_of(whole, "x") == bytes(range(16))
    for place in range(16, len(whole)):
        with pytest.raises(TapeError, match="damaged"):
            salt_of(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :], "x")
    with pytest.raises(TapeError, match="not a sealed recording"):
        salt_of(b"RIFF" + whole, "x")


@given(st.integers(0, 2**40), st.integers(16, LONGEST), st.integers(0, 8 * HEAD_BYTES - 1))
def test_a_chunks_length_is_believed_only_where_it_was_written(number: int, length: int, bit: int) -> None:
    written = head(number, length)
    assert length_of(number, written) == length
    assert length_of(number + 1, written) is None
    flipped = bytearray(written)
    flipped[bit // 8] ^= 1 << bit % 8
    assert length_of(number, bytes(flipped)) is None
