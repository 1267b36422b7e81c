"""A recipe: everything that decides how a model is trained, read from one TOML file into frozen dataclasses.

Unknown keys, wrong types and impossible values are errors that name the key, and the nearest known one.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import tomllib
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from daemon.core.faults import Fault


class RecipeError(Fault):
    """A recipe that cannot be used; `message` and `hint` are one line each."""


@dataclass(frozen=True, slots=True)
class Network:
    """The encoder's shape; `size` is the side in pixels it sees (crops of 112 are resized inside the exported graph)."""

    kind: str = "residual"
    size: int = 64
    stem: int = 32
    widths: tuple[int, ...] = (64, 128, 160)
    blocks: tuple[int, ...] = (2, 2, 1)
    head: int = 384
    embedding: int = 128
    dropout: float = 0.2
    compute: str = "mixed_bfloat16"


@dataclass(frozen=True, slots=True)
class Augment:
    """How far crops are disturbed. Shares are probabilities; pixels are of a 112 crop."""

    flip: float = 0.5
    scale: float = 0.10
    shift_px: float = 4.0
    rotation_deg: float = 8.0
    low: float = 0.4
    low_from_px: int = 28
    low_to_px: int = 64
    jpeg: float = 0.3
    jpeg_from: int = 25
    jpeg_to: int = 90
    blur: float = 0.2
    light: float = 0.8
    colour: float = 0.3
    grey: float = 0.1
    shade: float = 0.2
    noise: float = 0.2
    erase: float = 0.25


@dataclass(frozen=True, slots=True)
class Identify:
    """Stage 1, identification: cosine-margin softmax over people. `warm_epochs` run without margin at `scale_warm`; over the next
    `ramp_epochs` both rise to `margin` and `scale`."""

    epochs: float = 60.0
    batch: int = 128
    min_images: int = 2
    rate: float = 2e-3
    weight_decay: float = 0.05
    rate_warm_epochs: float = 1.0
    scale_warm: float = 16.0
    scale: float = 28.0
    margin: float = 0.3
    warm_epochs: float = 4.0
    ramp_epochs: float = 8.0
    label_smoothing: float = 0.0
    ema: float = 0.999


@dataclass(frozen=True, slots=True)
class Triplet:
    """Stage 2, batch-hard triplets with soft margin on P people x K images; kept only where held-out people improve."""

    epochs: float = 6.0
    people: int = 32
    images: int = 4
    min_images: int = 3
    rate_factor: float = 0.05
    ema: float = 0.999


@dataclass(frozen=True, slots=True)
class Export:
    """What the bundle does beside the encoder: `flip` adds the mirrored crop's embedding before normalising."""

    flip: bool = True
    licence: str = "research data, not for production"


@dataclass(frozen=True, slots=True)
class Recipe:
    """The whole recipe. `seed` decides initial weights and the data order; `text` is the file as read."""

    name: str = "faces"
    seed: int = 1
    validate_every: float = 2.0
    network: Network = field(default_factory=Network)
    augment: Augment = field(default_factory=Augment)
    identify: Identify = field(default_factory=Identify)
    triplet: Triplet = field(default_factory=Triplet)
    export: Export = field(default_factory=Export)
    text: str = ""

    @property
    def digest(self) -> str:
        """sha256 of the recipe's text, hexadecimal."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def read(path: Path) -> Recipe:
    """Read a recipe file; raises RecipeError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"cannot read recipe {path}: {error}", "give a TOML file, for instance trainer/recipes/faces.toml") from error
    return parse(text)


def parse(text: str) -> Recipe:
    """Parse a recipe's text; raises RecipeError."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"recipe is not TOML: {error}", "see trainer/recipes/faces.toml for the form") from error
    recipe = _section(Recipe, table, "")
    assert isinstance(recipe, Recipe)
    _check(recipe)
    return dataclasses.replace(recipe, text=text)


def _section(kind: type[Any], table: dict[str, Any], prefix: str) -> Any:
    hints = typing.get_type_hints(kind)
    known = [name for name in hints if not (kind is Recipe and name == "text")]
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.0)
            raise RecipeError(f"unknown key {prefix}{key}", f"did you mean {prefix}{near[0]}?")
        values[key] = _value(hints[key], value, f"{prefix}{key}")
    return kind(**values)


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


def _check(recipe: Recipe) -> None:
    positive = {
        "network.size": recipe.network.size,
        "network.stem": recipe.network.stem,
        "network.embedding": recipe.network.embedding,
        "network.widths": min(recipe.network.widths, default=0),
        "network.blocks": min(recipe.network.blocks, default=0),
        "identify.batch": recipe.identify.batch,
        "identify.rate": recipe.identify.rate,
        "identify.scale_warm": recipe.identify.scale_warm,
        "identify.scale": recipe.identify.scale,
        "identify.min_images": recipe.identify.min_images,
        "triplet.people": recipe.triplet.people - 1,
        "triplet.images": recipe.triplet.images - 1,
        "triplet.min_images": recipe.triplet.min_images - 1,
        "validate_every": recipe.validate_every,
    }
    for name, value in positive.items():
        if not value > 0:
            raise RecipeError(f"{name} is too small", "triplets need two people and two images each; everything else must be positive")
    shares = {f.name: getattr(recipe.augment, f.name) for f in dataclasses.fields(recipe.augment)}
    for name in ("flip", "low", "jpeg", "blur", "light", "colour", "grey", "shade", "noise", "erase"):
        if not 0 <= shares[name] <= 1:
            raise RecipeError(f"augment.{name} is not a probability", "give a number from 0 to 1")
    for name, value in {
        "network.dropout": recipe.network.dropout,
        "identify.margin": recipe.identify.margin,
        "identify.ema": recipe.identify.ema,
        "triplet.ema": recipe.triplet.ema,
    }.items():
        if not 0 <= value < 1:
            raise RecipeError(f"{name} is out of range", "give a number from 0 up to, but not, 1")
    if not recipe.name or not all(c.isascii() and (c.isalnum() or c in "-_") for c in recipe.name):
        raise RecipeError(f"name {recipe.name!r} is not usable", "use letters, digits, - and _")
    if recipe.network.compute not in ("float32", "mixed_bfloat16", "mixed_float16"):
        raise RecipeError(f"unknown network.compute {recipe.network.compute!r}", "float32, mixed_bfloat16 or mixed_float16")
