"""A session on an NVIDIA GPU: its options, the proof that every node runs there, and batches of fixed size as CUDA graphs.

A CUDA graph replays the kernels of one batch with one launch. It needs what is kept here: every node on the GPU, one size of batch for each
graph, pixels and vectors at fixed addresses, and one thread at a time (onnxruntime.ai, CUDA execution provider, "Using CUDA Graphs").
"""

from collections import Counter
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from daemon.edges.embedder.errors import EmbedderError

CUDA = "CUDAExecutionProvider"
PROVIDER_OPTIONS = {
    # By rules and not by timing: the same algorithm, so the same vectors, at each start, and a start that does not wait for timings.
    "cudnn_conv_algo_search": "HEURISTIC",
    "enable_cuda_graph": "1",
    # The arena grows by what is asked for and not by doubling. With fixed batches it stands still after the warm-up.
    "arena_extend_strategy": "kSameAsRequested",
    "gpu_mem_limit": str(2 << 30),
}
SESSION_OPTIONS = {
    # Without the CPU provider and without fallback, a missing CUDA library is an error here and not a slow gate.
    "session.disable_cpu_ep_fallback": "1",
    "session.record_ep_graph_assignment_info": "1",
    # An 8-bit bundle: CUDA has no kernel for its integer biases. Without the CPU's fusions they are constants, and folded to float.
    "session.disable_quant_qdq": "1",
}
INSTALL = "run deploy/install.sh --cuda, or set model.provider to cpu or auto"


def audit(session: Any, provider: str = CUDA) -> None:
    """Raises EmbedderError unless every node of the session runs on this provider. The session was opened with SESSION_OPTIONS."""
    placed = Counter((part.ep_name, node.op_type) for part in session.get_provider_graph_assignment_info() for node in part.get_nodes())
    elsewhere = sorted(f"{kind} on {where}" for where, kind in placed if where != provider)
    if elsewhere or not placed:
        raise EmbedderError(
            f"the model does not run on {provider}: {', '.join(elsewhere[:3]) or 'no node is there'}",
            "write the model with constant shapes (`ostiary-train reshape`), or set model.provider to cpu",
        )


@dataclass(frozen=True, slots=True)
class _Batch:
    """One size: buffers on the device that stay where they are."""

    pixels: Any
    vectors: Any
    binding: Any
    options: Any


class Batches:
    """Runs a session for batches of fixed sizes. Several threads may call it: they take turns, because the buffers are shared."""

    def __init__(self, session: Any, dimension: int, device: str = "cuda") -> None:
        self._session, self._dimension, self._device = session, dimension, device
        self._sizes: dict[int, _Batch] = {}
        self._turn = Lock()

    def __call__(self, crops: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """uint8 [size, 112, 112, 3] to float32 [size, D]. The first call of a size keeps its buffers and captures its graph."""
        with self._turn:
            size = len(crops)
            if size not in self._sizes:
                self._sizes[size] = self._bound(crops.shape)
            batch = self._sizes[size]
            batch.pixels.update_inplace(np.ascontiguousarray(crops))
            self._session.run_with_iobinding(batch.binding, batch.options)
            # A copy: the next batch of this size overwrites the buffer.
            return np.array(batch.vectors.numpy(), np.float32)

    def _bound(self, shape: tuple[int, ...]) -> _Batch:
        value = onnxruntime.OrtValue.ortvalue_from_shape_and_type
        pixels, vectors = value(shape, np.uint8, self._device, 0), value((shape[0], self._dimension), np.float32, self._device, 0)
        binding = self._session.io_binding()
        binding.bind_ortvalue_input("image", pixels)
        binding.bind_ortvalue_output("embedding", vectors)
        options = onnxruntime.RunOptions()
        options.add_run_config_entry("gpu_graph_id", str(shape[0]))  # a graph of its own for each size
        return _Batch(pixels, vectors, binding, options)
