"""When pictures were taken: cameras on a simulated network, whose truth is known."""

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.arrivals import Arrivals

FPS = 25


def ages(arrivals: Arrivals, sent: Sequence[tuple[float, float | None, float]]) -> list[tuple[float, float | None]]:
    """For pictures (taken, stamp, arrived): when each arrived, and how much younger than it is it was said to be."""
    found = []
    for taken_s, stamp_s, arrived_s in sent:
        said_s = arrivals.taken_s(arrived_s, stamp_s)
        found.append((arrived_s, None if said_s is None else said_s - taken_s))
    return found


def held(begin: float, end: float, taken_s: float, delay_s: float = 0.05) -> float:
    """When a picture arrives if the network was held meanwhile."""
    return end + delay_s + 1e-3 * (taken_s - begin) if begin <= taken_s + delay_s < end else taken_s + delay_s


def test_a_steady_stream_is_as_old_as_its_delay() -> None:
    found = ages(Arrivals(), [(n / FPS, 1000 + n / FPS, n / FPS + 0.05) for n in range(250)])
    assert found[0][1] is None and all(error is None for at, error in found if at < 0.4)
    known = [error for _, error in found if error is not None]
    assert len(known) > 235 and max(known) == pytest.approx(0.05, abs=2e-3), "what every picture takes cannot be seen"


def test_what_the_network_held_is_as_old_as_it_is() -> None:
    found = ages(Arrivals(), [(t, t, held(4, 8, t)) for t in (n / FPS for n in range(300))])
    assert all(error is not None and error < 0.1 for at, error in found if at > 1)


def test_what_was_kept_for_the_first_viewer_is_old() -> None:
    """Some servers send up to 5 s at once when somebody begins to watch; so does whoever had to look at the stream to open it."""
    arrivals = Arrivals()
    kept = [(n / FPS, n / FPS, 5.0 + n * 2e-3) for n in range(5 * FPS)]
    live = [(n / FPS, n / FPS, n / FPS + 0.05) for n in range(5 * FPS + 7, 10 * FPS)]
    found = ages(arrivals, kept + live)
    assert all(error is None or error < 0.1 for _, error in found)
    assert [error is not None for at, error in found if at > 6].count(False) == 0


def test_a_slow_link_that_catches_up_is_not_live_yet() -> None:
    """15 ms for each old picture: whoever waits for them could take them for new."""
    sent, at = [], 5.0
    for n in range(12 * FPS):
        at = max(n / FPS + 0.05, at + 0.015)
        sent.append((n / FPS, n / FPS, at))
    found = ages(Arrivals(), sent)
    assert all(error is None or error < 0.15 for _, error in found)
    assert found[-1][1] is not None


@pytest.mark.parametrize("drift", [-2e-3, -1e-4, 1e-4, 2e-3])
def test_a_camera_whose_clock_goes_wrong_stays_live(drift: float) -> None:
    found = ages(Arrivals(), [(n / FPS, n / FPS * (1 + drift), n / FPS + 0.05) for n in range(FPS * 3600)])
    errors = [error for at, error in found if at > 1]
    assert all(error is not None and -0.1 < error < 0.15 for error in errors)


@pytest.mark.parametrize("jump_s", [-3600.0, -5.0, -1.5, 0.3, 5.0, 90_000.0])
def test_stamps_that_jump_are_counted_anew(jump_s: float) -> None:
    sent = [(n / FPS, n / FPS + (jump_s if n >= 200 else 0), n / FPS + 0.05) for n in range(500)]
    found = ages(Arrivals(), sent)
    assert all(error is None or error < 0.1 for _, error in found)
    assert all(error is not None and error > -0.1 for at, error in found if at > 8.6)


def test_a_jump_while_the_network_was_held_makes_nothing_young() -> None:
    sent = [(n / FPS, n / FPS + (50 if n >= 150 else 0), held(4, 8, n / FPS)) for n in range(500)]
    assert all(error is None or error < 0.15 for _, error in ages(Arrivals(), sent))


def test_pictures_in_the_order_of_decoding_are_in_order() -> None:
    places = list(itertools.chain.from_iterable((n + 3, n + 1, n + 2) for n in range(0, 300, 3)))
    sent = [(p / FPS, p / FPS, (place + 4) / FPS) for place, p in enumerate(places)]
    found = ages(Arrivals(), sent)
    assert all(error is not None and abs(error) < 0.2 for at, error in found if at > 1)


@pytest.mark.parametrize("stamp", ["same", "none", "random"])
def test_a_stream_without_usable_stamps_is_known_by_its_arrival(stamp: str) -> None:
    sent = []
    for n in range(30 * FPS):
        value = {"same": 7.0, "none": None, "random": float((n * 7919) % 1000)}[stamp]
        sent.append((n / FPS, value, n / FPS + 0.05))
    found = ages(Arrivals(), sent)
    assert found[-1][1] == pytest.approx(0.05, abs=0.01)


def test_without_stamps_what_was_held_is_not_young() -> None:
    found = ages(Arrivals(stamped=False), [(t, None, held(4, 8, t)) for t in (n / FPS for n in range(300))])
    assert all(error is None for at, error in found if 8 <= at < 8.06)
    assert all(error is None or error < 0.15 for _, error in found)
    assert all(error is not None for at, error in found if at > 8.5 or 1 < at < 4)


def test_without_stamps_what_was_read_to_open_the_stream_is_not_young() -> None:
    sent = [(n / FPS, None, 2.0 + n * 1e-3) for n in range(50)] + [(n / FPS, None, n / FPS + 0.05) for n in range(50, 100)]
    found = ages(Arrivals(stamped=False), sent)
    assert all(error is None or error < 0.15 for _, error in found) and found[-1][1] is not None


def test_a_camera_that_sends_two_at_once_is_trusted() -> None:
    found = ages(Arrivals(stamped=False), [(n / FPS, None, (n // 2 * 2 + 1) / FPS + 0.05) for n in range(100)])
    assert [error for _, error in found[10:]].count(None) == 0


@given(st.lists(st.tuples(st.floats(0, 10), st.none() | st.floats(-1e6, 1e6)), max_size=200), st.booleans())
def test_nothing_is_taken_after_it_came(steps: list[tuple[float, float | None]], stamped: bool) -> None:
    arrivals, now_s = Arrivals(stamped), 100.0
    for step_s, stamp_s in steps:
        now_s += step_s
        taken_s = arrivals.taken_s(now_s, stamp_s)
        assert taken_s is None or taken_s <= now_s
