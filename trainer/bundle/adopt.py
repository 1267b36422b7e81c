"""Make a bundle of any ArcFace-like ONNX model: measure it on faces, calibrate it, and write it only if it equals the original model."""

from __future__ import annotations

import datetime
import hashlib
import json
import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import onnx
from numpy.typing import NDArray

from daemon.core import bundle as bundles
from daemon.core.bundle import CARD_KEY, Calibration, Card, Figure
from daemon.core.counts import persons
from daemon.core.faces.align import ALIGNMENT
from daemon.core.faults import Fault
from daemon.edges.files import replace
from trainer import terminal
from trainer.bundle import constant_shapes, export, onnx_graph, raw_file, raw_model, settle
from trainer.bundle.constant_shapes import ShapeError
from trainer.bundle.onnx_graph import Batch
from trainer.bundle.raw_model import Numbers, Raw, Way
from trainer.bundle.settle import Candidate
from trainer.measure import allowance, calibrate
from trainer.models.opened import onnx_embedder
from trainer.models.whole import PARITY, Embed
from trainer.people.augment import Cut
from trainer.people.data import Crops

BATCHES: tuple[Batch, ...] = ("mended", "as it is", "one by one")
HALF_PARITY = 1e-3
"""`PARITY` for a model that computes in float16: its numbers have three digits, and another order of sums changes the last one."""


class AdoptError(Fault):
    """The model cannot be adopted; `message` and `hint` are one line each."""


@dataclass(frozen=True, slots=True)
class Adopted:
    """The result: the chosen way to give pixels; the table of all measured ways (empty if nothing had to be measured); how the graph takes
    a batch; the largest difference between bundle and model in any number of any probe's unit vector; and the card."""

    way: Way
    table: tuple[Candidate, ...]
    batch: Batch
    worst_parity: float
    card: Card


def adopt(
    model: Path,
    bundle: Path,
    crops_settle: Crops,
    crops_calibration: Crops,
    *,
    name: str,
    licence: str,
    order: Literal["auto", "rgb", "bgr"] = "auto",
    mean: Numbers | None = None,
    scale: Numbers | None = None,
    cut: Cut | None = None,
    output: str | None = None,
    notes: str = "",
    source: str = "",
    evaluation: Sequence[Figure] = (),
) -> Adopted:
    """Write `bundle` from any face-embedding ONNX model, and print what was measured. The model sees the whole crop, or the part `cut`.

    Order, mean and scale are measured on the first people if they are not given. The calibration people (of `source`, a name for the card)
    give the thresholds. They may be the same people: see `settle.settle`. `output` names the embedding of a model with several outputs. If
    AdoptError, SettleError, OnnxError or ExportError is raised, no file is written.
    """
    if not licence.strip():
        raise AdoptError(
            "the model's licence is not given", "give the licence under which the model may be used, or say that it is unknown"
        )
    if len(crops_calibration.people) < 2:
        raise AdoptError("fewer than two people are in the calibration part", "put more people into the part calibration")
    raw = raw_file.read(model, output)
    terminal.say(allowance.of_calibration(len(crops_calibration.people)))
    if raw.height != raw.width and cut is None:
        terminal.say(f"it takes {raw.height}x{raw.width} pixels: the middle of each crop (--cut takes another part)")
    shared = not set(crops_settle.people).isdisjoint(crops_calibration.people)
    way, table = settle.settle(raw, crops_settle, order, mean, scale, cut, shared=shared)
    truth = raw_model.embedder(raw, way)
    golden = export.golden_vectors(truth)  # a model that tells nothing apart is refused first of all
    recipe = _recipe(model, raw, way, output, measured=order == "auto" or mean is None)
    card = Card(
        schema=bundles.SCHEMA,
        name=name,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        recipe_digest=hashlib.sha256(recipe.encode()).hexdigest(),
        recipe=recipe,
        data_digest=crops_calibration.digest,
        alignment=ALIGNMENT.id,
        dimension=raw.dimension,
        licence=licence,
        notes=notes,
        evaluation=tuple(evaluation),
        calibration=Calibration((), (), 0, 0),
        golden=golden,
    )
    faces = np.concatenate([crops_settle.pixels, crops_calibration.pixels])
    # The graph comes before the passages, which take minutes.
    batch, worst, graph = _proven(raw, way, card, faces[:: max(1, len(faces) // 60)][:60], truth)
    served, _ = onnx_embedder(bytes(graph.SerializeToString()))
    bundles.check_golden(card, served)
    of = f"{persons(len(crops_calibration.people), 'calibration')}" + (f" of {source}" if source else "")
    card = msgspec.structs.replace(card, calibration=calibrate.calibrate(served, crops_calibration, of))
    del graph.metadata_props[:]
    onnx.helper.set_model_props(graph, {CARD_KEY: msgspec.json.encode(card).decode()})
    content = bytes(graph.SerializeToString())
    bundle.parent.mkdir(parents=True, exist_ok=True)
    replace(bundle, content)
    terminal.say(f"{bundle}: {len(content) / 1e6:.2f} MB, batch {batch}, model and bundle differ by {worst:.1e} at most")
    left = sorted(constant_shapes.on_the_cpu(graph.graph))
    if left:
        terminal.say(f"it runs on a CPU only, because of its {left[0]}: {constant_shapes.ON_THE_CPU[left[0]]}")
    return Adopted(way, table, batch, worst, card)


def _proven(raw: Raw, way: Way, card: Card, faces: NDArray[np.uint8], truth: Embed) -> tuple[Batch, float, Any]:
    """The first proposal that gives the same vectors for batches of any size as the original model gives crop by crop. Raises
    AdoptError."""
    probes = np.concatenate([faces, np.stack([bundles.golden_crop(golden.seed) for golden in card.golden])])
    wanted, text = truth(probes), msgspec.json.encode(card).decode()
    tried: list[str] = []
    refused = True
    for batch in BATCHES:
        model = onnx_graph.proposal(raw, way, batch, card.name, text)
        if model is None:
            continue
        with suppress(ShapeError, *raw_model.FAILURES):  # such a model still serves on a CPU
            constant_shapes.make_constant(model)
        try:
            worst = _difference(model, probes, wanted)
        except AdoptError as error:
            tried.append(f"{batch}: {error.message}")
            continue
        if worst <= allowed(raw):
            return batch, worst, model
        tried.append(f"{batch}: {worst:.1e} apart")
        refused = False
    if refused:
        said = f"no graph of this model takes a batch ({'; '.join(tried)})"
        raise AdoptError(said, "export it with other operators, or with a free batch; no file was written")
    raise AdoptError(
        f"the model gives other vectors for a batch than crop by crop ({'; '.join(tried)}; {allowed(raw):.0e} is allowed)",
        "export the model again with a batch of any size; no file was written",
    )


def allowed(raw: Raw) -> float:
    """How far a bundle may be from its model in every number of a vector."""
    return PARITY if raw.exact else HALF_PARITY


def _difference(model: Any, probes: NDArray[np.uint8], wanted: NDArray[np.float32]) -> float:
    """The largest difference in any number of any vector over several batch sizes; infinite if an answer is no vector. Raises AdoptError
    with the reason if the graph is not valid or cannot be run."""
    worst = 0.0
    try:
        onnx.checker.check_model(model, full_check=True)
        machine = raw_model.session(model)
        bundles.read_card(machine)
        for size in (1, 3, 8, len(probes)):
            found = np.asarray(machine.run(["embedding"], {"image": probes[:size]})[0])
            if found.shape != wanted[:size].shape or not np.isfinite(found).all():
                return math.inf
            worst = max(worst, float(np.max(np.abs(found - wanted[:size]))))
    except bundles.BundleError as error:
        raise AdoptError(error.message, error.hint) from error
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, ValueError, *raw_model.FAILURES) as error:
        raise AdoptError(raw_model.reason(error), "") from error
    return worst


def _recipe(model: Path, raw: Raw, way: Way, output: str | None, measured: bool) -> str:
    """The card's recipe as TOML. The training of an adopted model is unknown, so this says where the model came from."""
    lines = {
        "adopted_from": json.dumps(model.name, ensure_ascii=False),
        "sha256": json.dumps(raw.sha256),
        "order": json.dumps(way.order),
        "mean": json.dumps(way.mean),
        "scale": json.dumps(way.scale),
        **({"side": str(raw.height)} if raw.height == raw.width else {"height": str(raw.height), "width": str(raw.width)}),
        **({"cut": json.dumps([way.cut.x, way.cut.y, way.cut.apart])} if way.cut is not None else {}),
        **({"output": json.dumps(output, ensure_ascii=False)} if output is not None else {}),
        "measured": str(measured).lower(),
    }
    return "".join(f"{key} = {value}\n" for key, value in lines.items())
