"""Reading a recipe: a TOML file, perhaps on top of another (`extends = "faces-small"`), perhaps with single keys set from the command line.

Unknown keys, wrong types and impossible values are errors that name the key, and the nearest known one.
"""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from trainer.recipes.values import STAGES, Identify, Recipe, RecipeError, Same, StageRecipe, Triplets

SHIPPED = Path(__file__).parent
Table: TypeAlias = dict[str, Any]


def find(name: str) -> Path:
    """The file of a recipe given by path, or by the name of one that comes with the trainer."""
    shipped = SHIPPED / f"{name}.toml"
    return shipped if shipped.is_file() else Path(name)


def read(path: Path, changes: Sequence[str] = ()) -> Recipe:
    """Read a recipe file, with `changes` such as `network.embedding=64` or `stages.0.mining=hard`; raises RecipeError."""
    table = _read(path, ())
    for change in changes:
        _set(table, change)
    return _recipe(table)


def parse(text: str) -> Recipe:
    """Parse a recipe's text; raises RecipeError."""
    return _recipe(_extended(_table(text), ()))


def _read(path: Path, above: tuple[Path, ...]) -> Table:
    if path in above:
        raise RecipeError(f"{path} extends itself", "remove one `extends`")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        known = ", ".join(sorted(file.stem for file in SHIPPED.glob("*.toml")))
        raise RecipeError(f"cannot read recipe {path}: {error}", f"give a TOML file, or one of {known}") from error
    return _extended(_table(text), (*above, path))


def _table(text: str) -> Table:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"recipe is not TOML: {error}", "see trainer/recipes/faces.toml for the form") from error


def _extended(table: Table, above: tuple[Path, ...]) -> Table:
    """The table over the one it extends: tables are merged key by key, stages are replaced as a whole."""
    if "extends" not in table:
        return table
    lower = _read(find(str(table.pop("extends"))), above)
    return _merged(lower, table)


def _merged(lower: Table, upper: Mapping[str, Any]) -> Table:
    merged = dict(lower)
    for key, value in upper.items():
        both = isinstance(value, dict) and isinstance(lower.get(key), dict)
        merged[key] = _merged(lower[key], value) if both else value
    return merged


def _set(table: Table, change: str) -> None:
    key, equals, text = change.partition("=")
    if not equals:
        raise RecipeError(f"{change!r} sets nothing", "write KEY=VALUE, for instance network.embedding=64")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text  # a word without quotes
    *path, last = key.strip().split(".")
    place: Any = table
    for part in path:
        if isinstance(place, list):
            if not part.isdecimal() or int(part) >= len(place):
                raise RecipeError(f"there is no {key}", f"stages are numbered from 0 to {len(place) - 1}")
            place = place[int(part)]
        else:
            place = place.setdefault(part, {})
    if not isinstance(place, dict):
        raise RecipeError(f"{key} is not a key", "write for instance stages.0.margin=0.3")
    place[last] = value


def _recipe(table: Table) -> Recipe:
    recipe = _section(Recipe, table, "")
    assert isinstance(recipe, Recipe)
    _check(recipe)
    return recipe


def _section(kind: type[Any], table: Table, prefix: str) -> Any:
    hints = typing.get_type_hints(kind)
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in hints:
            near = difflib.get_close_matches(key, list(hints), n=1, cutoff=0.0)
            raise RecipeError(f"unknown key {prefix}{key}", f"did you mean {prefix}{near[0]}?")
        values[key] = _stages(value) if (kind, key) == (Recipe, "stages") else _value(hints[key], value, f"{prefix}{key}")
    return kind(**values)


def _stages(value: Any) -> tuple[StageRecipe, ...]:
    if not isinstance(value, list) or not all(isinstance(stage, dict) for stage in value):
        raise RecipeError("stages is not a list of tables", "write [[stages]] and the stage's keys below")
    stages = []
    for index, table in enumerate(value):
        kind = table.get("kind")
        if kind not in STAGES:
            raise RecipeError(f"stages.{index}.kind is {kind!r}", f"known kinds: {', '.join(STAGES)}")
        stages.append(_section(STAGES[kind], {key: item for key, item in table.items() if key != "kind"}, f"stages.{index}."))
    return tuple(stages)


def _value(wanted: Any, value: Any, name: str) -> Any:
    if dataclasses.is_dataclass(wanted):
        if not isinstance(value, dict):
            raise RecipeError(f"{name} is not a table", f"write [{name}] and its keys below")
        return _section(typing.cast(type[Any], wanted), value, f"{name}.")
    if wanted is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if wanted in (int, str, bool) and type(value) is wanted:
        return value
    if typing.get_origin(wanted) is tuple and isinstance(value, list) and all(type(item) is int for item in value):
        return tuple(value)
    raise RecipeError(f"{name} has the wrong type", f"expected {getattr(wanted, '__name__', wanted)}, as in trainer/recipes/faces.toml")


WORDS: dict[str, tuple[str, ...]] = {
    "kind": ("people", "digits", "characters"),
    "compute": ("float32", "mixed_bfloat16", "mixed_float16"),
    "mining": ("batch-hard", "batch-all", "semi-hard", "hard", "rising", "random", "article"),
    "reduce": ("mean", "nonzero", "sum"),
    "features": ("sigmoid", "unit"),
    "verify_form": ("l2", "l1", "cosine", "batch-hard"),
    "keep": ("better", "always"),
}
SHARES = ("flip", "low", "jpeg", "blur", "light", "colour", "grey", "shade", "noise", "erase")
BELOW_ONE = ("dropout", "ema", "label_smoothing")
POSITIVE = (
    *("side", "size", "stem", "embedding", "validations", "batch", "pairs", "candidates", "min_images"),
    *("rate", "scale", "scale_warm", "low_from_px", "jpeg_from"),
)


def _check(recipe: Recipe) -> None:
    """Every number in its range; which range is decided by the key's name, the same in every section."""
    if not recipe.name or not all(c.isascii() and (c.isalnum() or c in "-_") for c in recipe.name):
        raise RecipeError(f"name {recipe.name!r} is not usable", "use letters, digits, - and _")
    if not recipe.validations > 0:
        raise RecipeError("validations is too small", "give 1 or more")
    sections: dict[str, Any] = {"data": recipe.data, "network": recipe.network, "augment": recipe.augment}
    for prefix, section in {**sections, **{f"stages.{index}": stage for index, stage in enumerate(recipe.stages)}}.items():
        for f in dataclasses.fields(section):
            name, value = f.name, getattr(section, f.name)
            where = f"{prefix}.{name}"
            if name in WORDS and not (section is recipe.network and name == "kind") and value not in WORDS[name]:
                raise RecipeError(f"{where} is {value!r}", f"give one of {', '.join(WORDS[name])}")
            if section is recipe.augment and name in SHARES and not 0 <= value <= 1:
                raise RecipeError(f"{where} is not a probability", "give a number from 0 to 1")
            if name in BELOW_ONE and not 0 <= value < 1:
                raise RecipeError(f"{where} is out of range", "give a number from 0 up to, but not, 1")
            if name in POSITIVE and section is not recipe.augment and not value > 0:
                raise RecipeError(f"{where} is too small", "it must be positive")
            if name in ("people", "images") and not value > 1:
                raise RecipeError(f"{where} is too small", "triplets need two people and two images each")
            if name in ("epochs", "steps", "weight_decay", "margin", "verify", "triplets", "head") and value < 0:
                raise RecipeError(f"{where} is negative", "give 0 or more")
    if not 0 < recipe.data.share <= 1:
        raise RecipeError(f"data.share is {recipe.data.share}", "give a number above 0, and 1 for all people")
    if not 0.5 <= recipe.export.zoom <= 2:
        raise RecipeError(f"export.zoom is {recipe.export.zoom}", "give a number about 1, for instance 1.08")
    for name in ("widths", "blocks"):
        if not min(getattr(recipe.network, name), default=0) > 0:
            raise RecipeError(f"network.{name} is too small", "give one positive number for each resolution")
    if recipe.network.channels != (3 if recipe.data.kind == "people" else 1):
        raise RecipeError(f"network.channels is {recipe.network.channels}", "people are seen in colour: 3; drawings in grey: 1")
    for index, stage in enumerate(recipe.stages):
        if isinstance(stage, Identify) and not stage.margin < 1:
            raise RecipeError(f"stages.{index}.margin is out of range", "give a number from 0 up to, but not, 1")
        if isinstance(stage, Triplets) and stage.hard + stage.random > stage.candidates:
            raise RecipeError(f"stages.{index} chooses more triplets than there are candidates", "raise candidates")
        if isinstance(stage, Same) and index + 1 < len(recipe.stages):
            raise RecipeError(f"stages.{index} is a same-or-different head before the end", "put the stage of kind same last")
