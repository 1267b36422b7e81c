"""Where the graph overtakes the exact search: microseconds a probe, and how often the graph's candidates hold the true neighbour.

    python -m bench.gallery [--dimension 128] [--most 32000]

Vectors are worst-case (uniform on the sphere, probes are noisy copies). `exact` is the matrix product that serves small
galleries; `graph` is hnswlib with exact re-scoring, which serves large ones; `raw` is hnswlib alone with its default ef of 10, which is
what one gets without asking. Ratios are of one run, on one thread.
"""

import argparse
import os
import time
from collections.abc import Callable

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import hnswlib
import numpy as np
from rich.console import Console
from rich.table import Table

from daemon.edges.gallery import Gallery

PROBES = 300


def unit(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True), np.float32)


def microseconds(search: Callable[[np.ndarray], object], probes: np.ndarray) -> float:
    """Median time of one search."""
    times = []
    for probe in probes:
        start = time.perf_counter()
        search(probe[None])
        times.append(time.perf_counter() - start)
    return float(np.median(times)) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dimension", type=int, default=128)
    parser.add_argument("--most", type=int, default=32_000)
    arguments = parser.parse_args()
    random = np.random.default_rng(1)
    columns = ("templates", "exact µs", "graph µs", "graph / exact", "graph finds", "raw µs", "raw finds")
    table = Table(*columns, title=f"{arguments.dimension} dimensions")
    count = 1000
    while count <= arguments.most:
        vectors = unit(random.normal(size=(count, arguments.dimension)))
        owners = [f"p{i}" for i in range(count)]
        # A genuine probe at a similarity of about 0.6, where misses matter.
        truth = random.integers(0, count, PROBES)
        probes = unit(vectors[truth] + 1.33 * unit(random.normal(size=(PROBES, arguments.dimension))))
        best = (probes @ vectors.T).argmax(1)
        exact, graph = Gallery(arguments.dimension, exact_below=count), Gallery(arguments.dimension, exact_below=0)
        for number, (owner, vector) in enumerate(zip(owners, vectors, strict=True)):
            exact.add(number, owner, vector)
            graph.add(number, owner, vector)
        graph.search(probes[:1])  # builds it
        raw = hnswlib.Index(space="ip", dim=arguments.dimension)
        raw.init_index(max_elements=count)
        raw.set_num_threads(1)
        raw.add_items(vectors)
        found = [m.person == owners[i] for m, i in zip(graph.search(probes), best, strict=True)]
        raw_found = raw.knn_query(probes, k=1)[0][:, 0] == best
        exact_us, graph_us = microseconds(exact.search, probes), microseconds(graph.search, probes)
        raw_us = microseconds(lambda probe: raw.knn_query(probe, k=1), probes)  # noqa: B023  used within this turn of the loop
        table.add_row(
            f"{count:,}", f"{exact_us:.0f}", f"{graph_us:.0f}", f"{graph_us / exact_us:.2f}",
            f"{100 * np.mean(found):.1f} %", f"{raw_us:.0f}", f"{100 * np.mean(raw_found):.1f} %",
        )  # fmt: skip
        count *= 2
    console = Console(highlight=False)
    console.print(table)
    console.print(f"the exact search serves up to {Gallery(arguments.dimension).exact_below:,} templates")


if __name__ == "__main__":
    main()
