"""Tapes and the recorder: bounds, rotation, damage, full disks, and that nobody ever waits for it."""

import os
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from daemon.core.tapes.frames import Began, FrameEncoder, Lost, note_bytes, note_of
from daemon.core.tapes.tape import HEAD_BYTES, START_BYTES, Bounds, TapeError, bounds
from daemon.core.values import Frame
from daemon.edges.recorder import RecordedFrames, Recorder, SealedSink, Shelf, Tape, catalogue, erase, tapes_in
from daemon.edges.recorder.tapes import TapeWriter
from tests.fixtures.frames import frames, same

KEY, OTHER = b"k" * 32, b"o" * 32
ROOMY = Bounds(10**9, 1e9, 10**8, 1e9)


class Wall:
    """A clock in the test's hands, UTC seconds."""

    def __init__(self) -> None:
        self.now = 1e9

    def __call__(self) -> float:
        return self.now


class Lines:
    """Bytes as they are."""

    def encode(self, item: bytes) -> bytes:
        return b"L" + item


def shelf(folder: Path, limits: Bounds = ROOMY, spare: int = 0) -> Shelf:
    return Shelf(folder, KEY, limits, "frames", spare)


def recorder(folder: Path, limits: Bounds = ROOMY, **more: object) -> Recorder[Frame]:
    return Recorder(shelf(folder, limits), FrameEncoder, lambda frame: frame.captured_at, **more)  # type: ignore[arg-type]


def recorded(folder: Path, given_: list[Frame], limits: Bounds = ROOMY) -> list[Path]:
    """The tapes of these frames."""
    one = recorder(folder, limits)
    one.start()
    for frame in given_:
        assert one.offer(frame.gate, frame, frame.image.nbytes)
    one.close()
    assert one.trouble is None
    return tapes_in(folder)


def played(paths: list[Path], key: bytes = KEY, warnings: list[str] | None = None) -> list[Frame]:
    source, found = RecordedFrames(paths, key, (warnings if warnings is not None else []).append), []
    while (frame := source.read(0.0)) is not None:
        found.append(frame)
    assert source.state == "ended"
    return found


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def tape_of(path: Path, parts: list[bytes], end: bytes | None = None) -> bytes:
    tape = TapeWriter(path, KEY)
    for part in parts:
        tape.append(part)
    tape.end(end) if end is not None else tape.abandon()
    return path.read_bytes()


def read(path: Path, key: bytes = KEY) -> tuple[list[bytes], bool | None]:
    tape = Tape(path, key)
    try:
        return list(tape.chunks()), tape.ended
    finally:
        tape.close()


# ---- one tape


def test_what_was_recorded_is_what_is_played(tmp_path: Path) -> None:
    given_, warnings = frames(120), list[str]()
    (path,) = recorded(tmp_path, given_)
    assert all(same(a, b) for a, b in zip(given_, played([path], warnings=warnings), strict=True)) and not warnings
    assert path.stat().st_mode & 0o777 == 0o600 and path.parent.stat().st_mode & 0o777 == 0o700


def test_nothing_readable_is_on_the_disk(tmp_path: Path) -> None:
    (path,) = recorded(tmp_path, frames(60))
    content = path.read_bytes()
    for word in (b"\x89PNG\r\n", b"IHDR", b"IDAT", b"JFIF", b"north", b"frames", b'"kind"'):
        assert word not in content
    counts = np.bincount(np.frombuffer(content[START_BYTES:], np.uint8), minlength=256)
    assert ((counts - counts.mean()) ** 2 / counts.mean()).sum() < 400, "as even as noise (chi-squared, 255 degrees of freedom)"


def test_a_tape_that_is_cut_off_is_read_to_its_last_whole_part_and_says_so(tmp_path: Path) -> None:
    parts = [b"L%d" % n * 20 for n in range(6)]
    whole, path = tape_of(tmp_path / "a", parts, b"N" * 9), tmp_path / "cut"
    seen = set()
    for length in range(START_BYTES, len(whole)):
        path.write_bytes(whole[:length])
        found, ended = read(path)
        assert found == parts[: len(found)] and ended is False
        seen.add(len(found))
    assert seen == set(range(7))
    path.write_bytes(whole)
    assert read(path) == ([*parts, b"N" * 9], True)


def test_zeros_after_a_power_cut_are_an_end_that_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(tape_of(path, [b"one", b"two"]) + bytes(5000))
    assert read(path) == ([b"one", b"two"], False)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_flipped_bit_never_gives_another_part(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "flipped"
    path.unlink(missing_ok=True)
    parts = [b"L%d" % n * 20 for n in range(4)]
    written = bytearray(tape_of(path, parts, b"N" * 9))
    bit = data.draw(st.integers(0, 8 * len(written) - 1))
    written[bit // 8] ^= 1 << bit % 8
    path.write_bytes(written)
    found = []
    with pytest.raises(TapeError) as error, closing(Tape(path, KEY)) as tape:
        for part in tape.chunks():
            found.append(part)
    assert found == parts[: len(found)] and "\n" not in error.value.message


@pytest.mark.parametrize("change", ["swapped", "left out", "twice", "goes on"])
def test_parts_in_another_order_are_refused(tmp_path: Path, change: str) -> None:
    path = tmp_path / "a"
    whole = tape_of(path, [b"Lone", b"Ltwo", b"Lsix"], b"Nend")
    size = (len(whole) - START_BYTES) // 4
    start, (a, b, c, d) = whole[:START_BYTES], [whole[START_BYTES + n * size : START_BYTES + (n + 1) * size] for n in range(4)]
    path.write_bytes(
        start + {"swapped": b + a + c + d, "left out": a + c + d, "twice": a + a + b + c + d, "goes on": a + b + c + d + d}[change]
    )
    with pytest.raises(TapeError, match="damaged"):
        read(path)


def test_parts_of_another_tape_are_refused(tmp_path: Path) -> None:
    one, two = (tape_of(tmp_path / name, [b"L" * 32], b"Nend") for name in "ab")
    (tmp_path / "c").write_bytes(one[:START_BYTES] + two[START_BYTES:])
    with pytest.raises(TapeError, match="damaged"):
        read(tmp_path / "c")
    assert one[START_BYTES + HEAD_BYTES :][:32] != two[START_BYTES + HEAD_BYTES :][:32], "the same parts, under another key"


def test_another_key_and_another_file_are_told_apart(tmp_path: Path) -> None:
    tape_of(tmp_path / "a", [b"Lone"], b"Nend")
    (tmp_path / "b").write_bytes(b"RIFF" + bytes(100))
    for path, key, word in (
        (tmp_path / "a", OTHER, "another key"),
        (tmp_path / "b", KEY, "not a sealed"),
        (tmp_path / "c", KEY, "cannot be read"),
    ):
        with pytest.raises(TapeError, match=word):
            read(path, key)


def test_a_frame_that_does_not_open_is_refused_and_those_before_it_are_right(tmp_path: Path) -> None:
    given_ = frames(30)
    (path,) = recorded(tmp_path, given_)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    source, found = RecordedFrames([path], KEY, print), list[Frame]()
    with pytest.raises(TapeError, match="damaged"):
        while (frame := source.read(0.0)) is not None:
            found.append(frame)
    assert 5 < len(found) < 30 and all(same(a, b) for a, b in zip(given_, found, strict=False))


# ---- the recorder


def test_tapes_are_begun_anew_by_size_and_by_time_and_none_is_missing_a_frame(tmp_path: Path) -> None:
    given_ = frames(60)
    by_size = recorded(tmp_path / "size", given_, Bounds(10**9, 1e9, 20_000, 1e9))
    assert len(by_size) > 3 and all(path.stat().st_size <= 20_000 for path in by_size)
    wall = Wall()
    one = recorder(tmp_path / "time", Bounds(10**9, 1e9, 10**8, 10.0), wall=wall)
    one.start()
    for frame in given_:
        one.offer("north", frame, 1)
        until(lambda: one._waiting.empty())
        wall.now += 1.0
    one.close()
    by_time = tapes_in(tmp_path / "time")
    assert 5 <= len(by_time) <= 7
    for paths in (by_size, by_time):
        assert all(same(a, b) for a, b in zip(given_, played(paths), strict=True))


@settings(max_examples=25, deadline=None)
@example(30, [("north", 1500)] * 100)
@given(st.integers(30, 300), st.lists(st.tuples(st.sampled_from(["north", "east", "west"]), st.integers(0, 6_000)), max_size=120))
def test_however_much_comes_no_more_than_the_bound_is_on_the_disk(
    tmp_path_factory: pytest.TempPathFactory, kb: int, items: list[tuple[str, int]]
) -> None:
    folder, most, noted = tmp_path_factory.mktemp("bound"), kb * 1000, list[int]()
    limits = bounds(most, 1e9, 3, 1e9)
    shelf_ = Shelf(folder, KEY, limits, "lines", 0)
    one: Recorder[bytes] = Recorder(shelf_, Lines, lambda line: 0.0, size=noted.append, clock=lambda: 100.0)  # closing has all the time
    seen, write = [], one._write

    def measured(gate: str, item: bytes) -> None:
        try:
            write(gate, item)
        finally:
            seen.append(sum(path.stat().st_size for path in tapes_in(folder)))

    one._write = measured  # type: ignore[method-assign]
    one.start()
    for gate, size in items:
        one.offer(gate, bytes(size), size)
    one.ask_to_end()
    one._thread.join()
    assert max((*seen, sum(path.stat().st_size for path in tapes_in(folder)), 0)) <= most
    assert all(told <= most for told in noted) and len(seen) == len(items)


def test_the_newest_stay_when_room_is_short(tmp_path: Path) -> None:
    given_ = frames(200)
    found = played(recorded(tmp_path, given_, bounds(200_000, 1e9, 1, 1e9)))
    assert 20 < len(found) < 200 and found[-1].number == given_[-1].number
    assert [f.number for f in found] == [f.number for f in given_[-len(found) :]], "without a gap"


def test_what_is_too_old_goes_also_while_nothing_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (path,) = recorded(tmp_path, frames(5))
    wall = Wall()
    wall.now = path.stat().st_mtime + 87
    monkeypatch.setattr("daemon.edges.recorder.recorder.TEND_S", 0.01)
    one = recorder(tmp_path, bounds(10**9, 100.0, 1, 1e9), wall=wall)
    one.start()
    time.sleep(0.1)
    assert path.exists()
    wall.now += 2
    until(lambda: not path.exists())
    one.close()


def test_a_picture_that_no_tape_has_room_for_is_named_and_the_next_one_is_recorded(tmp_path: Path) -> None:
    one = recorder(tmp_path, bounds(40_000, 1e9, 1, 1e9))
    one.start()
    large = frames(1, shape=(200, 200))[0]
    one.offer("north", large, 1)
    until(lambda: one.trouble)
    assert "a tape holds only 10000" in str(one.trouble)
    one.offer("north", frames(1)[0], 1)
    until(lambda: one.trouble is None)
    one.close()
    warnings = list[str]()
    assert len(played(tapes_in(tmp_path)[-1:], warnings=warnings)) == 1 and "1 frame that" in warnings[0]


def test_the_gate_never_waits_and_what_is_dropped_is_counted_and_noted(tmp_path: Path) -> None:
    hold, lost = threading.Event(), list[int]()

    class Slow(FrameEncoder):
        def encode(self, frame: Frame) -> bytes:
            hold.wait(10)
            return super().encode(frame)

    given_ = frames(30)
    size = given_[0].image.nbytes
    one: Recorder[Frame] = Recorder(
        shelf(tmp_path), Slow, lambda f: f.captured_at, lost=lambda gate, count: lost.append(count), held_bytes=10 * size
    )
    one.start()
    one.offer("north", given_[0], size)
    until(lambda: one._waiting.empty())  # the writer has it, and hangs
    began = time.monotonic()
    taken = [one.offer("north", frame, size) for frame in given_[1:]]
    assert time.monotonic() - began < 0.5 and taken == [True] * 10 + [False] * 19 and len(lost) == 19
    hold.set()
    until(lambda: one._waiting.empty())
    one.offer("north", given_[-1], size)
    one.close()
    (path,), warnings = tapes_in(tmp_path), list[str]()
    assert [f.number for f in played([path], warnings=warnings)] == [f.number for f in (*given_[:11], given_[-1])]
    assert "19 frames that the gate saw are not in it" in warnings[0]
    (listed,) = catalogue(tmp_path, KEY)
    assert (listed.frames, listed.lost, listed.ending) == (12, 19, "whole")


def test_a_disk_that_hangs_ends_nobody_elses_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hold = threading.Event()
    monkeypatch.setattr(os, "write", lambda file, data: hold.wait(30))
    monkeypatch.setattr("daemon.edges.recorder.recorder.CLOSE_S", 0.2)
    one = recorder(tmp_path)
    one.start()
    began = time.monotonic()
    for frame in frames(5):
        one.offer("north", frame, 1)
    one.close()
    assert time.monotonic() - began < 2
    hold.set()


def test_a_full_disk_stops_the_recording_with_a_reason_and_it_goes_on_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, full, lost, real = Wall(), threading.Event(), list[int](), os.write
    given_ = frames(20)

    def write(file: int, data: memoryview) -> int:
        if full.is_set():
            real(file, data[: len(data) // 2])
            raise OSError(28, "No space left on device")
        return real(file, data)

    monkeypatch.setattr(os, "write", write)
    one = recorder(tmp_path, clock=clock, lost=lambda gate, count: lost.append(count))
    one.start()
    for number, frame in enumerate(given_):
        if number == 5:
            full.set()
        if number == 10:
            full.clear()  # and yet it is tried again only when it is time
        if number == 15:
            clock.now += 10
        assert one.offer("north", frame, 1)
        until(lambda: one._waiting.empty())
        if 6 <= number < 15:
            assert one.trouble == "No space left on device"
    one.close()
    assert one.trouble is None and sum(lost) == 10
    first, second = tapes_in(tmp_path)
    warnings = list[str]()
    assert [f.number for f in played([first, second], warnings=warnings)] == [f.number for f in given_[:5] + given_[15:]]
    assert "cut off after frame 15" in warnings[0] and "10 frames" in warnings[1]
    assert read(first)[1] is False, "half a part is taken back"


def test_a_disk_that_fails_while_two_gates_tapes_end_stops_the_recording_only_until_it_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wall, clock, failing, real = Wall(), Wall(), threading.Event(), Shelf.look

    def fsync(file: int) -> None:
        if failing.is_set():
            raise OSError(5, "Input/output error")

    def look(self: Shelf, but: set[Path]) -> None:
        if failing.is_set():
            raise OSError(5, "Input/output error")
        real(self, but)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Shelf, "look", look)
    monkeypatch.setattr("daemon.edges.recorder.recorder.TEND_S", 0.01)
    shelf_ = shelf(tmp_path, Bounds(10**9, 1e9, 10**8, 60.0))
    one: Recorder[bytes] = Recorder(shelf_, Lines, lambda line: wall.now, wall=wall, clock=clock)
    one.start()
    for gate in ("north", "south"):
        assert one.offer(gate, b"before", 1)
    until(lambda: len(tapes_in(tmp_path)) == 2)
    failing.set()
    wall.now += 60
    clock.now += 60
    until(lambda: one.trouble)
    assert one.trouble is not None and "Input/output error" in one.trouble and "ended" not in one.trouble
    failing.clear()
    clock.now += 60
    for gate in ("north", "south"):
        assert one.offer(gate, b"after", 1)
    until(lambda: len(tapes_in(tmp_path)) == 4 and one.trouble is None)
    one.close()


def test_nobody_else_can_look_into_the_folder_of_the_tapes(tmp_path: Path) -> None:
    folder = tmp_path / "recordings"
    recorded(folder, frames(2))
    assert {path.name: path.stat().st_mode & 0o777 for path in (folder, folder / "north")} == {"recordings": 0o700, "north": 0o700}


def test_a_disk_with_little_left_is_left_to_the_store(tmp_path: Path) -> None:
    one: Recorder[Frame] = Recorder(shelf(tmp_path, spare=1 << 60), FrameEncoder, lambda f: f.captured_at)
    one.start()
    one.offer("north", frames(1)[0], 1)
    until(lambda: one.trouble)
    assert "reserved for the store" in str(one.trouble)
    one.close()
    assert not tapes_in(tmp_path)


def test_a_recorder_that_breaks_says_so_and_takes_nothing_more(tmp_path: Path) -> None:
    class Broken:
        def encode(self, frame: Frame) -> bytes:
            raise ValueError("out of order")

    one: Recorder[Frame] = Recorder(shelf(tmp_path), Broken, lambda f: f.captured_at)
    one.start()
    one.offer("north", frames(1)[0], 1)
    until(lambda: one.trouble)
    assert "out of order" in str(one.trouble) and not one.offer("north", frames(1)[0], 1)
    one.close()


# ---- beside a recorder that goes on


def test_a_tape_that_is_being_written_is_listed_as_that_and_can_be_read_as_far_as_it_goes(tmp_path: Path) -> None:
    one = recorder(tmp_path)
    one.start()
    for frame in frames(5):
        one.offer("north", frame, 1)
    until(lambda: one._waiting.empty() and tapes_in(tmp_path) and len(read(tapes_in(tmp_path)[0])[0]) == 6)
    (listed,) = catalogue(tmp_path, KEY)
    assert (listed.ending, listed.frames, listed.gate) == ("being written", 5, "north")
    assert listed.ends == pytest.approx(frames(5)[-1].captured_at)
    assert len(played([listed.path])) == 5
    one.close()
    (listed,) = catalogue(tmp_path, KEY)
    assert listed.ending == "whole"


def test_erasing_holds_also_for_the_tape_that_is_being_written(tmp_path: Path) -> None:
    one, given_ = recorder(tmp_path), frames(10)
    one.start()
    for frame in given_[:5]:
        one.offer("north", frame, 1)
    until(lambda: one._waiting.empty() and tapes_in(tmp_path) and len(read(tapes_in(tmp_path)[0])[0]) == 6)
    (first,) = tapes_in(tmp_path)
    copy = tmp_path / "held open"
    copy.hardlink_to(first)  # as the disk may keep it
    for path in tapes_in(tmp_path):
        erase(path)
    assert not tapes_in(tmp_path)
    copy_bytes = copy.read_bytes()
    copy.unlink()
    for frame in given_[5:]:
        one.offer("north", frame, 1)
    one.close()
    assert one.trouble is None
    assert [f.number for f in played(tapes_in(tmp_path))] == [f.number for f in given_[5:]]
    assert copy_bytes[:START_BYTES] == bytes(START_BYTES), "its salt is gone first, so that what is left opens with no key"


def test_a_folder_with_a_tape_of_a_crash_in_its_first_moment_is_played(tmp_path: Path) -> None:
    (path,) = recorded(tmp_path, frames(5))
    for name, size in (("20000101T000000.tape", 20), ("20000102T000000.tape", START_BYTES), ("20000103T000000.tape", START_BYTES + 4)):
        (path.parent / name).write_bytes(path.read_bytes()[:size])
    assert len(played(tapes_in(tmp_path))) == 5
    assert [each.ending for each in catalogue(tmp_path, KEY)] == ["unreadable"] * 3 + ["whole"]
    with pytest.raises(TapeError, match="before its first part"):
        RecordedFrames(tapes_in(tmp_path)[:3], KEY, print)


def test_lost_frames_are_noted_where_they_were_lost(tmp_path: Path) -> None:
    path = tmp_path / "a"
    encoder = FrameEncoder()
    tape_of(path, [note_bytes(Began("north", "frames", 1.0)), note_bytes(Lost(4)), *(encoder.encode(f) for f in frames(2))])
    found, warnings = [note_of(part) for part in read(path)[0]], list[str]()
    assert found[1] == Lost(4) and len(played([path], warnings=warnings)) == 2
    assert warnings == [f"{path}: 4 frames that the gate saw are not in it", f"{path}: cut off after frame 9"]


def test_a_recording_whose_disk_fills_ends_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given_, real = frames(6), os.write
    sink = SealedSink(tmp_path / "a", KEY, "north", 0.0)
    for frame in given_[:4]:
        sink.append(frame)

    def write(file: int, data: memoryview) -> int:
        if len(data) < 200:
            raise OSError(28, "No space left on device")
        return real(file, data[:100])

    with monkeypatch.context() as full:
        full.setattr(os, "write", write)
        with pytest.raises(OSError, match="No space"):
            sink.append(given_[4])
    with pytest.raises(OSError, match="earlier write"):
        sink.append(given_[5])
    sink.close()
    warnings = list[str]()
    assert [f.number for f in played([tmp_path / "a"], warnings=warnings)] == [f.number for f in given_[:4]] and not warnings
