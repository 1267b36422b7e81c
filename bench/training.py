"""Whether making batches slows training down: crops per second of the input pipeline alone, of the model alone, and of both together.

    python -m bench.pipeline [--recipe faces] [--steps 20] [--workers 2]

It uses random crops and the recipe's first stage. A ratio pipeline : model above 1 means that the model sets the pace. `waited` is the
share of the time in which the model waited for a batch, with both together.
"""

import argparse
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from rich.console import Console

from daemon.core.bundle import golden_crop
from trainer.learn import fit, stages
from trainer.models import networks
from trainer.people.data import Crops
from trainer.recipes import reading

PEOPLE, IMAGES = 200, 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="faces")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    recipe = reading.read(reading.find(arguments.recipe))
    pictures = np.stack([golden_crop(seed) for seed in range(PEOPLE * IMAGES)])[:, : recipe.data.side, : recipe.data.side]
    crops = Crops(
        np.ascontiguousarray(pictures[..., : recipe.network.channels]),
        tuple(str(who) for who in range(PEOPLE)),
        np.repeat(np.arange(PEOPLE), IMAGES),
        tuple(f"{index // IMAGES}/{index}" for index in range(PEOPLE * IMAGES)),
        "",
    )
    stage = stages.build(recipe, 0, crops, networks.fresh(recipe))
    batch = stage.batch(0, 0.5)
    rows = len(batch[0])
    for _ in range(3):
        stage.model.train_on_batch(*batch)
    with ThreadPoolExecutor(arguments.workers) as pool:
        began = time.perf_counter()
        list(pool.map(lambda step: stage.batch(step, 0.5), range(arguments.steps)))
        pipeline = arguments.steps * rows / (time.perf_counter() - began)
    began = time.perf_counter()
    for _ in range(arguments.steps):
        stage.model.train_on_batch(*batch)
    model = arguments.steps * rows / (time.perf_counter() - began)
    together, waited = fit.pace(stage, arguments.steps, arguments.workers)
    Console(highlight=False).print(
        f"{recipe.name}: pipeline {pipeline:.0f}, model {model:.0f}, both {together:.0f} crops/s; "
        f"pipeline : model {pipeline / model:.1f}, both : model {together / model:.2f}, waited {waited:.1%}",
        soft_wrap=True,
    )


if __name__ == "__main__":
    main()
