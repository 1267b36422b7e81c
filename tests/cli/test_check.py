"""What `check` says about thresholds: how many people the card has, and whether a gate stays closed with them."""

from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest

from daemon.cli.check import check
from daemon.config import load
from daemon.core.bundle import CARD_KEY, Card
from daemon.pipeline.opening import DEFAULT_BUNDLE
from trainer.measure import calibrate


def bundle_of(path: Path, people: int) -> Path:
    """The default bundle, calibrated on so many made-up people."""
    vectors = np.random.default_rng(1).standard_normal((people, 64)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    model = onnx.load(str(DEFAULT_BUNDLE))
    (entry,) = [one for one in model.metadata_props if one.key == CARD_KEY]
    card = msgspec.json.decode(entry.value, type=Card)
    entry.value = msgspec.json.encode(msgspec.structs.replace(card, calibration=calibrate.of_vectors(vectors, "made up"))).decode()
    onnx.save(model, str(path))
    return path


def found(tmp_path: Path, people: int, decision: str = "", mode: str = "identify") -> dict[str, tuple[bool, str]]:
    path = tmp_path / "config.toml"
    path.write_text(
        f'site = "acme"\nstate_dir = "{tmp_path}/state"\n[model]\nbundle = "{bundle_of(tmp_path / "few.onnx", people)}"\n'
        f'[gates.north]\nsource = "{tmp_path}"\nmode = "{mode}"\n[decision]\n{decision}\n'
    )
    return {part: (works, said) for part, works, said in check(load(path), local=True)}


def test_a_gate_that_stays_closed_is_told_before_it_serves(tmp_path: Path) -> None:
    said = found(tmp_path, 8)
    assert said["model"][0] and "8 calibration people: no threshold can be had" in said["model"][1]
    works, text = said["threshold north"]
    assert not works and "none for searches: 1 template at FPIR 1 %" in text and "the gate stays closed" in text and "more people" in text


@pytest.mark.parametrize(
    ("decision", "mode", "works", "says"),
    [
        ("", "identify", False, "none for searches: 1 template at FPIR 1 %, so the gate stays closed"),
        ("target_fpir = 0.1", "identify", True, "for searches: 1 template at FPIR 10 %"),
        ("threshold = 0.7", "identify", True, "0.7 for searches"),
        ("target_fpir = 0.1", "verify", False, "none for claims: FMR 0.1 %, so the gate stays closed"),
        ("target_fpir = 0.1", "both", False, "none for claims: FMR 0.1 %, so the gate does not do this"),
        ("target_fpir = 0.1\ntarget_fmr = 0.01", "both", True, "for claims: FMR 1 %"),
    ],
)
def test_sixty_people(tmp_path: Path, decision: str, mode: str, works: bool, says: str) -> None:
    said = found(tmp_path, 60, decision, mode)
    assert "60 calibration people: thresholds at FPIR 10 % for up to 20 templates" in said["model"][1]
    assert said["threshold north"][0] is works and says in said["threshold north"][1]
