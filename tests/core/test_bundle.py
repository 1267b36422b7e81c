"""The bundle contract: what a card must say, and what makes the daemon refuse a model."""

import hashlib
import math
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core import bundle
from daemon.core.bundle import BundleError, Calibration, Card, Cell, FmrPoint, Golden
from daemon.core.faces.align import ALIGNMENT
from daemon.edges.embedder import bundle_id

GOLDEN_DIGEST = "34abb41908a939bbc8dc2c11ea3206f96141821870b626f96284087ac0840b47"


@dataclass
class Port:
    name: str
    type: str
    shape: list[Any]


@dataclass
class Opened:
    """Stands for an onnxruntime session."""

    card: Card | str | None
    input: Port = field(default_factory=lambda: Port("image", "tensor(uint8)", ["N", 112, 112, 3]))
    output: Port = field(default_factory=lambda: Port("embedding", "tensor(float)", ["N", 4]))

    def get_inputs(self) -> Sequence[Port]:
        return [self.input]

    def get_outputs(self) -> Sequence[Port]:
        return [self.output]

    def get_modelmeta(self) -> Any:
        text = self.card if isinstance(self.card, str) or self.card is None else msgspec.json.encode(self.card).decode()
        return type("Meta", (), {"custom_metadata_map": {} if text is None else {bundle.CARD_KEY: text}})()


def calibration() -> Calibration:
    cells = [
        Cell(gallery, fpir, threshold, 1000, 1339)
        for gallery, row in {10: (0.3, 0.4, None), 100: (0.4, 0.5, None)}.items()
        for fpir, threshold in zip((0.1, 0.01, 0.001), row, strict=True)
    ]
    return Calibration(tuple(cells), (), 1339, 895791)


def card(**changes: object) -> Card:
    golden = (Golden(0, (1.0, 0.0, 0.0, 0.0)), Golden(1, (0.0, 0.6, 0.8, 0.0)))
    plain = Card(1, "faces", "2026-01-01T00:00:00+00:00", "d", "", "d", "arcface-112-v1", 4, "", "", (), calibration(), golden)
    return msgspec.structs.replace(plain, **changes)


def test_a_good_card_is_read() -> None:
    assert bundle.read_card(Opened(card())) == card()


@pytest.mark.parametrize(
    ("opened", "says"),
    [
        (Opened(None), "no card"),
        (Opened("{"), "cannot be read"),
        (Opened('{"schema": 2, "new": 1}'), "schema 2"),
        (Opened('{"name": "x"}'), "cannot be read"),
        (Opened(msgspec.json.encode(card()).decode().replace('"name"', '"nmae"')), "cannot be read"),
        (Opened(card(alignment="dlib")), "dlib"),
        (Opened(card(golden=())), "golden"),
        (Opened(card(dimension=5)), "golden"),
        (Opened(card(), input=Port("input", "tensor(uint8)", ["N", 112, 112, 3])), "input"),
        (Opened(card(), input=Port("image", "tensor(float)", ["N", 112, 112, 3])), "input"),
        (Opened(card(), input=Port("image", "tensor(uint8)", [1, 112, 112, 3])), "input"),
        (Opened(card(), input=Port("image", "tensor(uint8)", ["N", 3, 112, 112])), "input"),
        (Opened(card(), output=Port("embedding", "tensor(float)", ["N", 8])), "4 dimensions"),
        (Opened(card(), output=Port("vector", "tensor(float)", ["N", 4])), "output"),
    ],
)
def test_a_bad_bundle_is_refused_in_one_line(opened: Opened, says: str) -> None:
    with pytest.raises(BundleError) as caught:
        bundle.read_card(opened)
    assert says in caught.value.message
    assert caught.value.hint and "\n" not in caught.value.message + caught.value.hint


def test_a_model_for_other_crops_is_refused_with_the_alignment_of_this_version() -> None:
    assert card().alignment == ALIGNMENT.id
    with pytest.raises(BundleError, match="needs crops aligned as 'arcface-112-v2'") as caught:
        bundle.read_card(Opened(card(alignment="arcface-112-v2")))
    assert ALIGNMENT.id in caught.value.hint


@pytest.mark.parametrize(
    ("gallery", "fpir", "expected"),
    [
        (0, 0.1, 0.3),
        (1, 0.1, 0.3),
        (10, 0.1, 0.3),
        (11, 0.1, 0.4),  # N is rounded up
        (10, 0.05, 0.4),  # the next stricter column
        (10, 0.1**2, 0.4),  # 0.010000000000000002 means 0.01
        (100, 0.5, 0.4),
        (10, 0.001, None),  # not resolvable
        (10, 0.005, None),
        (10, 0.0001, None),  # stricter than the table
        (101, 0.1, None),  # larger than the table
        (10, 0.0, None),
        (10, math.nan, None),
    ],
)
def test_threshold_from_the_table(gallery: int, fpir: float, expected: float | None) -> None:
    assert calibration().threshold(gallery, fpir) == expected


def right(crops: np.ndarray) -> np.ndarray:
    return np.array([golden.vector for golden in card().golden], np.float32)


def test_golden_check_passes_and_gives_the_worst_cosine() -> None:
    assert bundle.check_golden(card(), right) == pytest.approx(1.0)


@pytest.mark.parametrize(
    "vectors",
    [
        [[1, 0, 0, 0], [0, 0.6, 0.8, 0.1]],
        [[1, 0, 0, 0], [0, math.nan, 0.8, 0]],
        [[0, 0, 0, 0], [0, 0.6, 0.8, 0]],
        [[math.inf, 0, 0, 0], [0, 0.6, 0.8, 0]],
        [[1, 0, 0, 0]],
        [[1, 0, 0], [0, 0.6, 0.8]],
    ],
)
def test_golden_check_refuses(vectors: list[list[float]]) -> None:
    with pytest.raises(BundleError, match="golden check"):
        bundle.check_golden(card(), lambda crops: np.array(vectors, np.float32))


def test_golden_crops_are_the_same_for_ever() -> None:
    digest = hashlib.sha256(b"".join(bundle.golden_crop(seed).tobytes() for seed in range(16))).hexdigest()
    assert digest == GOLDEN_DIGEST


@given(st.integers(0, 10000))
def test_golden_crops_differ_and_have_colour(seed: int) -> None:
    crop, other = bundle.golden_crop(seed), bundle.golden_crop(seed + 1)
    assert crop.shape == (112, 112, 3) and crop.dtype == np.uint8
    assert np.abs(crop.astype(int) - other).mean() > 20
    assert np.abs(crop[:, :, 0].astype(int) - crop[:, :, 2]).mean() > 15


def test_bundle_id(tmp_path: Path) -> None:
    path = tmp_path / "faces.onnx"
    path.write_bytes(b"one")
    first = bundle_id(path)
    assert first == "faces-" + hashlib.sha256(b"one").hexdigest()[:12]
    path.write_bytes(b"two")
    assert bundle_id(path) != first
    with pytest.raises(BundleError, match="cannot read"):
        bundle_id(tmp_path / "none.onnx")


def test_needs_neither_tensorflow_nor_onnx() -> None:
    code = "import sys, daemon.core.bundle; sys.exit(any(name in sys.modules for name in ('tensorflow', 'keras', 'onnx', 'onnxruntime')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# ---- the shipped bundle

SHIPPED = Path(bundle.__file__).parents[1] / "models" / "faces.onnx"


@pytest.fixture(scope="module")
def shipped() -> Any:
    import onnxruntime

    return onnxruntime.InferenceSession(str(SHIPPED), providers=["CPUExecutionProvider"])


def embed(session: Any, crops: np.ndarray) -> np.ndarray:
    return np.asarray(session.run(["embedding"], {"image": crops})[0])


def test_the_shipped_bundle_keeps_the_contract(shipped: Any) -> None:
    read = bundle.read_card(shipped)
    assert SHIPPED.stat().st_size <= 12_000_000
    assert bundle.check_golden(read, lambda crops: embed(shipped, crops)) > 0.99999
    assert "not for production" in read.licence
    assert read.calibration.threshold(20, 0.01) is not None
    assert read.calibration.source == "1339 calibration people of train.zip" and read.calibration.table is read.calibration.passages
    # The vectors of the golden crops tell something only if they differ.
    vectors = np.array([golden.vector for golden in read.golden])
    assert len(vectors) >= 4 and np.max(np.triu(vectors @ vectors.T, 1)) < 0.9


@pytest.mark.parametrize("batch", [1, 3, 8])
def test_the_shipped_bundle_takes_any_batch(shipped: Any, batch: int) -> None:
    crops = np.stack([bundle.golden_crop(seed) for seed in range(batch)])
    vectors = embed(shipped, crops)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert np.allclose(vectors, np.concatenate([embed(shipped, crop[None]) for crop in crops]), atol=1e-5)


@pytest.mark.parametrize(
    "mistake",
    [
        pytest.param(lambda crops: np.ascontiguousarray(crops[..., ::-1]), id="swapped channels"),
        pytest.param(lambda crops: crops // 255, id="scaled twice"),
        pytest.param(lambda crops: np.minimum(crops.astype(int) + 128, 255).astype(np.uint8), id="mean left in"),
        pytest.param(lambda crops: np.ascontiguousarray(crops.transpose(0, 2, 1, 3)), id="axes exchanged"),
    ],
)
def test_the_golden_check_sees_a_wrong_preprocessing(shipped: Any, mistake: Any) -> None:
    with pytest.raises(BundleError, match="golden check"):
        bundle.check_golden(bundle.read_card(shipped), lambda crops: embed(shipped, mistake(crops)))


def test_how_alike_strangers_are_follows_from_the_table_of_pairs() -> None:
    def card(*points: tuple[float, float | None]) -> Calibration:
        return Calibration((), tuple(FmrPoint(fmr, threshold, 1000) for fmr, threshold in points), 100, 1000)

    found = card((0.1, 0.1 + 1.281552 * 0.2), (0.01, 0.1 + 2.326348 * 0.2), (0.001, 0.9)).strangers
    assert found is not None and [found.mean, found.deviation] == pytest.approx([0.1, 0.2])
    for unusable in (card(), card((0.1, 0.3)), card((0.1, None), (0.01, 0.4)), card((0.1, 0.4), (0.01, 0.4))):
        assert unusable.strangers is None and not unusable.measured_here
