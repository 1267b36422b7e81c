"""dlib's network: its file is read, its numbers are dlib's own, and files that are something else are refused."""

import re
from collections.abc import Callable

import keras
import numpy as np
import pytest

from daemon.core.bundle import golden_crop
from trainer.models import dlib_file, dlib_network, networks
from trainer.models.dlib_file import DlibError
from trainer.recipes.values import Network, RecipeError

NETWORK = Network(kind="dlib", size=112)
# Every eighth number that dlib 20.0.1 answers to the chips of `chips`.
GOLDEN = np.array(
    [
        -0.041586, 0.124207, -0.119061, -0.081741, -0.101467, -0.164196, 0.033563, 0.017862,
        0.11119, -0.115606, -0.114182, 0.20115, -0.035199, -0.185422, 0.236983, -0.01991,
        -0.066004, 0.152203, -0.091993, -0.112319, -0.142249, -0.174193, 0.059288, -0.005181,
        0.199864, -0.109625, -0.138586, 0.191254, -0.077824, -0.210278, 0.208941, -0.043416,
        -0.034693, 0.109866, -0.101904, -0.10474, -0.136575, -0.171886, 0.04713, 0.041835,
        0.180138, -0.139246, -0.099723, 0.19198, -0.073065, -0.175162, 0.229527, -0.035026,
    ]
).reshape(-1, 16)  # fmt: skip


@pytest.fixture(scope="module")
def content() -> bytes:
    return dlib_network.content()


def chips() -> np.ndarray:
    """Golden crops, each pixel repeated until they have 150 a side."""
    at = np.arange(dlib_network.CHIP_PX) * 112 // dlib_network.CHIP_PX
    return np.stack([golden_crop(seed)[at][:, at] for seed in range(len(GOLDEN))])


def test_its_numbers_are_those_of_dlib() -> None:
    encoder = networks.encoder(NETWORK)
    encoder.set_weights(dlib_network.weights())
    behind_the_chip = keras.Model(encoder.get_layer("chip").output, encoder.output)
    seen = (chips().astype(np.float32) - np.array(dlib_network.MEAN_RGB, np.float32)) / np.float32(dlib_network.SCALE)
    assert np.abs(np.asarray(behind_the_chip(seen))[:, ::8] - GOLDEN).max() < 1e-5


def test_frozen_convolutions_are_not_trained() -> None:
    whole, half = networks.encoder(NETWORK), networks.encoder(Network(kind="dlib", size=112, frozen_layers=21))
    assert len(whole.trainable_variables) == 59 and len(half.trainable_variables) == 59 - 2 * 21


@pytest.mark.parametrize("wrong", [{"size": 64}, {"size": 112, "embedding": 64}])
def test_other_sizes_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(RecipeError, match="fixed sizes"):
        networks.encoder(Network(kind="dlib", **wrong))  # type: ignore[arg-type]


def _cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def _other_name(content: bytes) -> bytes:
    return content.replace(b"\x05con_4", b"\x05con_5", 1)


def _not_a_number(content: bytes) -> bytes:
    """NaN among the weights of the first convolution."""
    (start,) = [found.end() for found in re.finditer(rb"\x05con_4", content)][:1]
    return content[: start + 4000] + b"\xff" * 8 + content[start + 4008 :]


@pytest.mark.parametrize("damage", [lambda _: b"", lambda _: bytes(range(256)) * 4000, _cut, _other_name, _not_a_number])
def test_a_file_that_is_something_else_is_refused(damage: Callable[[bytes], bytes], content: bytes) -> None:
    with pytest.raises(DlibError, match="not dlib's face recognition network"):
        dlib_file.read(damage(content))


def test_random_damage_is_refused_or_changes_numbers_only(content: bytes) -> None:
    """Whatever a byte becomes: no other exception, no network of another shape."""
    rng = np.random.default_rng(1)
    for _ in range(12):
        damaged = bytearray(content)
        for at in rng.integers(0, 40_000, 3):
            damaged[at] ^= int(rng.integers(1, 256))
        try:
            read = dlib_file.read(bytes(damaged))
        except DlibError:
            continue
        assert len(read.convolutions) == dlib_file.CONVOLUTIONS and read.matrix.shape == (256, 128)


def test_another_file_in_the_package_is_refused(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(dlib_network, "content", lambda: content + b"\x00")
    with pytest.raises(DlibError, match="is not the file that is known"):
        dlib_network.weights()


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dlib_network, "PACKAGE", "no_such_package")
    with pytest.raises(DlibError) as error:
        dlib_network.weights()
    assert "not installed" in error.value.message and ".[dlib]" in error.value.hint
