"""Turning crops into vectors with ONNX Runtime, on the provider that was asked for and on no other."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import onnxruntime

from daemon.core.bundle import BundleError
from daemon.core.faults import Fault, first_line

Provider = Literal["auto", "cpu", "cuda"]

# Batches are padded to one of these sizes, because a GPU plans and keeps memory for every shape it has seen.
_BATCHES = (1, 2, 4, 8, 16, 32)


class EmbedderError(Fault):
    """The model cannot be run as asked. `hint` says what to do about it."""


@dataclass(slots=True)
class Embedder:
    """One ONNX Runtime session. `provider` is where it actually runs: `cpu` or `cuda`."""

    session: Any
    provider: str

    def embed(self, crops: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """uint8 [N, 112, 112, 3] RGB to float32 [N, D] unit vectors, N >= 1. Raises EmbedderError when the runtime fails."""
        parts = [self._batch(crops[i : i + _BATCHES[-1]]) for i in range(0, len(crops), _BATCHES[-1])]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _batch(self, crops: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        count = len(crops)
        size = next(b for b in _BATCHES if b >= count)
        if self.provider != "cpu" and size != count:
            crops = np.concatenate([crops, np.zeros((size - count, *crops.shape[1:]), np.uint8)])
        try:
            (vectors,) = self.session.run(["embedding"], {"image": np.ascontiguousarray(crops)})
        except Exception as error:  # the runtime's error classes have no public base
            raise EmbedderError(
                f"the model failed on {self.provider}: {first_line(error)}", "restart the process: a CUDA error does not go away"
            ) from error
        return np.asarray(vectors[:count], np.float32)

    def warm_up(self) -> None:
        """Run every batch size once, so that the first visitor does not wait and a missing library is found at the start."""
        for size in _BATCHES if self.provider != "cpu" else _BATCHES[:1]:
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
    """Load a bundle. `cuda` raises EmbedderError unless every node runs there; `auto` prefers CUDA and falls back to the CPU."""
    if provider == "cpu" or (provider == "auto" and not _has_gpu()):
        return _open(path, "cpu", threads)
    if provider == "cuda":
        return _open(path, "cuda", threads)
    try:
        return _open(path, "cuda", threads)
    except EmbedderError:
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
    if provider == "cuda":
        # Without the CPU provider and without fallback, a missing CUDA library is an error here and not a slow gate.
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        if hasattr(onnxruntime, "preload_dlls"):
            onnxruntime.preload_dlls()
    providers = ["CUDAExecutionProvider"] if provider == "cuda" else ["CPUExecutionProvider"]
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=providers)
        session.disable_fallback()
    except Exception as error:  # as above
        if provider == "cuda":
            raise EmbedderError(
                f"the model does not run on CUDA: {first_line(error)}",
                f"install ostiary[cuda] and a driver for CUDA {_cuda_version()}, or set model.provider to cpu or auto",
            ) from error
        raise EmbedderError(
            f"{path}: not a model that can be loaded: {first_line(error)}", "export it again with `ostiary-train export`"
        ) from error
    if provider == "cuda" and session.get_providers()[0] != "CUDAExecutionProvider":
        raise EmbedderError(
            "the model does not run on CUDA: the session fell back to the CPU",
            "install ostiary[cuda], or set model.provider to cpu or auto",
        )
    return Embedder(session, provider)


def _has_gpu() -> bool:
    return any(Path("/dev").glob("nvidia[0-9]*")) and "CUDAExecutionProvider" in onnxruntime.get_available_providers()


def _cuda_version() -> str:
    return str(getattr(onnxruntime, "cuda_version", ""))
