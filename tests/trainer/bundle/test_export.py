"""What the bundle's file holds: rounded weights in half the room, and golden crops of any model that tells crops apart."""

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import pytest

from daemon.core import bundle as model
from tests.trainer import faces
from trainer.bundle import export
from trainer.bundle.export import ExportError
from trainer.models import dlib_network
from trainer.models.whole import Embed, embedder
from trainer.recipes.values import Export, Network, Recipe

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
TABLE = model.Calibration((), (), 0, 0)


RECIPE = Recipe(name="half", network=Network(kind="dlib", size=112, dropout=0.0, compute="float32"), export=Export(flip=False, half=True))


def test_half_takes_half_the_room_and_changes_nothing_else(tmp_path: Path) -> None:
    weights = dlib_network.weights()
    crops = np.stack([faces.picture(1, number) for number in range(4)])
    path = tmp_path / "half.onnx"
    # `export` itself checks that the file answers as the rounded weights do in Keras.
    export.export(RECIPE, export.stored(RECIPE, weights), path, "", TABLE, (), crops)
    large = [tensor for tensor in onnx.load(path).graph.initializer if np.prod(tensor.dims) >= export.HALVED_FROM]
    assert sum(tensor.data_type == onnx.TensorProto.FLOAT16 for tensor in large) >= 29
    assert path.stat().st_size < 0.55 * 4 * sum(weight.size for weight in weights)
    alike = np.sum(embedder(RECIPE, weights)(crops) * embedder(RECIPE, export.stored(RECIPE, weights))(crops), axis=1)
    assert (alike > 0.9999).all()


def test_weights_that_half_cannot_hold_are_refused() -> None:
    with pytest.raises(ExportError, match="too large for float16"):
        export.stored(RECIPE, [np.full(3, 7e4, np.float32)])


def test_networks_whose_weights_the_conversion_changes_are_refused() -> None:
    with pytest.raises(ExportError, match="kind residual"):
        export.stored(dataclasses.replace(RECIPE, network=Network()), [])


def sharing(share: float) -> Embed:
    """Vectors of random directions that share so much of one other direction."""

    def embed(crops: np.ndarray) -> np.ndarray:
        rows = []
        for crop in crops:
            own = np.random.default_rng(crop[::16, ::16].ravel()).normal(size=32)
            own[0] = 0
            own *= np.sqrt(1 - share) / np.linalg.norm(own)
            own[0] = np.sqrt(share)
            rows.append(own)
        return np.array(rows, np.float32)

    return embed


def test_golden_crops_of_a_model_whose_vectors_share_a_mean() -> None:
    golden = export.golden_vectors(sharing(0.95))
    vectors = np.array([item.vector for item in golden])
    alike = vectors @ vectors.T
    assert len(golden) == export.GOLDEN_COUNT and (alike[np.triu_indices(len(golden), 1)] < export.GOLDEN_ALIKE).all()


def test_a_model_that_tells_nothing_apart_has_no_golden_crops() -> None:
    with pytest.raises(ExportError, match="tells only"):
        export.golden_vectors(sharing(0.9999))
