"""Reading a recipe: a TOML file, perhaps on top of another (`extends = "faces-small"`), perhaps with single keys set from the command line.

Unknown keys, wrong types and impossible values are errors that name the key, its range and its meaning.
"""

import math
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

from daemon.core import settings
from trainer.recipes.stages import STAGES, Identify, Same, StageRecipe, Triplets
from trainer.recipes.values import Recipe, RecipeError

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
        raise RecipeError(f"the recipe {path} extends itself", "remove one `extends`")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        known = ", ".join(sorted(file.stem for file in SHIPPED.glob("*.toml")))
        raise RecipeError(f"the recipe {path} cannot be read: {error}", f"give a TOML file, or one of {known}") from error
    return _extended(_table(text), (*above, path))


def _table(text: str) -> Table:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"the recipe is not valid TOML: {error}", "trainer/recipes/faces.toml is an example") from error


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
        raise RecipeError(f"{change!r} is not of the form KEY=VALUE", "for instance network.embedding=64")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text  # a word without quotes
    *path, last = key.strip().split(".")
    place: Any = table
    for part in path:
        if isinstance(place, list):
            if not part.isdecimal() or int(part) >= len(place):
                raise RecipeError(f"{key} does not exist", f"stages are numbered from 0 to {len(place) - 1}")
            place = place[int(part)]
        elif part == "stages" and part not in place:
            raise RecipeError(
                f"{key} does not exist: this recipe has no stages", "use one that `ostiary-train --help` lists, or add [[stages]]"
            )
        else:
            place = place.setdefault(part, {})
    if not isinstance(place, dict):
        raise RecipeError(f"{key} is not a key", "for instance stages.0.margin=0.3")
    place[last] = value


def keys() -> Iterator[settings.Key]:
    """Every key of a recipe with its section, type, default, range and description; `stages.KIND` is the section of a kind of stage."""
    yield from settings.keys(Recipe)
    for name, kind in STAGES.items():
        yield from settings.keys(kind, f"stages.{name}")


def _recipe(table: Table) -> Recipe:
    try:
        recipe = settings.build(Recipe, {key: value for key, value in table.items() if key != "stages"})
        recipe = replace(recipe, stages=_stages(table.get("stages", [])))
    except settings.SettingError as error:
        raise RecipeError(error.message, error.hint) from None
    _check_finite(table)
    _check(recipe)
    return recipe


def _stages(tables: object) -> tuple[StageRecipe, ...]:
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise RecipeError("stages is not a list of tables", "write [[stages]] and the keys of the stage below")
    stages = []
    for index, table in enumerate(tables):
        kind = table.get("kind")
        if not isinstance(kind, str) or kind not in STAGES:
            said = f"= {settings.shown(kind)} is not a kind of stage" if "kind" in table else "is missing"
            raise RecipeError(f"stages.{index}.kind {said}", f"known kinds: {', '.join(STAGES)}")
        stages.append(settings.build(STAGES[kind], {key: value for key, value in table.items() if key != "kind"}, f"stages.{index}"))
    return tuple(stages)


def _check_finite(value: object, key: str = "") -> None:
    """`inf` and `nan` are TOML, and `above 0` does not keep the first out."""
    if isinstance(value, float) and not math.isfinite(value):
        raise RecipeError(f"{key} = {settings.shown(value)} is not a finite number", "give a number that can be written with digits")
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in inner:
        _check_finite(item, f"{key}.{name}" if key else str(name))


def _check(recipe: Recipe) -> None:
    """The rules that concern several keys, or that a range cannot say."""
    if not recipe.name or not all(c.isascii() and (c.isalnum() or c in "-_") for c in recipe.name):
        raise RecipeError(f"name = {settings.shown(recipe.name)} cannot be used", "use letters, digits, - and _")
    if recipe.network.channels != (3 if recipe.data.kind == "people" else 1):
        raise RecipeError(
            f"network.channels = {recipe.network.channels} does not suit data.kind = {settings.shown(recipe.data.kind)}",
            "give 3 for people, which are seen in colour, and 1 for drawings",
        )
    for key, wrong, kind in (
        ("beside", recipe.data.beside, "digits"),
        ("held_alphabets", bool(recipe.data.held_alphabets), "characters"),
    ):
        if wrong and recipe.data.kind != kind:
            raise RecipeError(f"data.{key} is for {kind}", f"leave it out, because data.kind is {recipe.data.kind}")
    for index, stage in enumerate(recipe.stages):
        if isinstance(stage, Triplets) and stage.hard + stage.random > stage.candidates:
            raise RecipeError(
                f"stages.{index}: hard = {stage.hard} and random = {stage.random} are more than candidates = {stage.candidates}",
                "raise candidates",
            )
        if isinstance(stage, Identify) and stage.means and stage.centres > 1:
            raise RecipeError(
                f"stages.{index}.means = true needs one centre for each person, and centres = {stage.centres}",
                "give centres = 1 or means = false",
            )
        if isinstance(stage, Same) and index + 1 < len(recipe.stages):
            raise RecipeError(f"stages.{index} is of kind same and not the last stage", "put the stage of kind same last")
