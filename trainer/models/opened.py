"""A bundle opened with ONNX Runtime."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from daemon.core import bundle as bundles
from daemon.core.bundle import Card
from daemon.core.faults import first_line
from trainer.models.whole import Embed, finite


def onnx_embedder(content: bytes | Path, batch: int = 64, in_float: bool = False) -> tuple[Embed, Card]:
    """A bundle opened with ONNX Runtime on the CPU, and its card. `in_float`: an 8-bit bundle is computed as a GPU computes it, in float.
    Raises BundleError; the function raises VectorError."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as ort

    if isinstance(content, Path) and not content.is_file():
        raise bundles.BundleError(f"{content} does not exist", "give a bundle made by `ostiary-train export`")
    try:
        options = onnxruntime.SessionOptions()
        if in_float:
            options.add_session_config_entry("session.disable_quant_qdq", "1")
        file = content if isinstance(content, bytes) else str(content)
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    except (ort.Fail, ort.InvalidGraph, ort.InvalidProtobuf, ort.InvalidArgument, ort.NotImplemented, ort.RuntimeException) as error:
        text = first_line(error)
        raise bundles.BundleError(f"ONNX Runtime cannot open it: {text}", "give a bundle made by `ostiary-train export`") from error
    card = bundles.read_card(session)

    def embed(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        parts = [session.run(["embedding"], {"image": crops[at : at + batch]})[0] for at in range(0, len(crops), batch)]
        return finite(np.concatenate(parts)) if parts else np.empty((0, card.dimension), np.float32)

    return embed, card
