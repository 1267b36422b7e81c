"""Whether a source lives, is quiet, or is frozen. Encoders are imitated here; real ones are in tests/bench/test_frozen.py."""

from collections.abc import Iterable

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from daemon.core.stillness import ALIVE_S, FROZEN_S, QUIET_S, Stillness

RATE = 10
Grey = npt.NDArray[np.uint8]
GRAIN = np.random.default_rng(0).normal(0, 1, (600, 800)).astype(np.float32)


def wall(noise: float = 0.0, seed: int = 0, shape: tuple[int, int] = (480, 640)) -> Grey:
    """A scene with an edge in it, as a sensor with noise sees it."""
    height, width = shape
    scene = np.full(shape, 110, np.float32)
    scene[height // 3 :, : width // 2] = 70
    y, x = np.random.default_rng(seed).integers(0, 100, 2)
    grain = cv2.resize(GRAIN[y : y + 480, x : x + 640], (width, height), interpolation=cv2.INTER_NEAREST)
    return np.asarray(np.clip(scene + noise * grain, 0, 255), np.uint8)


def with_head(image: Grey, x: float, side: int = 60) -> Grey:
    return np.asarray(cv2.ellipse(image.copy(), ((x, 200.0), (side, 1.4 * side), 0.0), 170, -1), np.uint8)


def with_time(image: Grey, number: int) -> Grey:
    text = f"12:00:{number // RATE % 60:02}"
    return np.asarray(cv2.putText(image.copy(), text, (12, 470), cv2.FONT_HERSHEY_SIMPLEX, 0.9, 255, 2), np.uint8)


def looks(stillness: Stillness, pictures: Iterable[Grey], since_s: float = 0.0, gop_s: float = 1.0) -> list[str]:
    return [stillness.observe(p, since_s + n / RATE, n % round(gop_s * RATE) == 0) for n, p in enumerate(pictures)]


def test_a_source_that_is_frozen_from_the_start_shows_nothing_new_and_is_called_frozen() -> None:
    stillness = Stillness()
    said = looks(stillness, [wall()] * (RATE * 20))
    assert said[0] == "still" and "new" not in said
    assert FROZEN_S <= said.index("frozen") / RATE <= FROZEN_S + 2
    assert said[-1] == "frozen" and stillness.why == "the picture repeats itself"


def test_a_clock_in_a_frozen_picture_is_no_life() -> None:
    said = looks(Stillness(), [with_time(wall(), number) for number in range(RATE * 20)])
    assert "new" not in said and said[-1] == "frozen"


def test_who_sways_at_the_gate_is_life_and_stays_so() -> None:
    stillness = Stillness()
    said = looks(stillness, [with_head(wall(2, number), 300 + 4 * np.sin(number / 5)) for number in range(RATE * 8)])
    assert said.index("new") < RATE and set(said[said.index("new") :]) == {"new"}
    assert stillness.why is None


def test_life_lapses_when_the_source_freezes() -> None:
    stillness = Stillness()
    looks(stillness, [with_head(wall(2, n), 200 + 5 * n) for n in range(RATE)])
    said = looks(stillness, [with_head(wall(2), 300)] * (RATE * 20), since_s=1.0)
    lapsed = said.index("still") / RATE
    assert lapsed <= ALIVE_S + 0.2 and "new" not in said[said.index("still") :]
    assert said[-1] == "frozen"


def test_how_long_life_counts_is_told() -> None:
    stillness = Stillness(alive_s=0.5)
    looks(stillness, [wall(), with_head(wall(), 300)])
    assert stillness.observe(with_head(wall(), 300), 0.6) == "new"
    assert stillness.observe(with_head(wall(), 300), 0.7) == "still"


def test_life_ends_an_alarm() -> None:
    stillness = Stillness()
    assert looks(stillness, [wall()] * (RATE * 20))[-1] == "frozen"
    assert stillness.observe(with_head(wall(), 300), 20.0) == "new"
    assert stillness.why is None and stillness.still_for(21.0) == 1.0


@pytest.mark.parametrize("quiet_s", [0.0, 20.0])
def test_stillness_alone_is_an_alarm_only_where_it_is_asked_for(quiet_s: float) -> None:
    stillness, picture = Stillness(quiet_s=quiet_s), np.full((120, 160), 90, np.uint8)
    looks = [stillness.observe(picture, at_s, key=at_s == 0) for at_s in np.arange(0, 40, 0.5)]
    assert ("frozen" in looks) == stillness.by_quiet == bool(quiet_s) and "new" not in looks


@pytest.mark.parametrize("noise", [0.5, 2.0, 6.0])
def test_the_noise_of_a_quiet_scene_is_neither_life_nor_a_frozen_source(noise: float) -> None:
    stillness = Stillness(quiet_s=15.0)
    said = looks(stillness, [wall(noise, number) for number in range(RATE * 30)])
    assert set(said) == {"still"}


def test_the_same_picture_between_key_frames_does_not_make_a_quiet_scene_frozen() -> None:
    """Long groups of pictures: an encoder that skips every block says the same for ten seconds."""
    stillness = Stillness()
    said = looks(stillness, [wall(2, number // (10 * RATE)) for number in range(RATE * 90)], gop_s=10)
    assert set(said) == {"still"}


def test_an_encoder_that_starts_again_at_each_key_frame_is_not_noise() -> None:
    """It comes nearer to the picture and never makes the same bytes."""
    goal = wall().astype(np.float32)

    def refined(number: int) -> Grey:
        left = 3.0 * 0.7 ** (number % (2 * RATE))
        error = GRAIN[: 480 // 8, : 640 // 8] if number // (2 * RATE) % 2 else GRAIN[60:120, : 640 // 8]
        rest = 0.2 * GRAIN[number // (2 * RATE) : number // (2 * RATE) + 60, 200:280]
        whole = cv2.resize(left * error + rest, (640, 480), interpolation=cv2.INTER_NEAREST)
        return np.asarray(np.clip(goal + whole, 0, 255), np.uint8)

    stillness = Stillness()
    said = looks(stillness, [refined(number) for number in range(RATE * 30)], gop_s=2)
    assert "new" not in said and said[-1] == "frozen"
    assert stillness.why == "nothing but its encoding changes the picture"


def test_where_nothing_can_be_told_stillness_itself_is_an_alarm_in_the_end() -> None:
    """No key frame ever comes: an encoder that renews the picture column by column."""
    stillness = Stillness()
    for number in range(round(QUIET_S) + 1):
        assert stillness.observe(wall(), float(number), key=number == 0) == "still"
    assert stillness.observe(wall(), QUIET_S + 1, key=False) == "frozen"
    assert stillness.why is not None and "nothing has moved" in stillness.why


def test_a_lamp_is_life_and_a_starving_encoder_is_not() -> None:
    stillness = Stillness()
    looks(stillness, [wall()] * RATE)
    assert stillness.observe(np.asarray(wall() + 40, np.uint8), 1.0) == "new"
    stillness = Stillness()
    looks(stillness, [wall()] * RATE)
    assert stillness.observe(np.asarray(wall() + 12, np.uint8), 1.0) == "still"


def test_another_size_of_picture_begins_anew() -> None:
    stillness = Stillness()
    assert looks(stillness, [wall(), with_head(wall(), 300)])[-1] == "new"
    assert stillness.observe(wall(shape=(1080, 1920)), 0.2) == "still"
    assert stillness.still_for(1.2) == 1.0


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (120, 160), (481, 641), (1920, 1080), (10, 4000), (2000, 8)])
def test_every_shape_of_picture_is_taken(shape: tuple[int, int]) -> None:
    stillness = Stillness()
    assert looks(stillness, [np.full(shape, 60 * (number % 2), np.uint8) for number in range(4)])[1:] == ["new"] * 3


def test_a_picture_that_is_a_part_of_another_is_taken_as_it_is() -> None:
    """A decoder's rows are longer than the picture."""
    plane = np.zeros((480, 704), np.uint8)
    plane[:, :640] = with_head(wall(), 300)
    one, other = Stillness(), Stillness()
    for grey in (wall(), plane[:, :640]):
        one.observe(grey, 0.0)
    for grey in (wall(), with_head(wall(), 300)):
        other.observe(grey, 0.0)
    assert one.still_for(1.0) == other.still_for(1.0) and one.observe(plane[:, :640], 0.1) == "new"
