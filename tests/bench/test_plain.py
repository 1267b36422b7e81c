"""The plain script is a fair yardstick only while it recognises people."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from bench.plain import Plain, frames
from daemon.pipeline.opening import DEFAULT_BUNDLE
from tests.conftest import ROOT

CLIPS = ("brother", "learn", "night")
"""Not the stranger's: by the card's threshold alone, which is all that the script has, it depends on the enrolment frame."""


def people(data: Path) -> dict[str, str]:
    with (data / "clips/asl/identities.csv").open() as file:
        return {row["clip"].removesuffix(".mkv"): row["person"] for row in csv.DictReader(file)}


def photo(data: Path, clip: str) -> np.ndarray:
    return next(image for number, (image, _, _) in enumerate(frames(str(data / f"clips/asl/{clip}.mkv"))) if number == 15)


@pytest.mark.data
@pytest.mark.parametrize("side", [640, 320])
def test_it_accepts_the_right_people(data_dir: Path, side: int) -> None:
    plain = Plain(data_dir / "models/yunet.onnx", DEFAULT_BUNDLE, 0.672, side)
    who = people(data_dir)
    for person in "ABCD":
        plain.enrol(person, photo(data_dir, next(clip for clip in who if who[clip] == person)))
    said: dict[str, list[str | None]] = {}
    for clip in CLIPS:
        plain.tracks = []
        walked = frames(str(data_dir / f"clips/asl/{clip}.mkv"))
        said[clip] = [answer.person for image, now_s, _ in walked for answer in plain.step(image, now_s)[1]]
    assert said == {clip: [who[clip]] for clip in CLIPS}


@pytest.mark.data
def test_it_runs_by_hand(data_dir: Path, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "anna.jpg"), photo(data_dir, "again"))
    command = [sys.executable, "-m", "bench.plain", "--source", data_dir / "clips/asl/brother.mkv", "--people", tmp_path]
    command += ["--yunet", data_dir / "models/yunet.onnx", "--bundle", DEFAULT_BUNDLE]
    done = subprocess.run([*map(str, command)], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    assert [json.loads(line)["person"] for line in done.stdout.splitlines()] == ["anna"]


def test_a_source_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"none\.mkv: cannot be opened"):
        next(frames(str(tmp_path / "none.mkv")))
