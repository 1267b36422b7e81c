"""What other programs read of a run: history.csv for a spreadsheet, tensorboard/ for TensorBoard.

Both are made from history.jsonl, and made anew from it whenever training begins or goes on. So no line is in them twice, and they can be
deleted.
"""

from __future__ import annotations

import csv
import math
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

from trainer.runs import Run
from trainer.runs.files import writing

COLUMNS = (
    "stage", "step", "crops", "epoch", "time", "elapsed_s", "cpu_s", "crops_per_s", "waited", "rate", "loss",
    "auc", "eer", "tar", "tar_1e2", "impostor", "same", "other", "easy", "semi_hard", "hard",
)  # fmt: skip
TAGS = {
    "loss": "train/loss",
    "rate": "train/rate",
    "crops_per_s": "train/crops_per_s",
    "waited": "train/waited",
    "auc": "val/auc",
    "eer": "val/eer",
    "tar": "val/tar_at_fmr_1e-3",
    "tar_1e2": "val/tar_at_fmr_1e-2",
    "impostor": "val/impostor_similarity",
    "same": "distance/one_person",
    "other": "distance/two_people",
    "easy": "triplets/easy",
    "semi_hard": "triplets/semi_hard",
    "hard": "triplets/hard",
}
"""A value of a history line, and its name in TensorBoard."""


class Logs:
    """The logs of one run. TensorBoard sees each stage as a run of its own; its steps are counted through all stages."""

    def __init__(self, run: Run) -> None:
        """Write them anew from the lines of history.jsonl. Raises RunError."""
        self._csv, self._board = run.folder / "history.csv", run.folder / "tensorboard"
        self._events: _Events | None = None
        self._stage, self._stages, self._before, self._step = "", 0, 0, 0
        with writing(self._board):
            shutil.rmtree(self._board, ignore_errors=True)
        with writing(self._csv), self._csv.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerow(COLUMNS)
        for line in run.history():
            self.add(line)

    def add(self, line: Mapping[str, object]) -> None:
        """Add a line of history.jsonl, if it is of a validation. Raises RunError."""
        if "epoch" not in line:
            return
        line = {key: value for key, value in line.items() if not (isinstance(value, float) and math.isnan(value))}
        with writing(self._csv), self._csv.open("a", encoding="utf-8", newline="") as file:
            csv.DictWriter(file, COLUMNS, restval="", extrasaction="ignore").writerow(line)
        with writing(self._board):
            self._add_event(line)

    def _add_event(self, line: Mapping[str, object]) -> None:
        step = int(_number(line.get("step")) or 0)
        if self._events is None or line["stage"] != self._stage:
            self._before, self._stages, self._stage = self._before + self._step, self._stages + 1, str(line["stage"])
            self._events = _Events(self._board / f"{self._stages}-{self._stage.replace(' ', '-')}")
        self._step = step
        values = {tag: value for key, tag in TAGS.items() if (value := _number(line.get(key))) is not None}
        self._events.add(self._before + step, _number(line.get("time")) or time.time(), values)


class _Events:
    """One file of events, in the format that TensorBoard has always read."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._path = folder / f"events.out.tfevents.{int(time.time())}"
        self._write(Event(wall_time=time.time(), file_version="brain.Event:2"))

    def add(self, step: int, at: float, values: Mapping[str, float]) -> None:
        summary = Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()])
        self._write(Event(wall_time=at, step=step, summary=summary))

    def _write(self, event: Event) -> None:
        # Opened each time: there are some twenty events in a run.
        with self._path.open("ab") as file:
            RecordWriter(file).write(event.SerializeToString())


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None
