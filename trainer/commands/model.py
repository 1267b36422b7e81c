"""The model that a command is given: the folder of a run, or a bundle."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from daemon.core.bundle import Card
from trainer.measure import scoring
from trainer.measure.scoring import Scorer
from trainer.models import dlib_network, networks
from trainer.models.networks import Weight
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
