"""What is counted is what was meant to be counted."""

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from bench.cost import Spent, Turns, process_cpu_s


def busy(ms: float) -> None:
    until = time.process_time() + ms / 1000
    while time.process_time() < until:
        pass


def made() -> Iterator[int]:
    for number in range(3):
        busy(30)
        yield number


def test_the_work_on_each_piece_is_counted_and_not_its_making() -> None:
    spent = Spent()
    for _ in spent.each(made()):
        busy(5)
    assert len(spent.cpu_ms) == 3 and 5 <= spent.median < 30 and spent.wall_median >= 5


def test_the_making_of_each_piece_is_counted_and_not_the_work_on_it() -> None:
    spent = Spent()
    for _ in spent.waiting(made()):
        busy(60)
    assert len(spent.cpu_ms) == 3 and 30 <= spent.median < 60


def test_the_time_of_a_process_grows_and_that_of_none_is_nothing() -> None:
    before = process_cpu_s(os.getpid())
    busy(50)
    assert process_cpu_s(os.getpid()) > before
    assert process_cpu_s(2**22 + 1) == 0.0


def test_threads_take_turns_and_one_that_ends_or_fails_holds_up_nobody() -> None:
    turns, seen = Turns(3), []

    def walk(place: int, count: int) -> None:
        try:
            for piece in turns.pieces(place, range(count)):
                if piece == 3:
                    raise ValueError("out of pieces")
                seen.append((place, piece))
        finally:
            turns.leave(place)

    with ThreadPoolExecutor(3) as pool:
        walking = [pool.submit(walk, place, count) for place, count in enumerate((2, 5, 1))]
    assert seen == [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (1, 2)]
    with pytest.raises(ValueError, match="out of pieces"):
        walking[1].result()
