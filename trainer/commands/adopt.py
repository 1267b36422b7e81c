"""Make a bundle of any face-embedding ONNX model, or of the weights that a package carries."""

from __future__ import annotations

import argparse
from pathlib import Path

import msgspec
import numpy as np

from daemon.core.bundle import Calibration, golden_crop
from daemon.core.counts import persons
from daemon.edges.files import replace
from trainer import terminal
from trainer.bundle import adopt, export
from trainer.bundle.adopt import AdoptError
from trainer.measure import allowance, calibrate
from trainer.models import dlib_network
from trainer.models.whole import embedder
from trainer.people import data, datasets, decisions
from trainer.people.augment import Cut
from trainer.people.data import Crops
from trainer.recipes import reading
from trainer.recipes.values import Recipe

ENOUGH_TO_SETTLE = 100
"""So many val people with two crops settle without the fit people."""
MEASURED = Path(adopt.__file__).with_name("dlib.json")


class Measured(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Thresholds that were measured for a recipe's weights, so that nobody needs the people to measure them on."""

    recipe_digest: str
    data_digest: str
    calibration: Calibration


def run(options: argparse.Namespace) -> None:
    """`adopt`."""
    if options.package is not None:
        _package(options)
        return
    for name in ("data", "licence"):
        if getattr(options, name) is None:
            raise AdoptError(f"--{name} is missing", "give MODEL BUNDLE --data CROPS --licence TEXT, or --from dlib BUNDLE")
    if options.measured is not None:
        raise AdoptError("--measured goes with --from alone", "leave it out: a bundle's thresholds are in its card")
    settle_by, calibrate_by = _people(options)
    adopt.adopt(
        options.model,
        options.bundle,
        settle_by,
        calibrate_by,
        name=options.name or options.model.stem,
        licence=options.licence,
        order=options.order or "auto",
        mean=options.mean,
        scale=options.scale,
        cut=Cut(*options.cut) if options.cut is not None else None,
        output=options.output,
        notes=options.notes,
        source=options.data.name,
    )


def _people(options: argparse.Namespace) -> tuple[Crops, Crops]:
    """(people to settle by, people to calibrate on). An adopted model learns nothing, so without a split everybody is for both. With one,
    fit people help to settle where there are few val people."""
    # The default recipe reads people as colour crops of 112x112.
    if options.split is None:
        everybody = decisions.applied(data.load(options.data), options.decisions).crops
        datasets.one_name(everybody)
        return everybody, everybody
    parts = datasets.parts(Recipe(), options.data, options.split, decided=options.decisions)
    val = parts["val"]
    if len(val.with_images(2).people) < ENOUGH_TO_SETTLE and len(parts["fit"]):
        val = Crops(
            np.concatenate([val.pixels, parts["fit"].pixels]),
            (*val.people, *parts["fit"].people),
            np.concatenate([val.person, parts["fit"].person + len(val.people)]),
            (*val.names, *parts["fit"].names),
            val.digest,
        )
    return val, parts["calibration"]


def _package(options: argparse.Namespace) -> None:
    """The network as the package has it. Everything about it is known, so no people are needed but to measure thresholds anew."""
    known = ("licence", "name", "order", "mean", "scale", "cut", "output")
    given = [name for name in known if getattr(options, name) is not None]
    if given:
        raise AdoptError(f"{given[0]} does not go with --from", "leave it out: the package's model is known")
    if options.data is None and any(given is not None for given in (options.split, options.decisions, options.measured)):
        raise AdoptError("--split, --decisions and --measured need --data", "give --data, or leave them out")
    recipe = reading.read(reading.find(options.package))
    weights = export.stored(recipe, dlib_network.weights())
    faces = np.stack([golden_crop(seed) for seed in range(64)])
    if options.data is None:
        measured = msgspec.json.decode(MEASURED.read_bytes(), type=Measured)
        if measured.recipe_digest != recipe.digest:
            raise AdoptError(f"{MEASURED.name} was measured for another recipe", "measure it again with --data and --measured")
    else:
        people = _people(options)[1]
        if len(people.people) < 2:
            raise AdoptError("fewer than two people are in the calibration part", "put more people into the part calibration")
        terminal.say(allowance.of_calibration(len(people.people)))
        source = f"{persons(len(people.people), 'calibration')} of {options.data.name}"
        table = calibrate.calibrate(embedder(recipe, weights), people, source)
        measured, faces = Measured(recipe.digest, people.digest, table), people.pixels[:: max(1, len(people) // 64)]
    worst = export.export(recipe, weights, options.bundle, measured.data_digest, measured.calibration, (), faces, options.notes)
    if options.measured is not None:
        replace(options.measured, msgspec.json.format(msgspec.json.encode(measured), indent=1) + b"\n")
    size = options.bundle.stat().st_size / 1e6
    terminal.say(f"{options.bundle}: {size:.2f} MB, Keras and ONNX differ by {worst:.1e} at most")
