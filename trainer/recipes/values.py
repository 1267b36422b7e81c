"""A recipe: everything that decides how a model is trained, as frozen dataclasses (see recipe_file.py for reading one).

What a run keeps, and what the digest is taken over, is the whole recipe written out in one canonical form, so neither comments nor the way
it was put together matter.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from daemon.core.faults import Fault


class RecipeError(Fault):
    """A recipe that cannot be used; `message` and `hint` are one line each."""


@dataclass(frozen=True, slots=True)
class Data:
    """What the pictures are. `kind`: people (a folder per person), digits (MNIST), characters (Omniglot). `side` in pixels: people's crops
    must have it, drawings are brought to it. `share`: how many of the people for fit are learned from (for a learning curve). `classes`:
    which digits to learn (none: all). `rotations`: a drawing turned by 90, 180 and 270 degrees is a character of its own."""

    kind: str = "people"
    side: int = 112
    share: float = 1.0
    classes: tuple[int, ...] = ()
    rotations: bool = False


@dataclass(frozen=True, slots=True)
class Network:
    """The encoder's shape; `size` is the side in pixels it sees (crops are resized inside the exported graph). `head`: channels of the 1x1
    and global depthwise convolutions before the embedding; 0 flattens what there is."""

    kind: str = "residual"
    size: int = 64
    channels: int = 3
    stem: int = 32
    widths: tuple[int, ...] = (64, 128, 160)
    blocks: tuple[int, ...] = (2, 2, 1)
    head: int = 384
    embedding: int = 128
    dropout: float = 0.2
    compute: str = "mixed_bfloat16"


@dataclass(frozen=True, slots=True)
class Augment:
    """How far crops are disturbed. Shares are probabilities; pixels are of a 112 crop. Drawings are only moved, by pixels of their own
    side, and their ink made weaker or stronger by a factor of up to e to the power of `ink`."""

    flip: float = 0.5
    scale: float = 0.10
    shift_px: float = 4.0
    rotation_deg: float = 8.0
    shear_deg: float = 0.0
    stretch: float = 0.0
    ink: float = 0.0
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
    """Identification: cosine-margin softmax over people, whose classifier is dropped afterwards. `warm_epochs` run without margin at
    `scale_warm`; over the next `ramp_epochs` both rise to `margin` and `scale`. With `verify` above 0 that many times a second loss is
    added: batches are pairs, half of one person, for a pair loss of `verify_form` l2, l1 or cosine (DeepID2), or people x 4 images for
    batch-hard triplets."""

    epochs: float = 60.0
    steps: int = 0
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
    verify: float = 0.0
    verify_form: str = "l2"
    verify_margin: float = 1.0
    ema: float = 0.999
    keep: str = "better"


@dataclass(frozen=True, slots=True)
class Triplets:
    """Triplet loss on P people x K images. `mining`: batch-hard, batch-all, semi-hard, hard, rising (from such batches), random, or article
    (of `candidates` random triplets the `hard` worst and as many random ones; P x K is then not used)."""

    epochs: float = 6.0
    steps: int = 0
    mining: str = "batch-hard"
    soft: bool = True
    margin: float = 0.2
    squared: bool = False
    reduce: str = "mean"
    people: int = 32
    images: int = 4
    candidates: int = 200
    hard: int = 16
    random: int = 16
    min_images: int = 3
    rate: float = 1e-4
    weight_decay: float = 0.05
    rate_warm_epochs: float = 0.0
    ema: float = 0.999
    keep: str = "better"


@dataclass(frozen=True, slots=True)
class Pairs:
    """Contrastive loss (Hadsell 2006) on `pairs` pairs, half of them of one person."""

    epochs: float = 20.0
    steps: int = 0
    pairs: int = 64
    margin: float = 1.0
    min_images: int = 2
    rate: float = 1e-3
    weight_decay: float = 0.05
    rate_warm_epochs: float = 1.0
    ema: float = 0.999
    keep: str = "better"


@dataclass(frozen=True, slots=True)
class Same:
    """A head that says same or different from the weighted absolute difference of two features (Koch 2015; DeepFace). `features`: sigmoid
    of the embedding, or unit vectors; `frozen` trains the head alone. `every` takes all pairs of a batch of people x 4 images, same and
    different ones weighing as much, instead of random pairs."""

    epochs: float = 20.0
    steps: int = 0
    pairs: int = 64
    every: bool = False
    features: str = "sigmoid"
    frozen: bool = False
    min_images: int = 2
    rate: float = 1e-3
    weight_decay: float = 0.0
    rate_warm_epochs: float = 1.0
    ema: float = 0.999
    keep: str = "always"


@dataclass(frozen=True, slots=True)
class Distil:
    """Cosine to a teacher's vectors, and `triplets` times batch-hard with soft margin, on P people x K images."""

    epochs: float = 20.0
    steps: int = 0
    people: int = 32
    images: int = 4
    triplets: float = 0.1
    min_images: int = 1
    rate: float = 1e-3
    weight_decay: float = 0.05
    rate_warm_epochs: float = 1.0
    ema: float = 0.999
    keep: str = "better"


StageRecipe: TypeAlias = Identify | Triplets | Pairs | Same | Distil
STAGES: dict[str, type[Any]] = {"identify": Identify, "triplets": Triplets, "pairs": Pairs, "same": Same, "distil": Distil}


@dataclass(frozen=True, slots=True)
class Export:
    """What the bundle does beside the encoder, before normalising: `flip` averages the crop's embedding with its mirror's, enlarged `zoom`
    times about its middle, `shift_px` with those of the crop moved by so many of the encoder's pixels to each of four sides."""

    flip: bool = True
    zoom: float = 1.0
    shift_px: int = 0
    licence: str = "research data, not for production"


@dataclass(frozen=True, slots=True)
class Recipe:
    """The whole recipe. `seed` decides initial weights and the data order; each stage is validated `validations` times. `after` is the
    recipe whose run this one begins with the weights of; without a run to begin with, that one is made first."""

    name: str = "faces"
    after: str = ""
    seed: int = 1
    validations: int = 20
    data: Data = field(default_factory=Data)
    network: Network = field(default_factory=Network)
    augment: Augment = field(default_factory=Augment)
    stages: tuple[StageRecipe, ...] = ()
    export: Export = field(default_factory=Export)

    @property
    def text(self) -> str:
        """The whole recipe as TOML, every key written out; `parse` reads it back to an equal recipe."""
        tables = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        lines = [_line(name, value) for name, value in tables.items() if not dataclasses.is_dataclass(value) and name != "stages"]
        for name in ("data", "network", "augment"):
            lines += ["", f"[{name}]", *_lines(tables[name])]
        for stage in self.stages:
            lines += ["", "[[stages]]", f'kind = "{kind_of(stage)}"', *_lines(stage)]
        return "\n".join([*lines, "", "[export]", *_lines(self.export), ""])

    @property
    def digest(self) -> str:
        """sha256 of the recipe's canonical text, hexadecimal."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def kind_of(stage: StageRecipe) -> str:
    """The word for a stage in a recipe."""
    return next(name for name, kind in STAGES.items() if isinstance(stage, kind))


def _lines(section: Any) -> list[str]:
    return [_line(f.name, getattr(section, f.name)) for f in dataclasses.fields(section)]


def _line(name: str, value: object) -> str:
    # JSON's numbers, strings, booleans and lists of numbers are TOML's too.
    return f"{name} = {json.dumps(value, ensure_ascii=False)}"
