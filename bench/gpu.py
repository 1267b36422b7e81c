"""What the embedder does on an NVIDIA GPU: latency and throughput for each batch, with and without fixed buffers and CUDA graphs.

    bench/gpu.sh                                  # makes an environment with ostiary[cuda] first
    python -m bench.gpu [--bundle FILE.onnx] [--data CROPS --split SPLIT.csv] [--out gpu.md]

The table is printed, and written to `--out`. With `--data`, the FNIR of val people among 100 is measured on the GPU and on the CPU with the
same thresholds. Exit codes: 0 measured; 69 there is no GPU, or a library is missing (it says which); 70 the GPU failed.
"""

import argparse
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console

import daemon  # noqa: F401  switches off onnxruntime's telemetry
from daemon.core.bundle import check_golden, golden_crop, read_card
from daemon.edges.embedder import EmbedderError, gpu, open_embedder
from daemon.pipeline.opening import DEFAULT_BUNDLE

BATCHES = (1, 2, 4, 8, 16, 32)
RUNS, WARM = 300, 20
NO_GPU, FAILED = 69, 70
Crops = npt.NDArray[np.uint8]
Run = Callable[[Crops], Any]
TENSORRT = "TensorrtExecutionProvider"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, default=DEFAULT_BUNDLE)
    parser.add_argument("--data", type=Path, help="crops of people, a folder for each, or a zip of such")
    parser.add_argument("--split", type=Path, help="csv person,part")
    parser.add_argument("--out", type=Path, help="also write the table here, as Markdown")
    options = parser.parse_args()
    console = Console(highlight=False, soft_wrap=True)
    lacking = missing()
    if lacking:
        console.print(f"nothing was measured: {lacking}")
        return NO_GPU
    try:
        lines = list(measured(options.bundle))
        if options.data is not None:
            lines += ["", *misses(options.bundle, options.data, options.split)]
    except EmbedderError as error:
        console.print(f"nothing was measured: {error.message}\n  hint: {error.hint}")
        return FAILED
    console.print("\n".join(lines), markup=False)
    if options.out is not None:
        options.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 0


def missing() -> str:
    """What this machine lacks, empty if nothing."""
    import onnxruntime

    if not any(Path("/dev").glob("nvidia[0-9]*")):
        return "there is no NVIDIA GPU (no /dev/nvidia0)"
    if gpu.CUDA not in onnxruntime.get_available_providers():
        return "this onnxruntime has no CUDA provider: install ostiary[cuda]"
    if shutil.which("nvidia-smi") is None:
        return "nvidia-smi is not there: install the GPU's driver"
    return ""


def measured(bundle: Path) -> Iterator[str]:
    """The lines of the table."""
    name = subprocess.run(["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"], capture_output=True, text=True)
    served = open_embedder(bundle, "cuda", 1)  # raises unless every node runs on the GPU
    card = read_card(served.session)
    yield f"{name.stdout.strip()}; {bundle.name}; every node on {gpu.CUDA}; golden check {check_golden(card, served.embed):.6f}"
    yield ""
    yield "| how | batch | p50 ms | p99 ms | crops a second |"
    yield "|---|---|---|---|---|"
    plain = without(bundle, "enable_cuda_graph")
    searched = without(bundle, "enable_cuda_graph", cudnn_conv_algo_search="EXHAUSTIVE")
    ways: dict[str, Run] = {
        "as it serves: fixed buffers, CUDA graphs": served.embed,
        "fixed buffers, no graphs": gpu.Batches(plain, card.dimension),
        "no fixed buffers, no graphs": partial(_run, plain),
        "the same, algorithms by timing (EXHAUSTIVE)": partial(_run, searched),
    }
    ways |= tensorrt(bundle)
    for how, run in ways.items():
        for size in BATCHES:
            yield f"| {how} | {size} | {row(run, size)} |"
    if "TensorRT" not in ways:
        yield ""
        yield "TensorRT is not installed, or does not take this bundle (it takes float ones only): it has no rows."


def without(bundle: Path, *left_out: str, **changed: str) -> Any:
    """A session on CUDA without some of the options that it serves with, and with others."""
    import onnxruntime

    settings = {key: value for key, value in gpu.PROVIDER_OPTIONS.items() if key not in left_out} | changed
    options = onnxruntime.SessionOptions()
    for key, value in gpu.SESSION_OPTIONS.items():
        options.add_session_config_entry(key, value)
    return onnxruntime.InferenceSession(str(bundle), options, providers=[(gpu.CUDA, settings)])


def tensorrt(bundle: Path) -> dict[str, Run]:
    """TensorRT in float and in float16, where it is installed. It takes float bundles only."""
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as ort

    found: dict[str, Run] = {}
    for how, half in (("TensorRT", "0"), ("TensorRT, float16", "1")):
        try:
            session = onnxruntime.InferenceSession(str(bundle), providers=[(TENSORRT, {"trt_fp16_enable": half})])
        except (ort.EPFail, ort.Fail, ort.InvalidArgument, ort.NotImplemented, ort.RuntimeException):
            continue
        if session.get_providers()[0] == TENSORRT:
            found[how] = partial(_run, session)
    return found


def _run(session: Any, crops: Crops) -> Any:
    return session.run(["embedding"], {"image": crops})


def row(run: Run, size: int) -> str:
    crops = np.stack([golden_crop(seed) for seed in range(size)])
    for _ in range(WARM):
        run(crops)
    taken = np.empty(RUNS)
    for number in range(RUNS):
        start = time.perf_counter()
        run(crops)
        taken[number] = time.perf_counter() - start
    return f"{1000 * np.median(taken):.2f} | {1000 * np.quantile(taken, 0.99):.2f} | {size / np.median(taken):.0f}"


def misses(bundle: Path, data: Path, split: Path | None) -> Iterator[str]:
    """FNIR of val people, embedded on the GPU and on the CPU."""
    from trainer.measure import evaluate
    from trainer.people import datasets
    from trainer.recipes.values import Recipe

    parts = datasets.parts(Recipe(), data, split)
    val, others = parts["val"], parts["calibration"]
    person = np.concatenate([val.person, others.person + len(val.people)])
    pixels = np.concatenate([val.pixels, others.pixels])
    yield "| FNIR of val people | on the GPU | on the CPU |"
    yield "|---|---|---|"
    on_gpu, on_cpu = (open_embedder(bundle, where, 1).embed(pixels) for where in ("cuda", "cpu"))
    figures = (evaluate.open_set_figures(found, person, "val") for found in (on_gpu, on_cpu))
    for first, second in zip(*figures, strict=True):
        if first.name.startswith("fnir") and first.value is not None and second.value is not None:
            yield f"| {first.name} | {first.value:.4f} | {second.value:.4f} |"
    yield f"| cosine of both, worst | {np.sum(on_gpu * on_cpu, axis=1).min():.6f} | |"


if __name__ == "__main__":
    sys.exit(main())
