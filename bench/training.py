"""How fast training is: crops a second of `fit`'s own loop, beside a plain Keras `fit` of the same network, loss and batches.

    python -m bench.training [--recipe mnist-batch-hard faces] [--steps 20] [--rounds 3] [--workers 2]

Random crops, the recipe's first stage. `batches` makes batches alone. `step` trains on one batch that is ready. `fit` does both as
`ostiary-train fit` does, with the running average of the weights, and without validation. `plain, same batches` is `Model.fit` on a
`PyDataset` that makes the same batches on as many threads; `plain, ready batches` is `Model.fit` on pixels in memory that nothing
disturbs. The five work in turns. With `KERAS_BACKEND=jax` they run on JAX.
"""

import argparse
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import keras
import numpy as np
from rich.console import Console
from rich.table import Table

from bench.cost import Spent, machine
from daemon.core.bundle import golden_crop
from trainer.learn import stages, training
from trainer.learn.stage import Batch, Stage
from trainer.models import networks
from trainer.people.data import Crops
from trainer.recipes import reading
from trainer.recipes.values import Recipe

PEOPLE, IMAGES = 200, 16


class Batches(keras.utils.PyDataset):  # type: ignore[misc]
    """The stage's batches, as Keras wants them."""

    def __init__(self, stage: Stage, steps: int, workers: int) -> None:
        super().__init__(workers=workers, max_queue_size=workers + 1)
        self.stage, self.steps = stage, steps

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> Batch:
        return self.stage.batch(step, 0.5)


def random_crops(recipe: Recipe) -> Crops:
    side, channels = recipe.data.side, recipe.network.channels
    pictures = np.stack([golden_crop(seed)[:side, :side, :channels] for seed in range(PEOPLE)])
    return Crops(
        np.ascontiguousarray(np.repeat(pictures, IMAGES, axis=0)),
        tuple(str(who) for who in range(PEOPLE)),
        np.repeat(np.arange(PEOPLE), IMAGES),
        tuple(f"{index // IMAGES}/{index}" for index in range(PEOPLE * IMAGES)),
        "",
    )


def measured(recipe: Recipe, steps: int, rounds: int, workers: int) -> tuple[dict[str, Spent], int, list[float]]:
    """The time for so many steps of each kind, the crops of one step, and the share of its time that `fit` waited for batches."""
    stage = stages.build(recipe, 0, random_crops(recipe), networks.fresh(recipe))
    pixels, targets = stage.batch(0, 0.5)
    every = np.concatenate([pixels] * steps), np.concatenate([targets] * steps)
    waited: list[float] = []

    def batches() -> None:
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(lambda step: stage.batch(step, 0.5), range(steps)))

    def step() -> None:
        for _ in range(steps):
            stage.model.train_on_batch(pixels, targets)

    quiet: dict[str, Any] = {"epochs": 1, "verbose": 0, "shuffle": False}
    works: dict[str, Callable[[], object]] = {
        "batches": batches,
        "step": step,
        "fit": lambda: waited.append(training.pace(stage, steps, workers)[1]),
        "plain, same batches": lambda: stage.model.fit(Batches(stage, steps, workers), **quiet),
        "plain, ready batches": lambda: stage.model.fit(*every, batch_size=len(pixels), **quiet),
    }
    spent = {name: Spent() for name in works}
    for work in works.values():
        work()  # compiled, and the first step's memory taken
    waited.clear()
    for _ in range(rounds):
        for name, work in works.items():
            for _ in spent[name].each((None,)):
                work()
    return spent, len(pixels), waited


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", nargs="+", default=["mnist-batch-hard", "faces"])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    console = Console(highlight=False, width=140)
    for name in arguments.recipe:
        began = time.perf_counter()
        spent, rows, waited = measured(reading.read(reading.find(name)), arguments.steps, arguments.rounds, arguments.workers)
        table = Table("", "crops a second", "CPU ms a crop", "time of fit / this", "CPU of fit / this")
        for what, of in spent.items():
            crops = arguments.steps * rows
            table.add_row(
                what, f"{1e3 * crops / of.wall_median:.0f}", f"{of.median / crops:.2f}",
                f"{spent['fit'].wall_median / of.wall_median:.2f}", f"{spent['fit'].median / of.median:.2f}",
            )  # fmt: skip
        table.title = f"{name} on {keras.backend.backend()}, {rows} crops a step; fit waited {np.median(waited):.1%} of its time"
        console.print(table)
        console.print(f"{time.perf_counter() - began:.0f} s; {machine()}")


if __name__ == "__main__":
    main()
