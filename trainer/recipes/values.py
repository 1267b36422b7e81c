"""A recipe: everything that decides how a model is trained, as frozen dataclasses (see reading.py for reading one).

What a run keeps, and what the digest is taken over, is the whole recipe written out in one canonical form. So neither comments nor the way
it was put together matter.
"""

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from msgspec import Meta

from daemon.core.faults import Fault
from trainer.recipes.stages import Count, StageRecipe, kind_of

Probability = Annotated[float, Meta(title="probability", ge=0, le=1)]


class RecipeError(Fault):
    """A recipe that cannot be used; `message` and `hint` are one line each."""


@dataclass(frozen=True, slots=True)
class Data:
    """What the pictures are."""

    kind: Annotated[
        Literal["people", "digits", "characters"],
        Meta(description="`people` (a folder for each person), `digits` (MNIST) or `characters` (Omniglot)."),
    ] = "people"
    side: Annotated[
        Count, Meta(description="The side of a picture in pixels. People's crops must have it; drawings are resized to it.")
    ] = 112
    share: Annotated[float, Meta(gt=0, le=1, description="The share of the people for fit that are learned from. 1: all people.")] = 1.0
    held_out: Annotated[
        float,
        Meta(gt=0, lt=1, description="The share of the people whom a hash of the name puts into val and calibration, half and half."),
    ] = 0.2
    classes: Annotated[tuple[int, ...], Meta(description="Which digits are learned. Empty: all.")] = ()
    rotations: Annotated[bool, Meta(description="A drawing turned by 90, 180 and 270 degrees is another character.")] = False
    beside: Annotated[
        bool, Meta(description="Learn Omniglot's background characters beside the digits, as thick as these (`fit --beside`).")
    ] = False
    held_alphabets: Annotated[
        tuple[str, ...],
        Meta(description="Background alphabets of Omniglot that are not learned: their characters are val. Empty: one character in 20 is."),
    ] = ()


@dataclass(frozen=True, slots=True)
class Network:
    """The encoder's shape."""

    kind: Annotated[
        Literal["residual", "mobile", "dlib", "plain", "article", "applications"],
        Meta(
            description="The architecture: `residual` and `mobile` for faces; `dlib` for faces, a larger one of fixed shape whose weights "
            "are in a package; `plain` and `article` for drawings; `applications`: the `backbone` of that name."
        ),
    ] = "residual"
    backbone: Annotated[
        str, Meta(description="For `applications`: a network of keras.applications by name, as VGG16, MobileNetV2 or ResNet50.")
    ] = "MobileNetV2"
    weights: Annotated[
        str,
        Meta(description="For `applications`: the weights it starts with: `none`, `imagenet` (downloaded once), or an .h5 file of them."),
    ] = "none"
    size: Annotated[Count, Meta(description="The side in pixels that the encoder sees. The exported graph resizes crops to it.")] = 64
    channels: Annotated[int, Meta(description="3 for people, which are seen in colour; 1 for drawings.")] = 3
    stem: Annotated[Count, Meta(description="Channels of the first convolution.")] = 32
    widths: Annotated[tuple[Count, ...], Meta(min_length=1, description="Channels at each resolution.")] = (64, 128, 160)
    blocks: Annotated[tuple[Count, ...], Meta(min_length=1, description="Blocks at each resolution.")] = (2, 2, 1)
    head: Annotated[
        int, Meta(ge=0, description="Channels of the 1x1 and global depthwise convolutions before the embedding. 0: there are none.")
    ] = 384
    embedding: Annotated[Count, Meta(description="How many numbers an embedding has.")] = 128
    dropout: Annotated[float, Meta(ge=0, lt=1, description="The dropout before the embedding.")] = 0.2
    frozen_layers: Annotated[int, Meta(ge=0, description="How many convolutions, from the first on, are not trained.")] = 0
    compute: Annotated[
        Literal["float32", "mixed_bfloat16", "mixed_float16"],
        Meta(description="The Keras dtype policy while training. Weights and the exported file are float32."),
    ] = "mixed_bfloat16"


@dataclass(frozen=True, slots=True)
class Augment:
    """How far crops are disturbed, in pixels of a crop of 112. Drawings are only moved, by pixels of their own side, and inked."""

    flip: Annotated[Probability, Meta(description="The probability of the mirror image.")] = 0.5
    scale: Annotated[float, Meta(description="The largest relative change of size.")] = 0.10
    shift_px: Annotated[float, Meta(description="The largest shift in pixels.")] = 4.0
    rotation_deg: Annotated[float, Meta(description="The largest rotation in degrees.")] = 8.0
    shear_deg: Annotated[float, Meta(description="The largest shear in degrees.")] = 0.0
    stretch: Annotated[float, Meta(description="The largest stretch of width against height is e to this power.")] = 0.0
    ink: Annotated[float, Meta(description="A drawing's ink gets weaker or stronger by a factor of up to e to this power.")] = 0.0
    elastic_px: Annotated[
        float, Meta(ge=0, description="How far a drawing is bent: the standard deviation, in pixels, of a smooth random displacement.")
    ] = 0.0
    low: Annotated[Probability, Meta(description="The probability of few pixels, as of a face far from the camera.")] = 0.4
    low_from_px: Annotated[int, Meta(description="The smallest side of such a face.")] = 28
    low_to_px: Annotated[int, Meta(description="The largest side of such a face.")] = 64
    jpeg: Annotated[Probability, Meta(description="The probability of JPEG compression.")] = 0.3
    jpeg_from: Annotated[int, Meta(description="The lowest JPEG quality.")] = 25
    jpeg_to: Annotated[int, Meta(description="The highest JPEG quality.")] = 90
    blur: Annotated[Probability, Meta(description="The probability of blur, out of focus or by motion.")] = 0.2
    light: Annotated[Probability, Meta(description="The probability of another gamma, contrast and brightness.")] = 0.8
    colour: Annotated[Probability, Meta(description="The probability of another white balance and saturation.")] = 0.3
    grey: Annotated[Probability, Meta(description="The probability of a grey picture.")] = 0.1
    shade: Annotated[Probability, Meta(description="The probability of light from one side.")] = 0.2
    noise: Annotated[Probability, Meta(description="The probability of noise.")] = 0.2
    erase: Annotated[Probability, Meta(description="The probability of something in front of the face.")] = 0.25
    one_camera: Annotated[
        Probability,
        Meta(description="The probability that one camera sees a whole batch: then nothing but the face tells its people apart."),
    ] = 0.0


@dataclass(frozen=True, slots=True)
class Export:
    """What the bundle does beside the encoder, before normalising."""

    flip: Annotated[bool, Meta(description="Average the crop's embedding with that of its mirror image.")] = True
    zoom: Annotated[float, Meta(ge=0.5, le=2, description="The mirror image is enlarged by this about its middle, for instance 1.08.")] = (
        1.0
    )
    shift_px: Annotated[
        int, Meta(description="Average with crops moved to four sides by this many of the encoder's pixels. 0: they are not.")
    ] = 0
    zooms: Annotated[
        tuple[Annotated[float, Meta(ge=0.5, le=2)], ...],
        Meta(description="Average over crops enlarged by each of these, each with its shifts. [0.9, 1, 1.1]: three times the views."),
    ] = ()
    half: Annotated[
        bool, Meta(description="For `dlib`: store the weights as float16, half the file. The graph computes in float32 with these weights.")
    ] = False
    licence: Annotated[str, Meta(description="What the bundle's card says about its use.")] = "research data, not for production"


@dataclass(frozen=True, slots=True)
class Recipe:
    """The whole recipe."""

    name: Annotated[str, Meta(description="The recipe's name: letters, digits, - and _.")] = "faces"
    after: Annotated[
        str,
        Meta(description="The recipe whose run this one starts with the weights of. If there is no such run, it is made first."),
    ] = ""
    needs_weights: Annotated[bool, Meta(description="It learns on from weights (`after` or `fit --from`) and is refused without them.")] = (
        False
    )
    seed: Annotated[int, Meta(description="It decides the initial weights and the order of the data.")] = 1
    validations: Annotated[Count, Meta(description="How often each stage is validated.")] = 20
    data: Data = field(default_factory=Data)
    network: Network = field(default_factory=Network)
    augment: Augment = field(default_factory=Augment)
    stages: Annotated[tuple[StageRecipe, ...], Meta(description="The stages, one after the other.")] = ()
    export: Export = field(default_factory=Export)

    @property
    def text(self) -> str:
        """The whole recipe as TOML, every key written out but those of LATER; `parse` reads it back to an equal recipe."""
        tables = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        plain = {name: value for name, value in tables.items() if not dataclasses.is_dataclass(value) and name != "stages"}
        lines = [_line(name, value) for name, value in plain.items() if name not in LATER or value]
        for name in ("data", "network", "augment"):
            lines += ["", f"[{name}]", *_lines(tables[name])]
        for stage in self.stages:
            lines += ["", "[[stages]]", f'kind = "{kind_of(stage)}"', *_lines(stage)]
        return "\n".join([*lines, "", "[export]", *_lines(self.export), ""])

    @property
    def digest(self) -> str:
        """sha256 of the recipe's canonical text, hexadecimal."""
        return hashlib.sha256(self.text.encode()).hexdigest()


LATER = (
    "needs_weights", "frozen_layers", "one_camera", "half", "means", "apart", "apart_at", "patience", "best", "optimizer", "optimizer_with",
    "margin_form", "centres", "backbone", "weights", "held_alphabets", "beside", "held_out", "elastic_px", "zooms",
)  # fmt: skip
"""Keys that recipes did not always have. They are written only where they are not the default, so that the digest of a run that was begun
before does not change."""


def _lines(section: Any) -> list[str]:
    values = {
        f.name: (getattr(section, f.name), f.default if f.default_factory is dataclasses.MISSING else f.default_factory())
        for f in dataclasses.fields(section)
    }
    return [_line(name, value) for name, (value, default) in values.items() if name not in LATER or value != default]


def _line(name: str, value: object) -> str:
    if isinstance(value, dict):
        return f"{name} = {{ {', '.join(_line(key, inner) for key, inner in value.items())} }}"
    # JSON's numbers, strings, booleans and lists of numbers are TOML's too.
    return f"{name} = {json.dumps(value, ensure_ascii=False)}"
