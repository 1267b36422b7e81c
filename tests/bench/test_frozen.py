"""Frozen and quiet sources through the encoders of cameras. How often it goes wrong is measured by `python -m bench.frozen`."""

from collections.abc import Iterable
from itertools import chain, islice, repeat

import numpy as np
import pytest

from bench.frozen_scenes import CODECS, LIGHTS, Codec, coded, frozen, play, sensed, with_clock
from daemon.core.stillness import ALIVE_S, FROZEN_S, Stillness

FPS, WIDTH, HEIGHT = 10, 320, 240
DAY, NIGHT = LIGHTS[0], LIGHTS[2]
QUICK = {name: next(codec for codec in CODECS if codec.name.startswith(name)) for name in ("H.264, crf 23", "H.265, crf", "MJPEG, coarse")}


def looks(pictures: Iterable[np.ndarray], codec: Codec, stillness: Stillness | None = None) -> list[str]:
    detector = stillness or Stillness()
    return [detector.observe(shown.grey, number / FPS, shown.key) for number, shown in enumerate(coded(pictures, codec, FPS))]


@pytest.fixture
def people() -> None:
    """The demo's portraits."""
    pytest.importorskip("skimage", reason="the extra `demo` is not installed")
    pytest.importorskip("matplotlib", reason="the extra `demo` is not installed")


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize("codec", QUICK.values(), ids=str)
@pytest.mark.parametrize("clock", [False, True])
def test_a_portrait_that_is_frozen_from_the_start_is_never_new(codec: Codec, clock: bool) -> None:
    still = next(sensed(play("stands", "corridor", WIDTH, HEIGHT, FPS, 5), NIGHT, 5))
    pictures = repeat(still, 25 * FPS)
    said = looks(with_clock(pictures, FPS) if clock else pictures, codec)
    assert "new" not in said
    assert clock or said[-1] == "frozen"  # with a clock in it, the alarm of H.265 comes later


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize("codec", QUICK.values(), ids=str)
def test_who_comes_is_new_at_once_and_only_for_a_moment_when_the_source_freezes(codec: Codec) -> None:
    comes = islice(sensed(play("walks", "corridor", WIDTH, HEIGHT, FPS, 6), DAY, 6), 4 * FPS)
    said = looks(islice(frozen(chain(comes, repeat(np.zeros((HEIGHT, WIDTH), np.uint8))), 4 * FPS), 30 * FPS), codec)
    assert said.index("new") <= FPS // 2 and set(said[said.index("new") : 4 * FPS]) == {"new"}
    assert "new" not in said[4 * FPS + round(ALIVE_S * FPS) + 1 :]
    assert said[-1] == "frozen" and said.index("frozen") > (4 + FROZEN_S - 1) * FPS


@pytest.mark.parametrize("codec", QUICK.values(), ids=str)
def test_an_empty_corridor_is_not_frozen(codec: Codec) -> None:
    said = looks(islice(sensed(play("empty", "corridor", WIDTH, HEIGHT, FPS, 7), NIGHT, 7), 20 * FPS), codec, Stillness(quiet_s=15))
    assert set(said) == {"still"}


def test_a_starving_encoder_shows_no_life_of_a_frozen_source() -> None:
    """H.264 at a few kilobits refines the picture for many seconds, and starts again at each key frame."""
    still = next(sensed(play("empty", "corridor", WIDTH, HEIGHT, FPS, 8), NIGHT, 8))
    options = (("preset", "veryfast"), ("tune", "zerolatency"), ("maxrate", "24000"), ("bufsize", "24000"))
    said = looks(repeat(still, 30 * FPS), Codec("starving", "libx264", 2, options, 24))
    assert "new" not in said


@pytest.mark.data
@pytest.mark.parametrize("codec", QUICK.values(), ids=str)
def test_a_real_room_is_quiet_or_frozen_as_it_is(codec: Codec) -> None:
    still = next(sensed(play("empty", "0", WIDTH, HEIGHT, FPS, 9), DAY, 9))
    assert looks(repeat(still, 20 * FPS), codec)[-1] == "frozen"
    assert set(looks(islice(sensed(play("empty", "0", WIDTH, HEIGHT, FPS, 9), DAY, 9), 20 * FPS), codec)) == {"still"}
