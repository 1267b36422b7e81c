"""What TensorBoard and a spreadsheet read of a run."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.conftest import ROOT
from trainer.learn.logs import COLUMNS, TAGS, Logs
from trainer.runs import Run

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

LINES = [
    {"stage": "identify", "step": 0, "epoch": 0.0, "time": 100.0, "auc": 0.5, "tar": float("nan"), "other": 0.4},
    {"stage": "identify", "step": 10, "epoch": 1.0, "time": 110.0, "auc": 0.7, "loss": 3.0, "rate": 1e-3, "other": 0.9},
    {"stage": "identify", "step": 10, "warning": "collapse"},
    {"stage": "triplets 1", "step": 0, "epoch": 0.0, "time": 111.0, "auc": 0.7, "other": 0.9},
    {"stage": "triplets 1", "step": 5, "epoch": 2.0, "time": 120.0, "auc": 0.8, "loss": 0.6, "other": 1.1, "hard": 0.1},
    {"stage": "triplets 1", "kept": True, "before": {}, "after": {}},
]


def scalars(folder: Path, tag: str) -> list[tuple[int, float, float]]:
    board = EventAccumulator(str(folder))
    board.Reload()
    return [(event.step, event.wall_time, round(event.value, 6)) for event in board.Scalars(tag)]


def test_tensorboard_reads_every_stage_from_step_0_and_nothing_twice(tmp_path: Path) -> None:
    run = Run(tmp_path)
    logs = Logs(run)
    for line in LINES[:4]:
        run.note(line)
        logs.add(line)
    # Cut off here, and gone on with: the lines before are written anew.
    logs = Logs(run)
    for line in LINES[4:]:
        run.note(line)
        logs.add(line)
    first, second = tmp_path / "tensorboard/1-identify", tmp_path / "tensorboard/2-triplets-1"
    assert scalars(first, "val/auc") == [(0, 100.0, 0.5), (10, 110.0, 0.7)]
    assert scalars(first, "train/loss") == [(10, 110.0, 3.0)]
    assert scalars(second, "distance/two_people") == [(10, 111.0, 0.9), (15, 120.0, 1.1)]
    assert scalars(second, "triplets/hard") == [(15, 120.0, 0.1)]
    with (tmp_path / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["stage"], row["step"]) for row in rows] == [
        ("identify", "0"),
        ("identify", "10"),
        ("triplets 1", "0"),
        ("triplets 1", "5"),
    ]
    assert rows[0]["tar"] == "" and rows[0]["loss"] == "" and rows[3]["loss"] == "0.6"


def test_every_value_has_a_column() -> None:
    assert set(TAGS) <= set(COLUMNS) and len(set(TAGS.values())) == len(TAGS)


def test_tensorflow_is_not_needed() -> None:
    """With JAX it may not be there, and it takes seconds to load."""
    modules = "tensorboard.summary.writer.record_writer, tensorboard.compat.proto.event_pb2, tensorboard.compat.proto.summary_pb2"
    code = f"import sys, {modules}; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
