"""The model that a command is given: the folder of a run, or a bundle."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from daemon.core.bundle import Card
from trainer.measure import scoring
from trainer.measure.scoring import Scorer
from trainer.models import dlib_network, networks
from trainer.models.networks import Weight
from trainer.people import datasets, decisions
from trainer.people.data import Crops, DataError
from trainer.recipes.stages import Same
from trainer.recipes.values import Recipe
from trainer.runs import Run

NOUNS = {"people": "person", "digits": "digit", "characters": "character"}
"""What one class of each kind of data is called."""


@dataclass(frozen=True, slots=True)
class Model:
    """How the model compares, and the digest of the data it learned from (`seen`). A run has its folder and recipe; a bundle has a card."""

    scorer: Scorer
    seen: str
    recipe: Recipe
    folder: Run | None = None
    card: Card | None = None


def opened(path: Path) -> Model:
    """The weights that a run keeps, or a bundle. Raises RunError, BundleError."""
    if path.is_dir():
        folder = Run(path)
        recipe = folder.recipe()
        return Model(scoring.of_run(recipe, folder.weights()), str(folder.facts()["data_digest"]), recipe, folder)
    scorer, card = scoring.of_bundle(path)
    # A bundle looks at people in colour, as the default recipe reads them.
    return Model(scorer, card.data_digest, Recipe(), card=card)


def own_parts(folder: Run, recipe: Recipe, options: argparse.Namespace) -> tuple[Path, dict[str, Crops]]:
    """The data that a run learned from, and their parts. What the options (data, split, decisions, beside, cache) leave out is the run's
    own. Raises DataError if these are not the run's crops, decisions and parts."""
    facts = folder.facts()
    data, split, decided, beside, cache = (_own(options, facts, name) for name in ("data", "split", "decisions", "beside", "cache"))
    source = data or Path(str(facts["data"]))
    parts = datasets.parts(recipe, source, split, decided=decided, cache=cache, beside=beside)
    if parts["fit"].digest != facts["data_digest"]:
        raise DataError(f"{folder.folder} was not trained from {source}", "give the crops that it was trained from with --data")
    if decisions.digest_of(decided) != facts.get("decided", ""):
        raise DataError(f"{folder.folder} was trained with other decisions", "give the decisions that it was trained with with --decisions")
    if datasets.digest_of(parts) != facts.get("parts", datasets.digest_of(parts)):
        raise DataError(f"{folder.folder} was trained with another split", "give the split that it was trained with with --split")
    return source, parts


def _own(options: argparse.Namespace, facts: Mapping[str, object], name: str) -> Path | None:
    given: Path | None = getattr(options, name, None)
    return given if given is not None or not facts.get(name) else Path(str(facts[name]))


def started(recipe: Recipe, folder: Run | None) -> list[Weight] | None:
    """The weights that the first stage of a run, or of a recipe, begins with; None if they are fresh. Raises DlibError if these
    are dlib's and its package is missing."""
    kept = folder.start() if folder is not None else None
    return dlib_network.weights() if kept is None and recipe.after == "dlib" else kept


def before(folder: Run) -> Scorer | None:
    """The scorer of the weights that a run's first stage began with. None for a run of an older trainer that began with another's weights
    and did not keep them."""
    recipe = folder.recipe()
    start = started(recipe, folder)
    if start is not None:
        # A head that the recipe does not train was dropped.
        return scoring.of_run(recipe, start if isinstance(recipe.stages[-1], Same) else networks.split(start)[0])
    verdicts = (str(line.get("stage")) for line in folder.history() if "kept" in line)
    stages = (str(line.get("stage")) for line in folder.history() if "loss" in line)
    # Only a stage that had something to beat has a verdict.
    judged, first = next(verdicts, None), next(stages, None)
    return None if judged is not None and judged == first else scoring.untrained(recipe)
