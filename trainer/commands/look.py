"""Write a page of pictures: what a recipe, or a run, learns from."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from daemon.core.counts import counted, persons
from daemon.edges.files import replace
from trainer import terminal
from trainer.commands.model import NOUNS, own_parts, started
from trainer.learn import mined, mining
from trainer.learn.mined import Way
from trainer.measure import metrics
from trainer.measure.same import some
from trainer.models import networks
from trainer.models.networks import Weight
from trainer.models.whole import loaded
from trainer.people import datasets
from trainer.people.augment import as_learned, shrink
from trainer.people.data import Crops, DataError
from trainer.recipes import reading
from trainer.recipes.values import Augment, Recipe
from trainer.reports import look
from trainer.reports.look import Kind, Look, Moment, Row
from trainer.runs import Run

PEOPLE, VERSIONS, CAMERAS, EACH = 6, 9, 4, 6
MEANINGS = {
    "hard": "the negative is nearer than the positive",
    "semi-hard": "the negative is farther, but not by the margin",
    "easy": "the negative is farther by more than the margin, so a loss with this margin learns nothing from it",
}


def run(options: argparse.Namespace) -> None:
    """`look`."""
    folder = Run(options.model) if options.model.is_dir() else None
    if folder is not None and options.set:
        raise DataError("--set is for a recipe", "leave it out: a run keeps the recipe that it was begun with")
    recipe = folder.recipe() if folder is not None else reading.read(reading.find(str(options.model)), options.set)
    if options.data is not None:
        source, parts = options.data, datasets.parts(recipe, options.data, options.split)
    elif folder is not None:
        source, parts = own_parts(folder, recipe, options)
    else:
        raise DataError("--data is missing", "give the crops that the recipe is to learn from")
    crops = parts["fit"]
    if len(crops.people) < 2:
        raise DataError(f"the part fit has {persons(len(crops.people))}", "put two people or more into fit")
    rng = np.random.default_rng(options.seed)
    chosen = _some(crops, PEOPLE, rng)
    cameras = recipe.augment.one_camera and recipe.data.kind == "people"
    way = mined.way(recipe)
    moments = _moments(recipe, folder, crops, way[1]) if way is not None else ()
    page = Look(
        title=options.model.name,
        about=f"{counted(len(crops), 'picture')} of {some(NOUNS[recipe.data.kind], len(crops.people))} for fit, from {source.name}",
        augmented=[_versions(recipe, crops, row, rng) for row in chosen],
        augment=_settings(recipe.augment, recipe.data.kind == "people"),
        cameras=[_camera(recipe, crops, number, rng) for number in range(CAMERAS)] if cameras else (),
        no_cameras="In this recipe every picture has a camera of its own: augment.one_camera is 0."
        if recipe.data.kind == "people"
        else "Drawings were seen by no camera.",
        mining=_mining(way[0], way[1]) if way is not None else "",
        moments=moments,
        no_triplets="No stage of this recipe learns from triplets.",
        faces=recipe.data.kind == "people",
    )
    options.out.parent.mkdir(parents=True, exist_ok=True)
    replace(options.out, look.render(page).encode())
    terminal.say(f"{options.out}{' (it shows pictures of people: do not pass it on)' if page.faces else ''}")


def _some(crops: Crops, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """One picture each of so many people."""
    there = np.unique(crops.person)
    people = rng.choice(there, min(count, len(there)), replace=False)
    return np.array([rng.choice(np.flatnonzero(crops.person == who)) for who in people], np.int64)


def _versions(recipe: Recipe, crops: Crops, row: int, rng: np.random.Generator) -> Row:
    plain = np.clip(np.rint(shrink(crops.pixels[row : row + 1], recipe.network.size)[0]), 0, 255).astype(np.uint8)
    return Row(crops.names[row], [plain, *as_learned(recipe, crops.pixels[np.repeat(row, VERSIONS)], rng)])


def _camera(recipe: Recipe, crops: Crops, number: int, rng: np.random.Generator) -> Row:
    rows = _some(crops, VERSIONS + 1, rng)
    return Row(f"camera {number + 1}", list(as_learned(recipe, crops.pixels[rows], rng, int(rng.integers(2**32)))))


def _settings(augment: Augment, people: bool) -> str:
    """The recipe's [augment] in one sentence."""
    moved = [f"scale ±{augment.scale:g}", f"shift ±{augment.shift_px:g} px", f"rotation ±{augment.rotation_deg:g}°"]
    moved += [f"shear ±{augment.shear_deg:g}°"] if augment.shear_deg else []
    moved += [f"stretch ±{augment.stretch:g}"] if augment.stretch else []
    moved += [f"ink ±{augment.ink:g}"] if augment.ink and not people else []
    names = ("flip", "low", "jpeg", "blur", "light", "colour", "grey", "shade", "noise", "erase") if people else ("flip",)
    chances = [f"{name} {getattr(augment, name):g}" for name in names if getattr(augment, name)]
    return "[augment] of the recipe: " + ", ".join(moved) + ("; probabilities: " + ", ".join(chances) if chances else "") + "."


def _mining(index: int, way: Way) -> str:
    squared = "squared distances" if way.squared else "distances"
    return (
        f"Stage {index} mines {way.mining} triplets. The {squared} of the positive and the negative from the anchor stand below them; the "
        f"margin that tells the kinds apart is {way.margin:g}. The same batch is shown throughout, disturbed as in training."
    )


def _moments(recipe: Recipe, folder: Run | None, crops: Crops, way: Way) -> list[Moment]:
    able = crops.with_images(2)
    if len(able.people) < 2:
        raise DataError("fewer than two fit people have two pictures", "add pictures: triplets need two people with two pictures")
    rows = way.rows(able.person, 0)
    pixels = as_learned(recipe, able.pixels[rows], np.random.default_rng((recipe.seed, 7)))
    start = started(recipe, folder)
    weights = networks.split(start)[0] if start is not None else networks.fresh(recipe).get_weights()
    moments = [_moment("At the start of the training", recipe, weights, way, pixels, able.person[rows], 0.0)]
    if folder is not None and folder.kept:
        kept = networks.split(folder.weights())[0]
        moments.append(_moment("With the weights that the run keeps", recipe, kept, way, pixels, able.person[rows], 1.0))
    return moments


def _moment(
    title: str, recipe: Recipe, weights: Sequence[Weight], way: Way, pixels: NDArray[np.uint8], person: NDArray[np.int64], progress: float
) -> Moment:
    raw = np.asarray(loaded(recipe, weights).predict_on_batch(pixels.astype(np.float32)))
    vectors = raw / np.sqrt(np.sum(raw * raw, axis=1, keepdims=True) + 1e-12)
    found = mined.triplets(way, vectors, person, progress, np.random.default_rng((recipe.seed, 8)))
    kinds = []
    for name, meaning in MEANINGS.items():
        own = sorted((one for one in found if one.kind == name), key=lambda one: one.far - one.near)
        shown = [own[place] for place in np.unique(np.linspace(0, len(own) - 1, EACH).round().astype(int))] if own else []
        pictures = [
            look.Triplet((pixels[one.anchor], pixels[one.positive], pixels[one.negative]), one.near, one.far) for one in shown
        ]  # fmt: skip
        kinds.append(Kind(name.capitalize(), meaning, len(own), pictures))
    shares = ", ".join(f"{kind.count / max(1, len(found)):.0%} {kind.name.lower()}" for kind in kinds)
    apart = metrics.distance(metrics.cosine(vectors, vectors))
    every = mining.shares(apart**2 if way.squared else apart, person, way.margin)
    there = f"All possible triplets of these pictures: {every.hard:.0%} hard, {every.semi_hard:.0%} semi-hard, {every.easy:.0%} easy."
    return Moment(title, f"{counted(len(found), 'triplet')} chosen from {counted(len(person), 'picture')}: {shares}. {there}", kinds)
