"""The search among many templates, compared with other libraries in the same run: time, recall, readiness, memory.

    python -m bench.gallery [--templates 10 1000 10000 100000] [--probes 1000]

Vectors: the first people are real (val and calibration people of the data folder, embedded by the included bundle). Further people are
drawn from the Gaussian of the real ones. Without the data folder all are drawn around one mean. A person has five templates and is probed
by another view, with isotropic noise down to the similarity that two real pictures of one person have on average.

`exact` is the gallery's matrix product, and `gallery` its graph, whose candidates are scored exactly. `numpy` is the matrix product alone.
The other libraries answer by themselves, with their defaults. They are not dependencies: the bench names those that are missing. Every
system runs in its own process, on one thread, and they are asked in turn. Recall: the share of answers as near as the nearest template.
First answer: from vectors in memory to the first match. Build: CPU time until the graph serves, with its audit. Memory: the growth of the
process.
"""

import argparse
import csv
import importlib
import multiprocessing
import os
import tempfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import cv2
import hnswlib
import numpy as np
from rich.console import Console
from rich.table import Table

from daemon.edges.embedder import open_embedder
from daemon.edges.gallery import Gallery, background
from daemon.pipeline.opening import DEFAULT_BUNDLE

TEMPLATES_EACH = 5
WITHIN, BETWEEN, DIMENSION = 0.53, 0.01, 128
"""Used without pictures: about what the included bundle's vectors of val and calibration people show."""
BLOCK = 50
MISSING = "not installed; `pip install --target FOLDER --no-deps {}`, then run with PYTHONPATH=FOLDER"

Answer = Callable[[np.ndarray], tuple[float, float | None]]
"""One probe [D] to the best similarity, and to the best of another person if the system gives it."""


def unit(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True), np.float32)


# ---- vectors


def real_people(data: Path) -> list[np.ndarray]:
    """The vectors [K, D] of each val and calibration person."""
    with (data / "faces/split.csv").open(encoding="utf-8", newline="") as table:
        chosen = {row["person"] for row in csv.DictReader(table) if row["part"] in ("val", "calibration")}
    people: dict[str, list[np.ndarray]] = {}
    with zipfile.ZipFile(data / "faces/train.zip") as pictures:
        for name in pictures.namelist():
            person = name.split("/")[0]
            if person in chosen and name.endswith(".jpg"):
                image = cv2.imdecode(np.frombuffer(pictures.read(name), np.uint8), cv2.IMREAD_COLOR)
                assert image is not None, name
                people.setdefault(person, []).append(image[:, :, ::-1])
    embedder = open_embedder(DEFAULT_BUNDLE, "cpu", 1)
    return [np.concatenate([embedder.embed(np.stack(crops[i : i + 16])) for i in range(0, len(crops), 16)]) for crops in people.values()]


@dataclass(frozen=True, slots=True)
class Crowd:
    """People [P, D] to draw templates and probes from. Two views of one person have the similarity `within` on average."""

    people: np.ndarray
    within: float
    words: str

    def views(self, people: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """One view [N, D] of each of these people [N]."""
        length = np.sqrt(1 / self.within - 1)
        return unit(self.people[people] + length * unit(random.normal(size=(len(people), self.people.shape[1]))))


def crowd(count: int, real: list[np.ndarray], random: np.random.Generator) -> Crowd:
    """`count` people, the real ones first."""
    if not real:
        centre, own = unit(random.normal(size=DIMENSION)), unit(random.normal(size=(count, DIMENSION)))
        people = unit(np.sqrt(BETWEEN) * centre + np.sqrt(1 - BETWEEN) * own)
        return Crowd(people, WITHIN, f"synthetic people, similarity within {WITHIN:.2f}, between {BETWEEN:.2f} (no data folder)")
    within = float(np.mean([(v @ v.T)[np.triu_indices(len(v), 1)].mean() for v in real if len(v) > 1]))
    ones = np.stack([vectors[0] for vectors in real])
    between = (ones @ ones.T)[np.triu_indices(len(ones), 1)]
    drawn = unit(random.multivariate_normal(ones.mean(0), np.cov(ones.T), max(0, count - len(ones)), method="cholesky"))
    people = np.concatenate([ones, drawn])[:count]
    some = people[-2000:]
    apart = (some @ some.T)[np.triu_indices(len(some), 1)]
    return Crowd(
        people, within,
        f"{min(count, len(ones)):,} real people and {max(0, count - len(ones)):,} drawn like them; similarity within {within:.3f}, "
        f"between {between.mean():.3f} ± {between.std():.3f} (of the last 2,000 people {apart.mean():.3f} ± {apart.std():.3f})",
    )  # fmt: skip


# ---- systems: from vectors [N, D] to an answer, and until they are ready


@dataclass(slots=True)
class Ready:
    """A system that answers; `grow` works until its graph serves."""

    answer: Answer
    grow: Callable[[], None] = lambda: None


def of_gallery(exact: bool) -> Callable[[np.ndarray], Ready]:
    def start(vectors: np.ndarray) -> Ready:
        gallery = Gallery(vectors.shape[1], exact_below=len(vectors) if exact else 0)
        for number, vector in enumerate(vectors):
            gallery.add(number, f"p{number // TEMPLATES_EACH}", vector)

        def answer(probe: np.ndarray) -> tuple[float, float | None]:
            match = gallery.search(probe[None])[0]
            return match.similarity, match.rival

        def grow() -> None:
            background.NICE = 0  # the daemon builds at low priority; here all systems build at the same priority
            gallery.tend(0.0)
            while gallery.graph_state.state == "building":
                time.sleep(0.02)
                gallery.tend(0.0)
            assert gallery.graph_state.state in ("serving", "unneeded"), gallery.graph_state

        return Ready(answer, grow)

    return start


def of_labels(vectors: np.ndarray, nearest: Callable[[np.ndarray], Any]) -> Ready:
    """A system that gives labels [1, 1]. Their similarities are looked up to judge the answer."""
    return Ready(lambda probe: (float(vectors[int(np.ravel(nearest(probe[None]))[0])] @ probe), None))


def raw_hnswlib(vectors: np.ndarray) -> Ready:
    index = hnswlib.Index(space="ip", dim=vectors.shape[1])
    index.init_index(max_elements=len(vectors))
    index.set_num_threads(1)
    index.add_items(vectors)
    return of_labels(vectors, lambda probe: index.knn_query(probe, k=1)[0])


def bare_numpy(vectors: np.ndarray) -> Ready:
    """One matrix product, and the nearest row: no runner-up, no owners."""
    return of_labels(vectors, lambda probe: (vectors @ probe[0]).argmax())


def faiss(kind: str) -> Callable[[np.ndarray], Ready]:
    def start(vectors: np.ndarray) -> Ready:
        library: Any = importlib.import_module("faiss")
        library.omp_set_num_threads(1)
        inner = library.METRIC_INNER_PRODUCT
        index = library.IndexFlatIP(vectors.shape[1]) if kind == "Flat" else library.IndexHNSWFlat(vectors.shape[1], 32, inner)
        index.add(vectors)
        return of_labels(vectors, lambda probe: index.search(probe, 1)[1])

    return start


def usearch(vectors: np.ndarray) -> Ready:
    library: Any = importlib.import_module("usearch.index")
    index = library.Index(ndim=vectors.shape[1], metric="ip", dtype="f32")
    index.add(np.arange(len(vectors)), vectors, threads=1)
    return of_labels(vectors, lambda probe: index.search(probe[0], 1, threads=1).keys)


SYSTEMS: dict[str, tuple[str | None, Callable[[np.ndarray], Ready]]] = {
    "exact": (None, of_gallery(exact=True)),
    "gallery": (None, of_gallery(exact=False)),
    "numpy": (None, bare_numpy),
    "hnswlib": (None, raw_hnswlib),
    "faiss Flat": ("faiss-cpu", faiss("Flat")),
    "faiss HNSW": ("faiss-cpu", faiss("HNSW")),
    "usearch": ("usearch", usearch),
}


# ---- one process for each system


def _resident_mb() -> float:
    (line,) = [line for line in Path("/proc/self/status").read_text("ascii").splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) / 1024


def serve(name: str, folder: str, pipe: Connection) -> None:
    """Build, report the cost, then answer blocks of probes with times [B] in seconds and similarities [B, 2], until None arrives."""
    vectors, probes = np.load(f"{folder}/vectors.npy"), np.load(f"{folder}/probes.npy")
    package, start = SYSTEMS[name]
    try:
        if package is not None:
            importlib.import_module({"faiss-cpu": "faiss"}.get(package, package))
    except ImportError:
        pipe.send(MISSING.format(package))
        return
    before, began, cpu = _resident_mb(), time.perf_counter(), time.process_time()
    ready = start(vectors)
    ready.answer(probes[0])
    first_s = time.perf_counter() - began
    ready.grow()
    pipe.send((first_s, time.process_time() - cpu, _resident_mb() - before))
    while (block := pipe.recv()) is not None:
        times, found = [], []
        for probe in probes[block]:
            began = time.perf_counter()
            answered = ready.answer(probe)
            times.append(time.perf_counter() - began)
            found.append(answered)
        pipe.send((times, found))


def compare(templates: int, count: int, real: list[np.ndarray], console: Console) -> None:
    random = np.random.default_rng(1)
    made = crowd(templates // TEMPLATES_EACH, real, random)
    owners = np.arange(templates) // TEMPLATES_EACH
    vectors = made.views(owners, random)
    probes = made.views(random.integers(0, len(made.people), count), random)
    table = Table(
        "", "p50 µs", "p99 µs", "/ exact", "recall@1", "first answer s", "build CPU s", "memory MB", title=f"{templates:,} templates"
    )
    context = multiprocessing.get_context("spawn")
    pipes, costs, missing = {}, {}, []
    taken: dict[str, list[float]] = {}
    found: dict[str, list[tuple[float, float | None]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        np.save(f"{folder}/vectors.npy", vectors)
        np.save(f"{folder}/probes.npy", probes)
        for name in SYSTEMS:
            pipes[name], far = context.Pipe()
            context.Process(target=serve, args=(name, folder, far), daemon=True).start()
            far.close()
            costs[name] = pipes[name].recv()
            if isinstance(costs[name], str):
                missing.append(f"{name}: {costs.pop(name)}")
        for start in range(0, count, BLOCK):
            for name in costs:
                pipes[name].send(slice(start, start + BLOCK))
                times, answers = pipes[name].recv()
                taken.setdefault(name, []).extend(times)
                found.setdefault(name, []).extend(answers)
        for name in costs:
            pipes[name].send(None)
    truth = np.array([best for best, _ in found["exact"]])
    rivals = np.array([rival for _, rival in found["exact"]], float)
    exact_us = float(np.median(taken["exact"])) * 1e6
    for name, (first_s, cpu_s, memory) in costs.items():
        p50, p99 = (float(us) for us in np.percentile(taken[name], [50, 99]) * 1e6)
        right = np.array([best for best, _ in found[name]]) >= truth - 1e-5
        table.add_row(
            name, f"{p50:.0f}", f"{p99:.0f}", f"{p50 / exact_us:.2f}", f"{100 * right.mean():.1f} %", f"{first_s:.1f}", f"{cpu_s:.1f}",
            f"{memory:.0f}",
        )  # fmt: skip
    console.print(f"{made.words}; {count:,} probes")
    console.print(table)
    seen = np.array([rival for _, rival in found["gallery"]], float) >= rivals - 1e-5
    close = rivals >= truth - 0.1
    console.print(f"gallery: the runner-up is right in {100 * seen.mean():.1f} % of all probes", end="")
    console.print(f", in {100 * seen[close].mean():.1f} % of the {close.sum()} whose runner-up is within 0.1" if close.any() else "")
    for line in missing:
        console.print(line)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--templates", type=int, nargs="+", default=[10, 1_000, 10_000, 100_000])
    parser.add_argument("--probes", type=int, default=1000)
    arguments = parser.parse_args()
    data = Path(os.environ.get("OSTIARY_DATA") or Path(__file__).resolve().parent.parent.parent / "shared/data")
    real = real_people(data) if (data / "faces/train.zip").is_file() else []
    for templates in arguments.templates:
        compare(templates, arguments.probes, real, Console(highlight=False, width=140))


if __name__ == "__main__":
    main()
