"""Which triplets of a batch a recipe learns from, as places in the batch: what `ostiary-train look` shows as pictures.

The minings of mining.py give distances, which is all that a loss needs. Here the pictures behind the distances are found again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.learn import mining, samplers, stages
from trainer.learn.stages import IMAGES
from trainer.measure import metrics
from trainer.recipes.stages import Distil, Identify, StageRecipe, Triplets
from trainer.recipes.values import Recipe

Places = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Triplet:
    """Three places in a batch; `near` is the distance of anchor and positive, `far` that of anchor and negative; `kind` is easy, semi-hard
    or hard."""

    anchor: int
    positive: int
    negative: int
    near: float
    far: float
    kind: str


@dataclass(frozen=True, slots=True)
class Way:
    """How a stage finds its triplets: the mining's name, the margin that tells easy from semi-hard ones, and whether distances are squared.
    `rows` draws a batch of so many people, or of so many triplets, from the person [n] of each crop."""

    mining: str
    margin: float
    squared: bool
    rows: Callable[[NDArray[np.int64], int], Places]
    hard: int = 0
    random: int = 0

    @property
    def in_rows(self) -> bool:
        """Whether a batch is laid out anchor, positive, negative, anchor, …"""
        return self.mining in ("random", "article")


def way(recipe: Recipe) -> tuple[int, Way] | None:
    """The last stage of a recipe that learns from triplets, by its number, and how it finds them; None if there is none."""
    found = ((index, _way(stage, recipe.seed, stages.always(recipe))) for index, stage in reversed(list(enumerate(recipe.stages))))
    return next(((index, one) for index, one in found if one is not None), None)


def _way(stage: StageRecipe, seed: int, always: int) -> Way | None:
    if isinstance(stage, Triplets) and stage.mining in ("random", "article"):
        count = stage.candidates if stage.mining == "article" else stage.people * stage.images // 3
        return Way(
            stage.mining, stage.margin, stage.squared,
            lambda person, step: samplers.triplets(person, count, seed)(step), stage.hard, stage.random,
        )  # fmt: skip
    if isinstance(stage, Triplets):
        return Way(stage.mining, stage.margin, stage.squared, _grid(stage.people, stage.images, seed, always))
    if isinstance(stage, Identify) and stage.verify and stage.verify_form == "batch-hard":
        return Way("batch-hard", Triplets().margin, False, _grid(stage.batch // IMAGES, IMAGES, seed, always))
    if isinstance(stage, Distil) and stage.triplets:
        return Way("batch-hard", Triplets().margin, False, _grid(stage.people, stage.images, seed))
    return None


def _grid(people: int, images: int, seed: int, always: int = 0) -> Callable[[NDArray[np.int64], int], Places]:
    return lambda person, step: samplers.people_by_images(person, people, images, seed, always)(step)


def triplets(found: Way, vectors: NDArray[np.float32], person: Places, progress: float, rng: np.random.Generator) -> list[Triplet]:
    """The triplets that the mining chooses among unit vectors [n, d] of persons [n]; progress 0..1 is how far the stage has come."""
    apart = metrics.distance(metrics.cosine(vectors, vectors)).astype(np.float32)
    apart = apart**2 if found.squared else apart
    places = _in_rows(found, apart, rng) if found.in_rows else _in_grid(found, apart, person, progress)
    return [
        Triplet(int(a), int(p), int(n), float(apart[a, p]), float(apart[a, n]), kind(float(apart[a, p]), float(apart[a, n]), found.margin))
        for a, p, n in places
    ]


def kind(near: float, far: float, margin: float) -> str:
    """Easy where near + margin < far, hard where far <= near, semi-hard between. What is no number is hard."""
    return "easy" if near + margin < far else "semi-hard" if near < far else "hard"


def _in_rows(found: Way, apart: NDArray[np.float32], rng: np.random.Generator) -> Places:
    places = np.arange(len(apart) // 3 * 3).reshape(-1, 3)
    if found.mining == "random":
        return places
    near, far = apart[places[:, 0], places[:, 1]], apart[places[:, 0], places[:, 2]]
    return places[mining.article(near, far, rng, found.hard, found.random)]


def _in_grid(found: Way, apart: NDArray[np.float32], person: Places, progress: float) -> Places:
    given = mining.MININGS[found.mining](apart, person.astype(np.int32), found.margin, np.float32(progress))
    near, far, usable = (np.asarray(one) for one in given)
    own = (person[:, None] == person[None]) & ~np.eye(len(person), dtype=bool)
    other = person[:, None] != person[None]
    chosen = []
    for at in np.argwhere(usable > 0):
        anchor = int(at[0])
        # The shape of a mining's answer says what it chose: [n] both, [n, n] the negative of each positive, [n, n, n] neither.
        positive = int(at[1]) if len(at) > 1 else _place(apart[anchor], own[anchor], near[tuple(at)])
        negative = int(at[2]) if len(at) > 2 else _place(apart[anchor], other[anchor], far[tuple(at)])
        chosen.append((anchor, positive, negative))
    return np.array(chosen, np.int64).reshape(-1, 3)


def _place(apart: NDArray[np.float32], allowed: NDArray[np.bool_], distance: np.float32) -> int:
    """The allowed place at this distance."""
    return int(np.argmin(np.where(allowed, np.abs(apart - distance), np.inf)))
