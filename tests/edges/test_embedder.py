"""ONNX Runtime with the bundle that comes with the daemon."""

from pathlib import Path

import numpy as np
import pytest

from daemon.core.bundle import BundleError, check_golden, golden_crop, read_card
from daemon.edges.embedder import Embedder, EmbedderError, open_embedder
from daemon.pipeline.opening import DEFAULT_BUNDLE


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return open_embedder(DEFAULT_BUNDLE, "cpu", 1)


def test_vectors_are_of_unit_length_and_do_not_depend_on_the_batch(embedder: Embedder) -> None:
    crops = np.stack([golden_crop(seed) for seed in range(40)])
    together = embedder.embed(crops)
    assert together.dtype == np.float32 and np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    alone = np.concatenate([embedder.embed(crops[i : i + 1]) for i in range(40)])
    assert np.abs(together - alone).max() < 1e-5


def test_the_default_bundle_passes_its_golden_check_and_exchanged_channels_fail_it(embedder: Embedder) -> None:
    card = read_card(embedder.session)
    assert check_golden(card, embedder.embed) > 0.99999
    with pytest.raises(BundleError, match="golden check failed"):
        check_golden(card, lambda crops: embedder.embed(crops[..., ::-1]))


def test_the_cpu_is_named_as_the_provider(embedder: Embedder) -> None:
    assert embedder.provider == "cpu" and open_embedder(DEFAULT_BUNDLE, "auto", 1).provider in {"cpu", "cuda"}


@pytest.mark.parametrize(
    ("content", "word"), [(None, "no such model file"), (b"", "not a model"), (b"not onnx at all" * 100, "not a model")]
)
def test_a_file_that_is_no_model_is_named(tmp_path: Path, content: bytes | None, word: str) -> None:
    path = tmp_path / "model.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(EmbedderError, match=word) as error:
        open_embedder(path, "cpu", 1)
    assert error.value.hint


@pytest.mark.data
def test_a_model_without_a_card_is_no_bundle(data_dir: Path) -> None:
    session = open_embedder(data_dir / "models" / "mobilefacenet.onnx", "cpu", 1).session
    with pytest.raises(BundleError, match="no card"):
        read_card(session)


def test_wrong_input_is_an_error_of_ours_and_not_of_the_runtimes_own_kind(embedder: Embedder) -> None:
    with pytest.raises(EmbedderError, match="failed on cpu"):
        embedder.embed(np.zeros((1, 50, 50, 3), np.uint8))
