"""How long one crop takes, compared with another face model in the same run.

    python -m bench.embedder [--beside OTHER.onnx] [--bundle FILE.onnx] [--threads 1]

The other model may be any ONNX file with one float input of fixed size; it gets random numbers. The figures are medians of interleaved
runs.
"""

import argparse
import os
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from rich.console import Console

import daemon  # noqa: F401  switches off onnxruntime's telemetry
from bench.cost import Spent
from daemon.core.bundle import golden_crop
from daemon.edges.embedder import open_embedder
from daemon.pipeline.opening import DEFAULT_BUNDLE

RUNS = 300
DATA = Path(os.environ.get("OSTIARY_DATA") or Path(__file__).resolve().parent.parent.parent / "shared/data")
BESIDE = DATA / "models/mobilefacenet.onnx"


def compared(bundle: Path, beside: Path, threads: int = 1, runs: int = RUNS) -> tuple[Spent, Spent]:
    """The time for one crop, of the bundle and of the other model, in turns."""
    if not beside.is_file():
        raise SystemExit(f"the model {beside} does not exist; give one with --beside")
    ours = open_embedder(bundle, "cpu", threads)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    other = onnxruntime.InferenceSession(str(beside), options, providers=["CPUExecutionProvider"])
    port: Any = other.get_inputs()[0]
    shape = [size if isinstance(size, int) else 1 for size in port.shape]
    numbers = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    crop = golden_crop(1)[None]
    mine, theirs = Spent(), Spent()
    ours.embed(crop)
    other.run(None, {port.name: numbers})
    for _ in range(runs):
        for _ in mine.each("1"):
            ours.embed(crop)
        for _ in theirs.each("1"):
            other.run(None, {port.name: numbers})
    return mine, theirs


def ratios() -> dict[str, float]:
    """The rows of `make bench`."""
    mine, theirs = compared(DEFAULT_BUNDLE, BESIDE, runs=100)
    return {"embedder, one crop / public MobileFaceNet": mine.median / theirs.median}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--beside", type=Path, default=BESIDE)
    parser.add_argument("--bundle", type=Path, default=DEFAULT_BUNDLE)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    mine, theirs = compared(arguments.bundle, arguments.beside, arguments.threads)
    Console(highlight=False, soft_wrap=True).print(
        f"CPU ms a crop (by the clock): {arguments.bundle.name} {mine.median:.2f} ({mine.wall_median:.2f}), "
        f"{arguments.beside.name} {theirs.median:.2f} ({theirs.wall_median:.2f}); ratio {mine.median / theirs.median:.2f}"
    )


if __name__ == "__main__":
    main()
