"""The bundle: one ONNX file with its card, the only contract between trainer and daemon.

Input `image` uint8 [N, 112, 112, 3] RGB (aligned crops), output `embedding` float32 [N, D] of unit length; resizing, scaling and
normalising happen inside the graph. The ONNX metadata key `ostiary_card` holds the card as JSON. Needs neither onnx nor TensorFlow.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from daemon.core.faces.align import ALIGNMENT, CROP_PX
from daemon.core.faults import Fault
from daemon.core.values import Spread

CARD_KEY = "ostiary_card"
SCHEMA = 1
GOLDEN_COSINE = 0.999
AT_TENTH, AT_HUNDREDTH = 1.281552, 2.326348
"""Above so many standard deviations lies a tenth, and a hundredth, of a normal distribution."""

Crops = npt.NDArray[np.uint8]
Vectors = npt.NDArray[np.float32]


class BundleError(Fault):
    """A bundle that must not be used; `message` and `hint` are one line each."""


class Cell(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The similarity that `fpir` of all strangers' searches in a gallery of that many templates exceed at most; null: not resolvable
    from that many strangers."""

    gallery: int
    fpir: float
    threshold: float | None
    strangers: int
    identities: int


class FmrPoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The similarity that a share `fmr` of comparisons of two people reaches at most; null: not resolvable from that many."""

    fmr: float
    threshold: float | None
    comparisons: int


class Calibration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Thresholds measured on people the model never saw. `identities` people, `comparisons` pairs of two people, from `source`."""

    cells: tuple[Cell, ...]
    fmr: tuple[FmrPoint, ...]
    identities: int
    comparisons: int
    source: str = ""
    passages: tuple[Cell, ...] = ()
    """The same table for whole passages of jittered frames, fused and searched for several times as a gate does; empty in older cards."""

    @property
    def table(self) -> tuple[Cell, ...]:
        """The table that a gate uses: that of passages, where the card has one."""
        return self.passages or self.cells

    def pair_threshold(self, fmr: float, loosest: float = 0.01) -> float | None:
        """The similarity that one pair of strangers in 1/`fmr` exceeds, or that of the strictest rate which the card can say. None where
        that is looser than `loosest`."""
        told = [p for p in self.fmr if p.threshold is not None and fmr * (1 - 1e-9) <= p.fmr <= loosest * (1 + 1e-9)]
        return min(told, key=lambda point: point.fmr).threshold if told else None

    def claim_threshold(self, target_fmr: float) -> float | None:
        """The similarity that a share `target_fmr` of pairs of strangers reaches at most, or that of the next stricter rate of the table.
        Never that of a looser one, as `pair_threshold` gives: it lets people in. None where the data could not resolve it."""
        strict = [p for p in self.fmr if 0 < p.fmr <= target_fmr * (1 + 1e-9)]
        return max(strict, key=lambda point: point.fmr).threshold if strict else None

    @property
    def reach(self) -> dict[float, int]:
        """For each FPIR of the table the largest gallery that has a threshold; a rate without one is left out."""
        told = [cell for cell in self.table if cell.threshold is not None]
        return {fpir: max(cell.gallery for cell in told if cell.fpir == fpir) for fpir in {cell.fpir for cell in told}}

    @property
    def strictest_fmr(self) -> float | None:
        """The strictest rate of pairs that has a threshold; None without one."""
        return min((point.fmr for point in self.fmr if point.threshold is not None), default=None)

    @property
    def measured_here(self) -> bool:
        """A card's people were photographed elsewhere."""
        return False

    @property
    def strangers(self) -> Spread | None:
        """How alike two of these people are, by the table of FMR: the normal distribution that has its first two thresholds, at rates of
        0.1 and 0.01. None where the table lacks one of them."""
        at = {round(point.fmr, 9): point.threshold for point in self.fmr}
        tenth, hundredth = at.get(0.1), at.get(0.01)
        if tenth is None or hundredth is None or not hundredth > tenth:
            return None
        deviation = (hundredth - tenth) / (AT_HUNDREDTH - AT_TENTH)
        return Spread(tenth - AT_TENTH * deviation, deviation)

    def threshold(self, gallery_size: int, target_fpir: float) -> float | None:
        """τ for a gallery of that many templates: N rounded up to the next row of the table, and the column of exactly that target
        or else the next stricter one. None where the table does not reach or the cell could not be resolved."""
        larger = [cell.gallery for cell in self.table if cell.gallery >= max(1, gallery_size)]
        if not larger or not target_fpir > 0:
            return None
        row = [cell for cell in self.table if cell.gallery == min(larger)]
        # A target typed as 0.01 and one computed as 0.1**2 are meant to be the same column.
        strict = [cell for cell in row if cell.fpir <= target_fpir * (1 + 1e-9)]
        return max(strict, key=lambda cell: cell.fpir).threshold if strict else None


class Figure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One measured figure with its 95 % interval; `on` names the people it was measured on. value null: not resolvable."""

    name: str
    value: float | None
    low: float | None
    high: float | None
    on: str


class Golden(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the model must answer to `golden_crop(seed)`."""

    seed: int
    vector: tuple[float, ...]


class Card(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a bundle says about itself. `schema` 1; `created` in UTC, ISO 8601; digests are sha256 in hexadecimal."""

    schema: int
    name: str
    created: str
    recipe_digest: str
    recipe: str
    data_digest: str
    alignment: str
    dimension: int
    licence: str
    notes: str
    evaluation: tuple[Figure, ...]
    calibration: Calibration
    golden: tuple[Golden, ...]


class _Port(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def shape(self) -> Sequence[Any]: ...


class _Meta(Protocol):
    @property
    def custom_metadata_map(self) -> dict[str, str]: ...


class Session(Protocol):
    """The part of onnxruntime.InferenceSession that reading a card needs."""

    def get_inputs(self) -> Sequence[_Port]: ...
    def get_outputs(self) -> Sequence[_Port]: ...
    def get_modelmeta(self) -> _Meta: ...


def read_card(session: Session) -> Card:
    """The card of an opened model, checked against the model's own signature. Raises BundleError."""
    text = session.get_modelmeta().custom_metadata_map.get(CARD_KEY)
    if text is None:
        raise BundleError("the model file has no card", "make bundles with `ostiary-train export` or `ostiary-train adopt`")
    card = parse_card(text)
    inputs, outputs = session.get_inputs(), session.get_outputs()
    again = "export the model again; the card does not fit it"
    pixels = len(inputs) == 1 and inputs[0].type == "tensor(uint8)" and _is_batch_of(inputs[0], [CROP_PX, CROP_PX, 3])
    if not pixels or inputs[0].name != "image":
        raise BundleError("the model's input is not image uint8 [N, 112, 112, 3]", again)
    if [port.name for port in outputs] != ["embedding"] or outputs[0].type != "tensor(float)":
        raise BundleError("the model's output is not embedding float32 [N, D]", again)
    if not _is_batch_of(outputs[0], [card.dimension]):
        raise BundleError(f"the card says {card.dimension} dimensions, the model gives {list(outputs[0].shape)}", again)
    return card


def parse_card(text: str | bytes) -> Card:
    """A card from its JSON. Raises BundleError."""
    try:
        schema = msgspec.json.decode(text, type=_Schema).schema
        if schema != SCHEMA:
            raise BundleError(f"the card has schema {schema}, this version reads {SCHEMA}", "use a bundle and a daemon of the same release")
        card = msgspec.json.decode(text, type=Card)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BundleError(f"the card cannot be read: {error}", "the file is damaged or not a bundle; export it again") from error
    if card.alignment != ALIGNMENT.id:
        raise BundleError(f"the model needs crops aligned as {card.alignment!r}", f"this version aligns as {ALIGNMENT.id!r}")
    if not card.golden or any(len(golden.vector) != card.dimension for golden in card.golden):
        raise BundleError("the card's golden vectors are missing or of the wrong length", "export the model again")
    return card


def check_golden(card: Card, embed: Callable[[Crops], Vectors]) -> float:
    """Embed the golden crops and compare with the card; gives the worst cosine. Raises BundleError unless every cosine > 0.999."""
    crops = np.stack([golden_crop(golden.seed) for golden in card.golden])
    found = np.asarray(embed(crops), np.float64)
    wanted = np.array([golden.vector for golden in card.golden], np.float64)
    if found.shape != wanted.shape:
        raise BundleError(f"golden check: the model gives {found.shape}, the card has {wanted.shape}", "export the model again")
    length = np.linalg.norm(found, axis=1) * np.linalg.norm(wanted, axis=1)
    with np.errstate(all="ignore"):
        cosines = np.sum(found * wanted, axis=1) / length
    worst = float(np.min(cosines)) if np.isfinite(cosines).all() else math.nan
    if not worst > GOLDEN_COSINE:
        raise BundleError(
            f"golden check failed: worst cosine {worst:.6f}, must exceed {GOLDEN_COSINE}",
            "the file or the runtime does not compute what was trained; export again, or try another execution provider",
        )
    return worst


def golden_crop(seed: int) -> Crops:
    """A picture uint8 [112, 112, 3] that is the same everywhere and for ever: value noise of two grain sizes, in integers only.

    Every channel has its own noise, so that exchanged channels change the picture.
    """
    coarse, fine = _noise(seed * 2, 28), _noise(seed * 2 + 1, 8)
    return ((3 * coarse + fine) // 4).astype(np.uint8)


class _Schema(msgspec.Struct, frozen=True):
    """Only the version, so that a newer card is refused for its version and not for its first new field."""

    schema: int


def _is_batch_of(port: _Port, shape: list[int]) -> bool:
    return len(port.shape) == len(shape) + 1 and not isinstance(port.shape[0], int) and list(port.shape[1:]) == shape


def _noise(key: int, grain: int) -> npt.NDArray[np.int64]:
    """Random values 0..255 on a grid of `grain` pixels, linear between them; int64 [112, 112, 3]."""
    place = np.arange(CROP_PX, dtype=np.int64)
    cell, part = place // grain, place % grain
    nodes = _hash(key, np.arange(CROP_PX // grain + 2, dtype=np.uint64))
    rows = nodes[cell] * (grain - part)[:, None, None] + nodes[cell + 1] * part[:, None, None]
    both = rows[:, cell] * (grain - part)[None, :, None] + rows[:, cell + 1] * part[None, :, None]
    return np.asarray(both // (grain * grain), np.int64)


def _hash(key: int, axis: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """Bytes int64 [len(axis), len(axis), 3] from (key, y, x, channel): the 64-bit finaliser of SplitMix64, whose overflow is meant."""
    start = np.uint64((key * 0x9E3779B97F4A7C15 + 0x632BE59BD9B4E019) % 2**64)
    with np.errstate(over="ignore"):
        z = start + axis[:, None, None] * np.uint64(0x10001) + axis[None, :, None] * np.uint64(0x101) + np.arange(3, dtype=np.uint64)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z & np.uint64(0xFF)).astype(np.int64)
