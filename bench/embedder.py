"""How long one crop takes, compared with another face model in the same run.

    python -m bench.embedder [--beside OTHER.onnx] [--bundle FILE.onnx] [--threads 1]

The other model may be any ONNX file with one float input of fixed size; it gets random numbers. The figures are medians of interleaved
runs.
"""

import argparse
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from rich.console import Console

import daemon  # noqa: F401  switches off onnxruntime's telemetry
from daemon.core.bundle import golden_crop
from daemon.edges.embedder import open_embedder
from daemon.pipeline.opening import DEFAULT_BUNDLE

RUNS = 300


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = Path(os.environ.get("OSTIARY_DATA") or Path(__file__).resolve().parent.parent.parent / "shared/data")
    parser.add_argument("--beside", type=Path, default=data / "models/mobilefacenet.onnx")
    parser.add_argument("--bundle", type=Path, default=DEFAULT_BUNDLE)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    if not arguments.beside.is_file():
        raise SystemExit(f"the model {arguments.beside} does not exist; give one with --beside")
    ours = open_embedder(arguments.bundle, "cpu", arguments.threads)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = arguments.threads
    other = onnxruntime.InferenceSession(str(arguments.beside), options, providers=["CPUExecutionProvider"])
    port: Any = other.get_inputs()[0]
    shape = [size if isinstance(size, int) else 1 for size in port.shape]
    numbers = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    crop = golden_crop(1)[None]
    taken = []
    for _ in range(RUNS):
        start = time.perf_counter()
        ours.embed(crop)
        middle = time.perf_counter()
        other.run(None, {port.name: numbers})
        taken.append((middle - start, time.perf_counter() - middle))
    mine, theirs = (float(ms) for ms in 1000 * np.median(taken, axis=0))
    Console(highlight=False).print(
        f"{arguments.bundle.name} {mine:.2f} ms, {arguments.beside.name} {theirs:.2f} ms per crop; ratio {mine / theirs:.2f}"
    )


if __name__ == "__main__":
    main()
