"""Run folders of any recipe format, read for a comparison: recipe.toml, run.json, history.jsonl, kept.json and evaluation.json."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from daemon.core.bundle import Figure
from daemon.core.faults import Fault
from trainer.measure import evaluate


class CompareError(Fault):
    """Runs that cannot be compared; `message` and `hint` are one line each."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What is compared of a run folder: `recipe` by dotted keys, and in `kept` the val figures of the weights that were kept."""

    name: str
    recipe: dict[str, object]
    data_digest: str | None
    history: tuple[dict[str, object], ...]
    kept: dict[str, float]
    figures: tuple[Figure, ...]


def compare(folders: Sequence[Path]) -> tuple[Summary, ...]:
    """Read the runs to compare; runs whose folders have the same name are named with the folder above too. Raises CompareError."""
    if len(folders) < 2:
        raise CompareError(f"a comparison needs two runs, not {len(folders)}", "give at least two run folders")
    whole = [folder.resolve() for folder in folders]
    names = [folder.name for folder in whole]
    labels = names if len(set(names)) == len(names) else [f"{folder.parent.name}/{folder.name}" for folder in whole]
    return tuple(read(folder, label) for folder, label in zip(whole, labels, strict=True))


def read(folder: Path, name: str) -> Summary:
    """One run folder; only the recipe must exist. Raises CompareError that names the unreadable file, and DataError for figures."""
    try:
        recipe = tomllib.loads((folder / "recipe.toml").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CompareError(f"{folder} is not a run folder: {error}", "give folders made by `ostiary-train fit`") from error
    facts, kept = _object(folder / "run.json"), _object(folder / "kept.json")
    figures = folder / "evaluation.json"
    return Summary(
        name,
        flat(recipe),
        str(facts["data_digest"]) if "data_digest" in facts else None,
        _history(folder / "history.jsonl"),
        {key: float(value) for key, value in kept.items() if isinstance(value, (int, float))},
        tuple(evaluate.from_json(figures.read_bytes())) if figures.exists() else (),
    )


def flat(table: Mapping[str, object], before: str = "") -> dict[str, object]:
    """TOML tables as dotted keys, arrays of tables numbered from 0 as for `fit --set`: `stages.1.epochs`."""
    found: dict[str, object] = {}
    for key, value in table.items():
        if isinstance(value, dict):
            found |= flat(value, f"{before}{key}.")
        elif isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
            found |= flat({str(index): item for index, item in enumerate(value)}, f"{before}{key}.")
        else:
            found[before + key] = value
    return found


def _history(path: Path) -> tuple[dict[str, object], ...]:
    """The lines of history.jsonl; a last line that is cut short is left out. Raises CompareError."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n") if path.exists() else []
        whole = [json.loads(line) for line in lines[:-1] if line]
    except (OSError, ValueError) as error:
        raise CompareError(f"cannot read {path}: {error}", "remove the damaged line, or leave the run out") from error
    return tuple(line for line in whole if isinstance(line, dict))


def _object(path: Path) -> dict[str, object]:
    """A JSON object, empty where the file is missing. Raises CompareError."""
    try:
        found = json.loads(path.read_bytes()) if path.exists() else {}
    except (OSError, ValueError) as error:
        raise CompareError(f"cannot read {path}: {error}", "the run is damaged: leave it out") from error
    if not isinstance(found, dict):
        raise CompareError(f"{path} is not a JSON object", "the run is damaged: leave it out")
    return found
