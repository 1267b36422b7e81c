"""A run folder: what one training leaves on disk, written so that a kill at any instant leaves the older or the newer state."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from daemon.core.faults import Fault, first_line
from daemon.edges.files import replace, replacing
from trainer.recipes import reading
from trainer.recipes.values import Recipe

GROUPS = ("model", "optimizer", "average")


class RunError(Fault):
    """A run folder that cannot be used; `message` and `hint` are one line each."""


@dataclass(frozen=True, slots=True)
class State:
    """Everything a stage needs to go on: its number, model and optimizer variables in Keras' order, the averaged weights that the run
    keeps, seconds of clock and of processor so far."""

    stage: int
    step: int
    elapsed_s: float
    cpu_s: float
    model: list[NDArray[np.float32]]
    optimizer: list[NDArray[np.float32]]
    average: list[NDArray[np.float32]]

    @staticmethod
    def of(stage: int, step: int, spent_s: tuple[float, float], model: keras.Model, average: list[NDArray[np.float32]]) -> State:
        """Copy the state out of a model being trained."""
        optimizer = [np.asarray(variable) for variable in model.optimizer.variables]
        return State(stage, step, *spent_s, model.get_weights(), optimizer, average)

    def begin(self, model: keras.Model) -> None:
        """Only the weights, for training anew from where another run ended, if it trained this very model on as many people."""
        shapes = [weight.shape for weight in model.get_weights()]
        if [weight.shape for weight in self.model] == shapes:
            model.set_weights(self.model)

    def restore(self, model: keras.Model) -> None:
        """Put the state back into a freshly built model of the same recipe. Raises RunError."""
        if len(self.optimizer) != len(model.optimizer.variables):
            raise RunError("the saved state belongs to another model", "start a new run folder")
        try:
            model.set_weights(self.model)
            for variable, value in zip(model.optimizer.variables, self.optimizer, strict=True):
                variable.assign(value)
        except ValueError as error:
            raise RunError("the saved state belongs to another model", "start a new run folder") from error


class Run:
    """One run folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def check(self, recipe: Recipe) -> None:
        """Refuse a folder that is something else or another recipe's, before anything slow is done. Raises RunError."""
        if (self.folder / "run.json").exists():
            if self.facts()["recipe"] != recipe.digest:
                raise RunError(f"{self.folder} was begun with another recipe", "give another --run folder")
        elif self.folder.exists() and (not self.folder.is_dir() or any(self.folder.iterdir())):
            raise RunError(f"{self.folder} is not empty and not a run", "give another --run folder")

    def begin(self, recipe: Recipe, facts: Mapping[str, object]) -> None:
        """Create the folder, or check that it belongs to this very recipe and data. Raises RunError."""
        self.check(recipe)
        facts = {"recipe": recipe.digest, **facts}
        if (self.folder / "run.json").exists():
            if self.facts()["data_digest"] != facts["data_digest"]:
                raise RunError(f"{self.folder} was begun with other data", "give another --run folder")
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            replace(self.folder / "recipe.toml", recipe.text.encode())
            replace(self.folder / "run.json", json.dumps(facts, indent=1).encode())
        except OSError as error:
            raise RunError(f"cannot write {self.folder}: {error.strerror}", "give a --run folder that can be written") from error

    def remember(self, people: Sequence[str], marks: NDArray[np.uint64]) -> None:
        """Who was learned from, by name and by picture: they are never measured on."""
        save(self.folder / "learned.npz", {"people": np.array(people), "marks": marks})

    def learned(self) -> tuple[set[str], NDArray[np.uint64]]:
        """What `remember` was given."""
        with np.load(self.folder / "learned.npz", allow_pickle=False) as file:
            return set(file["people"].tolist()), file["marks"]

    def recipe(self) -> Recipe:
        """The recipe this run was begun with. Raises RunError."""
        if not (self.folder / "recipe.toml").exists():
            raise RunError(f"{self.folder} is not a run folder", "make one with `ostiary-train fit`")
        return reading.read(self.folder / "recipe.toml")

    def facts(self) -> dict[str, object]:
        """run.json. Raises RunError."""
        path = self.folder / "run.json"
        try:
            facts: dict[str, object] = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise RunError(
                f"{path} cannot be read: {first_line(error)}", "the run folder is damaged: train again, or use a copy"
            ) from error
        return facts

    def note(self, line: Mapping[str, object]) -> None:
        """Append one line to history.jsonl."""
        with (self.folder / "history.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(_plain(line)) + "\n")

    def checkpoint(self, state: State) -> None:
        """Replace state.npz."""
        arrays: dict[str, NDArray[np.generic]] = {"clock": np.array([state.stage, state.step, state.elapsed_s, state.cpu_s])}
        for group in GROUPS:
            for index, value in enumerate(getattr(state, group)):
                arrays[f"{group}_{index:04d}"] = value
        save(self.folder / "state.npz", arrays)

    def state(self) -> State | None:
        """The last checkpoint, if the run was cut off; None for a new or finished stage."""
        path = self.folder / "state.npz"
        if not path.exists():
            return None
        with np.load(path, allow_pickle=False) as file:
            groups = {name: [file[key] for key in sorted(file.files) if key.startswith(name + "_")] for name in GROUPS}
            stage, step, elapsed_s, cpu_s = (float(number) for number in file["clock"])
            return State(int(stage), int(step), elapsed_s, cpu_s, **groups)

    def keep(self, weights: list[NDArray[np.float32]], figures: Mapping[str, float]) -> None:
        """These weights are what the run has to show so far; figures of earlier ones are forgotten."""
        (self.folder / "evaluation.json").unlink(missing_ok=True)
        save(self.folder / "weights.npz", {f"w_{index:04d}": value for index, value in enumerate(weights)})
        replace(self.folder / "kept.json", json.dumps(_plain(figures)).encode())

    def weights(self) -> list[NDArray[np.float32]]:
        """The weights kept, in Keras' order: the encoder's, then those of a head if the run has one. Raises RunError."""
        path = self.folder / "weights.npz"
        if not path.exists():
            raise RunError(f"{self.folder} has no trained weights yet", "let `ostiary-train fit` finish its first stage")
        return load(path)

    def start_from(self, weights: list[NDArray[np.float32]]) -> None:
        """The weights that the first stage begins with, if they are not fresh: what came of the training is measured against them."""
        save(self.folder / "start.npz", {f"w_{index:04d}": value for index, value in enumerate(weights)})

    def start(self) -> list[NDArray[np.float32]] | None:
        """The weights given to `start_from`; None for a run that began with fresh weights."""
        path = self.folder / "start.npz"
        return load(path) if path.exists() else None

    def kept_figures(self) -> dict[str, float]:
        """The figures given to `keep`."""
        figures: dict[str, float | None] = json.loads((self.folder / "kept.json").read_text())
        return {name: math.nan if value is None else value for name, value in figures.items()}

    @property
    def kept(self) -> bool:
        """Whether the run has weights to show."""
        return (self.folder / "kept.json").exists()

    def history(self) -> list[dict[str, Any]]:
        """The lines given to `note`; a line that a kill cut short is left out. Raises RunError."""
        path = self.folder / "history.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
        try:
            return [json.loads(line) for line in lines if line.endswith("\n")]
        except ValueError as error:
            raise RunError(f"{path} has a damaged line: {first_line(error)}", "remove that line") from error

    def finish(self) -> None:
        """Mark the run as done: nothing to resume."""
        replace(self.folder / "done", b"")

    @property
    def finished(self) -> bool:
        """Whether training came to its end."""
        return (self.folder / "done").exists()


def _plain(value: object) -> object:
    """The value with NaN (not resolvable) as null, which JSON knows."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def load(path: Path) -> list[NDArray[np.float32]]:
    """The arrays of an .npz file in the order of their names."""
    with np.load(path, allow_pickle=False) as file:
        return [file[key] for key in sorted(file.files)]


def save(path: Path, arrays: Mapping[str, NDArray[np.generic]]) -> None:
    """Write an .npz file in one piece."""
    with replacing(path) as file:
        np.savez(file, allow_pickle=False, **arrays)
