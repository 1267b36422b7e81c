"""One-shot classification, 20-way, as in Lake, Salakhutdinov and Tenenbaum 2015. Each of twenty runs gives one drawing of each of twenty
characters of one alphabet, and twenty drawings by another hand to name.

Of these 400 trials people name 95.5 % correctly, the modified Hausdorff distance of the ink 61.2 %, Koch's Siamese network 92.0 %.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from daemon.core.faults import Fault
from trainer.measure import metrics
from trainer.measure.metrics import Floats, Similarity

RUNS = 20
WAYS = 20
SIDE_PX = 105
HINT = "give Omniglot's one_shot_runs.zip, or its unpacked folder: run01 to run20, each with class_labels.txt"


class OneShotError(Fault):
    """The one-shot runs cannot be read; `message` and `hint` are one line each."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One run: `training` and `test` uint8 [20, 105, 105], ink 0 on paper 255. Test drawing i shows the same character as
    `training[answer[i]]`; `answer` is int64 [20]."""

    training: NDArray[np.uint8]
    test: NDArray[np.uint8]
    answer: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Score:
    """The right answers of all trials, Wilson's 95 % interval of their share, and the right answers of each run."""

    right: int
    total: int
    low: float
    high: float
    per_run: tuple[int, ...]

    @property
    def share(self) -> float:
        """The share of right answers."""
        return self.right / self.total


def read(source: Path) -> tuple[Trial, ...]:
    """The twenty runs of a zip or folder, in order. Raises OneShotError, which names the first bad file."""
    files = _files(source)
    return tuple(_trial(files, f"run{number:02d}") for number in range(1, RUNS + 1))


def accuracy(trials: Sequence[Trial], similarities: Sequence[Floats]) -> Score:
    """Count right answers from each run's similarities [20 test, 20 training]. A tie with another character counts as wrong."""
    per_run = tuple(
        int((metrics.ranks(similarity, trial.answer) == 1).sum()) for trial, similarity in zip(trials, similarities, strict=True)
    )
    total = sum(len(trial.answer) for trial in trials)
    return Score(sum(per_run), total, *metrics.wilson(sum(per_run), total), per_run)


def measure(trials: Sequence[Trial], embed: Callable[[NDArray[np.uint8]], Floats], similarity: Similarity = metrics.cosine) -> Score:
    """The score of a network: `embed` gives the vectors [n, d] of drawings uint8 [n, 105, 105]."""
    return accuracy(trials, [similarity(embed(trial.test), embed(trial.training)) for trial in trials])


def _files(source: Path) -> dict[str, bytes]:
    """The content of every file in a run's folder, by its path as in class_labels.txt."""
    try:
        if source.is_dir():
            paths = [path for run in sorted(source.glob("run[0-9][0-9]")) for path in run.rglob("*") if path.is_file()]
            return {path.relative_to(source).as_posix(): path.read_bytes() for path in paths}
        with zipfile.ZipFile(source) as archive:
            inside = [info for info in archive.infolist() if re.match(r"run\d\d/", info.filename) and not info.is_dir()]
            return {info.filename: archive.read(info) for info in inside}
    except (OSError, zipfile.BadZipFile, zlib.error) as error:
        raise OneShotError(f"cannot read {source}: {error}", HINT) from error


def _trial(files: dict[str, bytes], run: str) -> Trial:
    labels = f"{run}/class_labels.txt"
    lines = [line.split() for line in _content(files, labels).decode("utf-8", "replace").splitlines() if line.strip()]
    if len(lines) != WAYS or any(len(line) != 2 for line in lines):
        raise OneShotError(f"{labels} is not {WAYS} lines of two paths", HINT)
    tests, answers = zip(*lines, strict=True)
    known = sorted(path for path in files if path.startswith(f"{run}/training/"))
    wrong = sorted(set(answers).symmetric_difference(known))
    if wrong or len(known) != WAYS or len(set(tests)) != WAYS:
        named = f", for example {wrong[0]}" if wrong else ""
        raise OneShotError(f"{labels} does not name each of {WAYS} test and {WAYS} training drawings once{named}", HINT)
    place = {path: index for index, path in enumerate(known)}
    return Trial(_drawings(files, known), _drawings(files, tests), np.array([place[path] for path in answers], np.int64))


def _drawings(files: dict[str, bytes], paths: Sequence[str]) -> NDArray[np.uint8]:
    drawings = np.empty((len(paths), SIDE_PX, SIDE_PX), np.uint8)
    for index, path in enumerate(paths):
        content = _content(files, path)
        drawing = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_GRAYSCALE) if content else None
        if drawing is None or drawing.shape != (SIDE_PX, SIDE_PX):
            raise OneShotError(f"{path} is not a picture of {SIDE_PX}x{SIDE_PX}", HINT)
        drawings[index] = drawing
    return drawings


def _content(files: dict[str, bytes], path: str) -> bytes:
    if path not in files:
        raise OneShotError(f"{path} is missing", HINT)
    return files[path]
