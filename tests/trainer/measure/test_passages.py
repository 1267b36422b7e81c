"""Simulated strangers: what the gate fuses and compares, and the nearest of its looks."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from daemon.core.bundle import CARD_KEY
from daemon.core.passages import defaults
from daemon.core.passages.evidence import Evidence
from tests.conftest import ROOT
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


def test_a_stranger_who_stays_gets_every_look_of_the_default_rules_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = defaults.PATIENCE - defaults.MIN_FRAMES + 1
    assert passages.claim_looks() == quick == 6
    stays = np.ones((1, 112, 112, 3), np.uint8)
    assert [len(seen) for seen in passages.looks(by_colour, stays, None)] == [quick + defaults.TRIES] == [16]
    monkeypatch.setattr(passages, "FRAMES_PER_S", 25.0)
    assert [len(seen) for seen in passages.looks(by_colour, stays, None)] == [15], "five frames of a fast camera are not long enough"


def test_a_look_is_what_the_daemons_evidence_fuses(crops: data.Crops) -> None:
    frames: list[NDArray[np.float32]] = []

    def embed(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        frames.append(by_colour(pixels))
        return frames[-1]

    looked = passages.looks(embed, crops.pixels[:3], None)
    assert len(looked) == 3
    evidence, expected = Evidence(defaults.MEMORY), []
    for number, vector in enumerate(frames[1]):
        evidence.add(vector, 0.0)
        if 4 <= number <= 9 or number in range(13, 50, 4):
            expected.append(evidence.fused)
    np.testing.assert_allclose(looked[1], expected, atol=1e-6)
    assert not np.allclose(frames[1][0], frames[1][1]), "every frame is disturbed anew"
    np.testing.assert_array_equal(looked, passages.looks(embed, crops.pixels[:3], None))


def test_a_frame_that_shows_another_face_is_set_aside_and_no_look_is_lost(crops: data.Crops) -> None:
    def embed(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        vectors = np.tile(np.eye(2, dtype=np.float32)[0], (len(pixels), 1))
        vectors[7] = (0.0, 1.0)
        return vectors

    (strict,) = passages.looks(embed, crops.pixels[:1], 0.5)
    assert strict.tolist() == [[1.0, 0.0]] * 16
    (loose,) = passages.looks(embed, crops.pixels[:1], None)
    assert len(loose) == 16 and loose[:3, 1].max() == 0.0 < loose[3:, 1].min()


def test_a_stranger_whom_the_gate_never_looks_at_is_near_nobody(crops: data.Crops) -> None:
    looked = passages.looks(lambda pixels: np.full((len(pixels), 2), np.nan, np.float32), crops.pixels[:2], 0.5)
    assert [seen.shape for seen in looked] == [(0, 2), (0, 2)]
    np.testing.assert_array_equal(passages.nearest(looked, np.eye(2, dtype=np.float32)), np.full((2, 2), -1.0))


def test_the_nearest_look_counts(crops: data.Crops) -> None:
    looked, gallery = passages.looks(by_colour, crops.pixels[:4], None), by_colour(crops.pixels)
    expected = [[max(float(look @ entry) for look in person) for entry in gallery] for person in looked]
    np.testing.assert_allclose(passages.nearest(looked, gallery), expected, atol=1e-6)


def test_a_card_has_both_tables_and_the_gate_uses_that_of_passages(crops: data.Crops) -> None:
    found = calibrate(by_colour, crops, "made-up people")
    assert found.identities == 12 and len(found.passages) == len(found.cells) and found.table is found.passages
    for crop, passage in zip(found.cells, found.passages, strict=True):
        assert (crop.gallery, crop.fpir, crop.threshold is None) == (passage.gallery, passage.fpir, passage.threshold is None)


def test_a_bundle_gets_new_thresholds_and_keeps_everything_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = ROOT / "daemon/models/faces.onnx"
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


def test_people_whom_the_model_has_learned_set_no_thresholds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    people, model = faces.folder(tmp_path / "people", people=3, images=1), onnx.load(ROOT / "daemon/models/faces.onnx")
    (entry,) = [entry for entry in model.metadata_props if entry.key == CARD_KEY]
    entry.value = json.dumps({**json.loads(entry.value), "data_digest": data.load(people).digest})
    onnx.save(model, tmp_path / "ours.onnx")
    assert main(["calibrate", str(tmp_path / "ours.onnx"), str(tmp_path / "x.onnx"), "--data", str(people)]) == 2
    assert "was trained on these crops" in capsys.readouterr().err and not (tmp_path / "x.onnx").exists()


def test_a_card_says_which_part_of_a_split_set_its_thresholds(tmp_path: Path) -> None:
    bundle, people = ROOT / "daemon/models/faces.onnx", faces.folder(tmp_path / "people", people=3, images=1)
    (tmp_path / "split.csv").write_text("person,part\nperson00,fit\nperson01,calibration\nperson02,calibration\n")
    made = ["calibrate", str(bundle), str(tmp_path / "ours.onnx"), "--data", str(people), "--split", str(tmp_path / "split.csv")]
    assert main(made) == 0
    assert onnx_embedder(tmp_path / "ours.onnx")[1].calibration.source == "2 calibration people of people"
