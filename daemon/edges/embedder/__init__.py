"""Turning crops into vectors with ONNX Runtime, on the provider that was asked for and on no other."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import onnxruntime

from daemon.core.bundle import BundleError
from daemon.core.faults import first_line
from daemon.edges.embedder import gpu
from daemon.edges.embedder.errors import EmbedderError

__all__ = ["Embedder", "EmbedderError", "Provider", "bundle_id", "open_embedder"]

Provider = Literal["auto", "cpu", "cuda"]

FIXED = (1, 2, 4, 8, 16, 32)
"""On a GPU, batches are padded to one of these sizes: it plans and keeps memory for every size it has seen."""
MOST_ON_A_CPU = 8
"""On a CPU, batches are cut but not padded. The runtime keeps memory for the largest one: 17 MB for 8 crops, 99 MB for 32, which are 8 %
faster (bench/README.md). A padded batch costs what its padding costs."""


@dataclass(slots=True)
class Embedder:
    """One ONNX Runtime session. `provider` is where it actually runs: `cpu` or `cuda`. `fell_back` says why `auto` did not take the
    GPU that is there, and is empty otherwise."""

    session: Any
    provider: str
    fell_back: str = ""
    batches: gpu.Batches | None = None

    def embed(self, crops: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """uint8 [N, 112, 112, 3] RGB to float32 [N, D] unit vectors, N >= 1. Raises EmbedderError when the runtime fails."""
        most = MOST_ON_A_CPU if self.batches is None else FIXED[-1]
        parts = [self._batch(crops[i : i + most]) for i in range(0, len(crops), most)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _batch(self, crops: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        count = len(crops)
        try:
            if self.batches is None:
                (vectors,) = self.session.run(["embedding"], {"image": np.ascontiguousarray(crops)})
            else:
                size = next(size for size in FIXED if size >= count)
                padding = np.zeros((size - count, *crops.shape[1:]), np.uint8)
                vectors = self.batches(np.concatenate([crops, padding]) if len(padding) else crops)
        except Exception as error:  # the runtime's error classes have no public base
            raise EmbedderError(
                f"the model failed on {self.provider}: {first_line(error)}", "restart the process: a CUDA error does not go away"
            ) from error
        return np.asarray(vectors[:count], np.float32)

    def warm_up(self) -> None:
        """Run the batch sizes that are used, so that the first visitor does not wait: on a GPU each fixed one, which captures its graph
        and finds a missing library; on a CPU the smallest and the largest."""
        for size in FIXED if self.batches is not None else (1, MOST_ON_A_CPU):
            self._batch(np.zeros((size, 112, 112, 3), np.uint8))


def bundle_id(path: Path) -> str:
    """`<file name>-<first 12 hex digits of the file's sha256>`. Vectors of bundles with different ids are never compared.
    Raises BundleError when the file cannot be read."""
    try:
        content = path.read_bytes()
    except OSError as error:
        hint = "check the path, or export a bundle with `ostiary-train export`"
        raise BundleError(f"cannot read the bundle {path}: {error.strerror}", hint) from error
    return f"{path.stem}-{hashlib.sha256(content).hexdigest()[:12]}"


def open_embedder(path: Path, provider: Provider, threads: int) -> Embedder:
    """Load a bundle. `cuda` raises EmbedderError unless every node runs there; `auto` prefers CUDA and falls back to the CPU, with the
    reason in `fell_back`."""
    if provider == "cuda" or (provider == "auto" and _has_gpu()):
        try:
            return _open(path, "cuda", threads)
        except EmbedderError as error:
            if provider == "cuda":
                raise
            embedder = _open(path, "cpu", threads)
            embedder.fell_back = error.message
            return embedder
    return _open(path, "cpu", threads)


def _open(path: Path, provider: str, threads: int) -> Embedder:
    if not path.is_file():
        raise EmbedderError(
            f"{path}: no such model file",
            "set model.bundle to a bundle made by `ostiary-train export` or `adopt`, or leave it empty for the one that comes along",
        )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    providers: list[Any] = ["CPUExecutionProvider"]
    if provider == "cuda":
        for key, value in gpu.SESSION_OPTIONS.items():
            options.add_session_config_entry(key, value)
        if hasattr(onnxruntime, "preload_dlls"):
            onnxruntime.preload_dlls()
        providers = [(gpu.CUDA, gpu.PROVIDER_OPTIONS)]
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=providers)
        session.disable_fallback()
    except Exception as error:  # as above
        if provider == "cuda":
            raise EmbedderError(
                f"the model does not run on CUDA: {first_line(error)}",
                f"run deploy/install.sh --cuda, install a driver for CUDA {_cuda_version()}, or set model.provider to cpu or auto",
            ) from error
        raise EmbedderError(
            f"{path}: not a model that can be loaded: {first_line(error)}", "export it again with `ostiary-train export`"
        ) from error
    if provider == "cpu":
        return Embedder(session, provider)
    if session.get_providers()[0] != gpu.CUDA:
        raise EmbedderError("the model does not run on CUDA: the session fell back to the CPU", gpu.INSTALL)
    gpu.audit(session)
    embedder = Embedder(session, provider, batches=gpu.Batches(session, session.get_outputs()[0].shape[-1]))
    embedder.warm_up()  # some libraries are first needed here; `auto` can still take the CPU
    return embedder


def _has_gpu() -> bool:
    return any(Path("/dev").glob("nvidia[0-9]*")) and gpu.CUDA in onnxruntime.get_available_providers()


def _cuda_version() -> str:
    return str(getattr(onnxruntime, "cuda_version", ""))
