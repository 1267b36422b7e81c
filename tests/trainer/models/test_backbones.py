"""The networks of keras.applications: their own preprocessing, their weights from a file, small pictures, and a bundle of one."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from daemon.core import bundle as bundles
from daemon.core.bundle import golden_crop
from tests.fixtures.tensors import numpy_of
from trainer.bundle import export
from trainer.models import backbones, networks
from trainer.models.opened import onnx_embedder
from trainer.models.whole import PARITY
from trainer.people import augment
from trainer.recipes import reading
from trainer.recipes.values import Network, Recipe, RecipeError

# TensorFlow uses things that its own dependencies have deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

SMALL = Network(kind="applications", backbone="VGG16", size=32, head=0, embedding=8, dropout=0.0, compute="float32")
MODULES = {
    "VGG16": keras.applications.vgg16,
    "MobileNetV2": keras.applications.mobilenet_v2,
    "ResNet50": keras.applications.resnet50,
    "DenseNet121": keras.applications.densenet,
    "EfficientNetB0": keras.applications.efficientnet,
    "MobileNetV3Small": keras.applications.mobilenet_v3,
}


@pytest.mark.parametrize("name", MODULES)
def test_the_preprocessing_is_the_backbones_own(name: str) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (2, 5, 5, 3)).astype(np.float32)
    expected = MODULES[name].preprocess_input(pixels.copy())
    assert np.allclose(numpy_of(backbones.Preprocess(name, "preprocess")(pixels)), expected, atol=1e-4)


def test_a_preprocessing_that_is_not_linear_is_refused() -> None:
    with pytest.raises(RecipeError, match="not linear"):
        backbones.linear(lambda x: x * x)


def test_weights_from_a_file_are_those_of_the_backbone(tmp_path: Path) -> None:
    """The encoder gives, up to its own last layers, what keras.applications gives for the same preprocessed picture."""
    keras.utils.set_random_seed(5)
    donor = keras.applications.VGG16(include_top=False, weights=None, input_shape=(32, 32, 3))
    donor.save_weights(tmp_path / "vgg.weights.h5")
    recipe = Recipe(network=replace(SMALL, weights=str(tmp_path / "vgg.weights.h5")))
    backbones.check(recipe.network)
    encoder = networks.fresh(recipe)
    pixels = np.random.default_rng(2).integers(0, 256, (2, 32, 32, 3)).astype(np.float32)
    expected = numpy_of(donor(keras.applications.vgg16.preprocess_input(pixels.copy())))
    inner = keras.Model(encoder.input, encoder.get_layer("block5_pool").output)
    assert np.allclose(numpy_of(inner(pixels)), expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
    # A run that goes on has its weights, and does not need the file any more.
    (tmp_path / "vgg.weights.h5").unlink()
    networks.fresh(recipe, pretrained=False)


@pytest.mark.parametrize(
    ("changes", "message", "hint"),
    [
        ({"backbone": "MobilNet"}, 'network.backbone = "MobilNet" is not in keras.applications', "did you mean MobileNet?"),
        ({"backbone": "quite another"}, "is not in keras.applications", "MobileNetV2"),
        ({"size": 24}, "VGG16 does not take pictures of 24 pixels", "raise network.size"),
        ({"weights": "none.h5"}, "none.h5 does not exist", "imagenet"),
        ({"weights": __file__}, "does not fit VGG16", "without its top layers"),
        ({"weights": "imagenet"}, "ImageNet weights of VGG16 cannot be downloaded", "FILE.h5"),
        ({"channels": 1}, "see colour", "channels = 3"),
    ],
)
def test_what_cannot_be_is_one_line(changes: dict[str, Any], message: str, hint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise OSError("URL fetch failure\nName or service not known")

    monkeypatch.setattr("keras.src.utils.file_utils.get_file", unreachable)
    with pytest.raises(RecipeError) as caught:
        backbones.check(replace(SMALL, **changes))
    assert message in caught.value.message and hint in caught.value.hint
    assert "\n" not in caught.value.message + caught.value.hint


def test_normalisations_settle_within_a_run() -> None:
    """MobileNetV2's own momentum of 0.999 would leave a variance at three quarters of its start after 300 batches."""
    encoder = networks.fresh(Recipe(network=replace(SMALL, backbone="MobileNetV2")))
    norms = [layer for layer in encoder.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert len(norms) > 50
    for norm in (norms[0], norms[-1]):
        for _ in range(10):
            norm(np.zeros((2, *norm.input.shape[1:]), np.float32), training=True)
        assert np.all(numpy_of(norm.moving_variance) < 0.91)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="only TensorFlow writes ONNX")
def test_it_becomes_a_bundle_that_equals_it(tmp_path: Path) -> None:
    recipe = Recipe(name="small", network=SMALL)
    encoder = networks.fresh(recipe)
    pictures = np.stack([golden_crop(seed) for seed in range(64)])
    # The normalisations know these pictures, as after training: otherwise a random network tells nothing apart.
    for layer in encoder.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    encoder(augment.shrink(pictures, 32), training=True)
    none = bundles.Calibration((), (), 0, 0)
    worst = export.export(recipe, encoder.get_weights(), tmp_path / "x.onnx", "", none, (), pictures[:8])
    assert worst <= PARITY
    embed, card = onnx_embedder(tmp_path / "x.onnx")
    assert bundles.check_golden(card, embed) > 0.99999 and reading.parse(card.recipe) == recipe


def test_the_recipe_keeps_the_backbone_and_the_global_policy_stays() -> None:
    read = reading.parse('[network]\nkind = "applications"\nbackbone = "MobileNetV3Small"\nsize = 32\nhead = 0\nembedding = 8\n')
    assert reading.parse(read.text) == read and 'backbone = "MobileNetV3Small"' in read.text
    before = keras.config.dtype_policy().name
    encoder = networks.encoder(read.network, "mixed_bfloat16")
    assert keras.config.dtype_policy().name == before == "float32"
    assert any(layer.compute_dtype == "bfloat16" for layer in encoder.layers if layer.weights)
    assert np.isfinite(numpy_of(encoder(np.zeros((1, 32, 32, 3), np.float32)))).all()
