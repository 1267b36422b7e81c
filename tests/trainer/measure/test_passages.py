"""Simulated passages: what a gate fuses, and the nearest of its looks."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from daemon.core.bundle import CARD_KEY
from daemon.core.passages.evidence import Evidence
from tests.trainer import faces
from trainer.__main__ import main
from trainer.measure import passages
from trainer.measure.calibrate import calibrate
from trainer.models.opened import onnx_embedder
from trainer.people import data


def by_colour(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Unit vectors that say how red, green and blue a crop's parts are."""
    rows = crops.reshape(len(crops), 4, -1, 3).astype(np.float32).mean(axis=2).reshape(len(crops), -1) - 100
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


@pytest.fixture
def crops(tmp_path: Path) -> data.Crops:
    return data.load(faces.folder(tmp_path / "people", people=12, images=2))


def test_a_look_is_what_the_daemons_evidence_fuses(crops: data.Crops) -> None:
    frames: list[NDArray[np.float32]] = []

    def embed(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        frames.append(by_colour(pixels))
        return frames[-1]

    looked = passages.looks(embed, crops.pixels[:3])
    assert looked.shape == (3, passages.FRAMES - passages.FIRST_LOOK + 1, 12)
    evidence = Evidence(passages.MEMORY)
    for number, vector in enumerate(frames[1], 1):
        evidence.add(vector, 0.0)
        if number >= passages.FIRST_LOOK:
            np.testing.assert_allclose(looked[1, number - passages.FIRST_LOOK], evidence.fused, atol=1e-6)
    assert not np.allclose(frames[1][0], frames[1][1]), "every frame is disturbed anew"
    np.testing.assert_array_equal(looked, passages.looks(embed, crops.pixels[:3]))


def test_the_nearest_look_counts(crops: data.Crops) -> None:
    looked, gallery = passages.looks(by_colour, crops.pixels[:4]), by_colour(crops.pixels)
    expected = [[max(float(look @ entry) for look in person) for entry in gallery] for person in looked]
    np.testing.assert_allclose(passages.nearest(looked, gallery), expected, atol=1e-6)


def test_a_card_has_both_tables_and_the_gate_uses_that_of_passages(crops: data.Crops) -> None:
    found = calibrate(by_colour, crops, "made-up people")
    assert found.identities == 12 and len(found.passages) == len(found.cells) and found.table is found.passages
    for crop, passage in zip(found.cells, found.passages, strict=True):
        assert (crop.gallery, crop.fpir, crop.threshold is None) == (passage.gallery, passage.fpir, passage.threshold is None)


def test_a_bundle_gets_new_thresholds_and_keeps_everything_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = Path(__file__).parents[2] / "daemon/models/faces.onnx"
    people = faces.folder(tmp_path / "people", people=6, images=1)
    assert main(["calibrate", str(bundle), str(tmp_path / "ours.onnx"), "--data", str(people)]) == 0
    (_, before), (_, after) = onnx_embedder(bundle), onnx_embedder(tmp_path / "ours.onnx")
    assert after.calibration.source == "6 people of people" and after.calibration.identities == 6
    assert (after.golden, after.evaluation, after.licence) == (before.golden, before.evaluation, before.licence)
    one, other = onnx.load(bundle), onnx.load(tmp_path / "ours.onnx")
    assert one.graph.SerializeToString() == other.graph.SerializeToString()
    assert [entry.key for entry in other.metadata_props].count(CARD_KEY) == 1
    assert "passages of 6 people" in " ".join(capsys.readouterr().out.split())
    assert main(["calibrate", str(bundle), str(tmp_path / "x.onnx"), "--data", str(tmp_path / "people/person00")]) == 2
