"""The .keras file beside a bundle: the same model and weights in Keras' own format.

`keras.models.load_model` opens it without Ostiary's code: crops [N, 112, 112, 3] in 0..255 to unit vectors. The zip has the bundle's card
as one more member, so that `fit --from` can learn on from it.
"""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import keras
import msgspec
import numpy as np
from numpy.typing import NDArray

from daemon.core.bundle import Card
from daemon.core.faults import first_line
from daemon.edges.files import replace
from trainer.bundle import readback
from trainer.bundle.readback import ReadBackError, Weights
from trainer.models import plain
from trainer.models.whole import PARITY, embedder
from trainer.recipes import reading
from trainer.recipes.values import Recipe, RecipeError

SUFFIX = ".keras"
CARD = "ostiary_card.json"
WANTED = "give a file that `ostiary-train export --keras` wrote"


def write(recipe: Recipe, weights: Sequence[NDArray[np.float32]], card: Card, path: Path) -> None:
    """Write the file; it takes the place of an older one. Raises ReadBackError if it would not answer as the bundle does, and OSError."""
    model = plain.plain(recipe, weights)
    _prove(path, model, recipe, weights)
    content = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder) / f"model{SUFFIX}"
        model.save(saved)
        content.write(saved.read_bytes())
    with zipfile.ZipFile(content, "a") as archive:
        archive.writestr(CARD, msgspec.json.encode(card))
    path.parent.mkdir(parents=True, exist_ok=True)
    replace(path, content.getvalue())


def read(path: Path) -> Weights:
    """Read the file's weights, and prove that its recipe's encoder answers with them as the file's model does. Raises ReadBackError."""
    try:
        with zipfile.ZipFile(path) as archive:
            card = msgspec.json.decode(archive.read(CARD), type=Card)
        model = keras.models.load_model(path, compile=False)
        recipe = reading.parse(card.recipe)
        layers = model.get_layer("encoder").layers
        weights = [weight for layer in layers if layer.name != "chip" for weight in layer.get_weights()]
        _prove(path, model, recipe, weights)
    except FileNotFoundError as error:
        raise ReadBackError(f"{path} does not exist", WANTED) from error
    except (OSError, KeyError, ValueError, TypeError, zipfile.BadZipFile, msgspec.DecodeError, RecipeError) as error:
        raise ReadBackError(f"{path} is not a Keras file of a bundle: {first_line(error)}", WANTED) from error
    return Weights(card, recipe, weights, False)


def _prove(path: Path, model: keras.Model, recipe: Recipe, weights: Sequence[NDArray[np.float32]]) -> None:
    """Raises ReadBackError unless model and encoder answer alike."""
    crops = readback.probes()
    apart = float(np.abs(np.asarray(model.predict_on_batch(crops.astype(np.float32))) - embedder(recipe, weights)(crops)).max())
    if not apart <= PARITY:
        raise ReadBackError(f"the network of {path} is not that of its card's recipe: they differ by {apart:.1e}", WANTED)
