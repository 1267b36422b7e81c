"""ONNX Runtime with the bundle that comes with the daemon."""

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from daemon.core.bundle import BundleError, check_golden, golden_crop, read_card
from daemon.edges.embedder import Embedder, EmbedderError, gpu, open_embedder
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


def on_the_cpu(**settings: str) -> Any:
    options = onnxruntime.SessionOptions()
    for key, value in settings.items():
        options.add_session_config_entry(f"session.{key}", value)
    return onnxruntime.InferenceSession(str(DEFAULT_BUNDLE), options, providers=["CPUExecutionProvider"])


def test_batches_with_fixed_buffers_answer_as_the_session_does_and_keep_no_answer(embedder: Embedder) -> None:
    batches = gpu.Batches(on_the_cpu(), 128, device="cpu")
    crops = np.stack([golden_crop(seed) for seed in range(8)])
    first = batches(crops[:4])
    assert np.abs(batches(crops[4:]) - embedder.embed(crops[4:])).max() < 1e-4
    assert np.abs(first - embedder.embed(crops[:4])).max() < 1e-4
    assert np.abs(batches(crops[:1]) - first[:1]).max() < 1e-4


def test_a_padded_batch_gives_only_the_crops_that_were_given(embedder: Embedder) -> None:
    fixed = Embedder(embedder.session, "cuda", batches=gpu.Batches(on_the_cpu(), 128, device="cpu"))
    crops = np.stack([golden_crop(seed) for seed in range(35)])
    assert np.abs(fixed.embed(crops) - embedder.embed(crops)).max() < 1e-4


def test_a_node_that_runs_elsewhere_is_named() -> None:
    session = on_the_cpu(record_ep_graph_assignment_info="1")
    gpu.audit(session, "CPUExecutionProvider")
    with pytest.raises(EmbedderError, match=r"does not run on CUDAExecutionProvider: \w+ on CPUExecutionProvider") as error:
        gpu.audit(session)
    assert "reshape" in error.value.hint


@pytest.mark.skipif(any(Path("/dev").glob("nvidia[0-9]*")), reason="there is a GPU")
def test_the_measurement_of_a_gpu_says_that_there_is_none() -> None:
    script = Path(__file__).parents[2] / "bench" / "gpu.sh"
    found = subprocess.run([str(script)], capture_output=True, text=True, check=False)
    assert found.returncode == 69 and "there is no NVIDIA GPU" in found.stdout and not found.stderr


def test_auto_says_why_it_left_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    assert open_embedder(DEFAULT_BUNDLE, "cpu", 1).fell_back == ""
    monkeypatch.setattr("daemon.edges.embedder._has_gpu", lambda: True)
    opened = open_embedder(DEFAULT_BUNDLE, "auto", 1)
    assert opened.provider == "cuda" or (opened.provider == "cpu" and "does not run on CUDA" in opened.fell_back)
