"""The files of one run."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daemon.edges.files import replace
from trainer.recipes import reading as recipes
from trainer.recipes.values import Recipe
from trainer.runs.files import RunError, numbers, plain, reading, save, writing
from trainer.runs.state import State, course_of

GROUPS = ("model", "optimizer", "average", "seeds", "best")
BEGUN = {"recipe.toml", "lock", "recipe.toml.tmp", "run.json.tmp"}
"""What a folder has in it if `begin` was cut off."""
BEGUN_WITH = (
    ("data_digest", "other data", ""),
    ("decided", "other decisions", "those --decisions, "),
    ("parts", "another --split", "that split, "),
)
"""Facts in which a run never changes: the key, what is said if it does, and what to give instead."""


class Run:
    """One run folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def begun(self) -> bool:
        """Whether this is a run's folder."""
        return (self.folder / "run.json").exists()

    def check(self, recipe: Recipe) -> None:
        """Refuse a folder that is something else or another recipe's, before anything slow is done. Raises RunError."""
        if self.begun:
            if self.facts()["recipe"] != recipe.digest:
                raise RunError(
                    f"{self.folder} was begun with another recipe",
                    "give another --run folder, --resume to go on with the run's own recipe, or --fresh to begin anew",
                )
        elif self.folder.exists() and (not self.folder.is_dir() or {path.name for path in self.folder.iterdir()} - BEGUN):
            raise RunError(f"{self.folder} is not empty and not a run", "give another --run folder")

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else trains in this folder within the block. Raises RunError."""
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            file = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.truncate(file, 0)
            os.write(file, str(os.getpid()).encode())
        except BlockingIOError:
            other = os.read(file, 20).decode() or "unknown"
            os.close(file)
            raise RunError(f"{self.folder} is being trained by process {other}", "wait for it, or give another --run folder") from None
        except OSError:
            pass  # a file system without locks: the user sees to it
        try:
            yield
        finally:
            if not self.begun:
                # Nothing came of it: leave what was there.
                with contextlib.suppress(OSError):
                    (self.folder / "lock").unlink()
                    self.folder.rmdir()
            os.close(file)

    def move_aside(self) -> Path | None:
        """Give the folder another name, so that a new run can begin here. Returns it, or None if there was no folder. Raises RunError."""
        if not self.folder.exists():
            return None
        aside = next(place for n in range(1, 10_000) if not (place := self.folder.with_name(f"{self.folder.name}-old{n}")).exists())
        with writing(self.folder):
            self.folder.rename(aside)
        return aside

    def begin(self, recipe: Recipe, facts: Mapping[str, object]) -> None:
        """Create the folder, or check that it belongs to this very recipe and data. Raises RunError."""
        self.check(recipe)
        facts = {"recipe": recipe.digest, **facts}
        if (self.folder / "run.json").exists():
            before = self.facts()
            for key, what, first in BEGUN_WITH:
                # A run of an older trainer made no decisions, and does not know its parts.
                if before.get(key, "" if key == "decided" else facts.get(key, "")) != facts.get(key, ""):
                    raise RunError(f"{self.folder} was begun with {what}", f"give {first}another --run folder, or --fresh to begin anew")
            return
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            replace(self.folder / "recipe.toml", recipe.text.encode())
            replace(self.folder / "run.json", json.dumps(facts, indent=1).encode())

    def remember(self, people: Sequence[str], marks: NDArray[np.uint64]) -> None:
        """Who was learned from, by name and by picture: they are never measured on."""
        save(self.folder / "learned.npz", {"people": np.array(people), "marks": marks})

    def learned(self) -> tuple[set[str], NDArray[np.uint64]]:
        """What `remember` was given. Raises RunError."""
        with self._opened("learned.npz") as file:
            return set(file["people"].tolist()), file["marks"]

    def recipe(self) -> Recipe:
        """The recipe this run was begun with. Raises RunError."""
        if not (self.folder / "recipe.toml").exists():
            raise RunError(f"{self.folder} is not a run folder", "make one with `ostiary-train fit`")
        return recipes.read(self.folder / "recipe.toml")

    def facts(self) -> dict[str, object]:
        """run.json. Raises RunError."""
        with reading(self.folder / "run.json"):
            facts: dict[str, object] = json.loads((self.folder / "run.json").read_text())
        return facts

    def note(self, line: Mapping[str, object]) -> None:
        """Append one line to history.jsonl. What was noted after the last checkpoint is noted again by a run that goes on from there, and
        `rewind` takes it away before. Raises RunError."""
        with writing(self._history), self._history.open("a", encoding="utf-8") as file:
            file.write(json.dumps(plain(line)) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def rewind(self) -> None:
        """Bring history.jsonl back to the last checkpoint, or to nothing if there is none. Raises RunError."""
        length = 0
        if (self.folder / "state.npz").exists():
            with self._opened("state.npz") as file:
                if "history" not in file.files:  # of an older trainer
                    return
                length = int(file["history"])
        if self._history.exists() and self._history.stat().st_size > length:
            with writing(self._history):
                os.truncate(self._history, length)

    def checkpoint(self, state: State) -> None:
        """Replace state.npz. Raises RunError; the last checkpoint is then still there."""
        arrays: dict[str, NDArray[np.generic]] = {"clock": np.array([state.stage, state.step, state.elapsed_s, state.cpu_s])}
        arrays["history"] = np.array(self._history.stat().st_size if self._history.exists() else 0)
        if state.course is not None:
            arrays["course"] = np.array(json.dumps(plain(dataclasses.asdict(state.course))))
        for group in GROUPS:
            for index, value in enumerate(getattr(state, group)):
                arrays[f"{group}_{index:04d}"] = value
        save(self.folder / "state.npz", arrays)

    def state(self) -> State | None:
        """The last checkpoint; None if there is none. Raises RunError."""
        if not self.checkpointed:
            return None
        with self._opened("state.npz") as file:
            groups = {name: [file[key] for key in sorted(file.files) if key.startswith(name + "_")] for name in GROUPS}
            stage, step, elapsed_s, cpu_s = (float(number) for number in file["clock"])
            course = course_of(json.loads(str(file["course"]))) if "course" in file.files else None
            return State(int(stage), int(step), elapsed_s, cpu_s, **groups, course=course)

    @property
    def checkpointed(self) -> bool:
        """Whether there is a checkpoint to go on from."""
        return (self.folder / "state.npz").exists()

    def checkpoint_age_s(self) -> float:
        """How many seconds ago the last checkpoint was written."""
        return max(0.0, time.time() - (self.folder / "state.npz").stat().st_mtime)

    def keep(self, weights: list[NDArray[np.float32]], figures: Mapping[str, float]) -> None:
        """These weights are what the run has to show so far; figures of earlier ones are forgotten."""
        with writing(self.folder):
            (self.folder / "evaluation.json").unlink(missing_ok=True)
        save(self.folder / "weights.npz", {f"w_{index:04d}": value for index, value in enumerate(weights)})
        with writing(self.folder / "kept.json"):
            replace(self.folder / "kept.json", json.dumps(plain(figures)).encode())

    def weights(self) -> list[NDArray[np.float32]]:
        """The weights kept, in Keras' order: the encoder's, then those of a head if the run has one. Raises RunError."""
        if self.broken and not self.kept:
            raise RunError(f"{self.folder} has no trained weights: {self.broken}", "train anew: `fit --fresh`, or another --run folder")
        if not (self.folder / "weights.npz").exists():
            raise RunError(f"{self.folder} has no trained weights yet", "let `ostiary-train fit` finish its first stage")
        with self._opened("weights.npz") as file:
            return [file[key] for key in sorted(file.files)]

    def start_from(self, weights: list[NDArray[np.float32]]) -> None:
        """The weights that the first stage begins with, if they are not fresh: what came of the training is measured against them."""
        save(self.folder / "start.npz", {f"w_{index:04d}": value for index, value in enumerate(weights)})

    def start(self) -> list[NDArray[np.float32]] | None:
        """The weights given to `start_from`; None for a run that began with fresh weights. Raises RunError."""
        if not (self.folder / "start.npz").exists():
            return None
        with self._opened("start.npz") as file:
            return [file[key] for key in sorted(file.files)]

    def kept_figures(self) -> dict[str, float]:
        """The figures given to `keep`."""
        with reading(self.folder / "kept.json"):
            figures: dict[str, float | None] = json.loads((self.folder / "kept.json").read_text())
        return numbers(figures)

    @property
    def kept(self) -> bool:
        """Whether the run has weights to show."""
        return (self.folder / "kept.json").exists()

    def history(self) -> list[dict[str, Any]]:
        """The lines given to `note`; a line that a kill cut short is left out."""
        with reading(self._history):
            lines = self._history.read_text(encoding="utf-8").splitlines(keepends=True) if self._history.exists() else []
            return [json.loads(line) for line in lines if line.endswith("\n")]

    def finish(self, broken: str = "") -> None:
        """Mark the run as done: nothing to resume. `broken` says why it could not come to its end. Raises RunError."""
        with writing(self.folder / "done"):
            replace(self.folder / "done", broken.encode())

    @property
    def finished(self) -> bool:
        """Whether there is nothing to resume."""
        return (self.folder / "done").exists()

    @property
    def broken(self) -> str:
        """Why a finished run could not come to its end; empty if it did."""
        return (self.folder / "done").read_text(encoding="utf-8") if self.finished else ""

    @property
    def _history(self) -> Path:
        return self.folder / "history.jsonl"

    @contextlib.contextmanager
    def _opened(self, name: str) -> Iterator[Any]:
        # Opened here: numpy does not close a file that it cannot read.
        with reading(self.folder / name), (self.folder / name).open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            yield file
