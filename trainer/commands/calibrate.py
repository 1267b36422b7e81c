"""Set new thresholds in a bundle, from other people than those in its card."""

from __future__ import annotations

import argparse

import msgspec
import onnx

from daemon.core.bundle import CARD_KEY
from daemon.core.counts import persons
from daemon.edges.files import replace
from trainer import terminal
from trainer.measure import allowance, calibrate
from trainer.models.opened import onnx_embedder
from trainer.people import data, datasets, decisions
from trainer.people.data import DataError
from trainer.reports import tables


def run(options: argparse.Namespace) -> None:
    """`calibrate`."""
    embed, card = onnx_embedder(options.bundle)
    crops = data.load(options.data)
    # Strangers whom the model has learned by heart look less alike than others do: thresholds of them would open the gate.
    if not options.split and crops.digest == card.data_digest and "[[stages]]" in card.recipe:
        raise DataError(
            "the model was trained on these crops, and its thresholds are from their calibration people already",
            "give other people; or --split, the csv of the training, for the people of --part calibration",
        )
    if options.split:
        crops = datasets.by_part(crops, options.split, options.decisions)[options.part]
    else:
        crops = decisions.applied(crops, options.decisions).crops
    datasets.one_name(crops)
    if len(crops.people) < 2:
        raise DataError(f"{options.data} has fewer than two people", "give crops of some hundred people, or better of more")
    terminal.say(allowance.of_calibration(len(crops.people), options.part if options.split else ""))
    source = f"{persons(len(crops.people), options.part if options.split else '')} of {options.data.name}"
    card = msgspec.structs.replace(card, calibration=calibrate.calibrate(embed, crops, source))
    model = onnx.load(options.bundle)
    (entry,) = [entry for entry in model.metadata_props if entry.key == CARD_KEY]
    entry.value = msgspec.json.encode(card).decode()
    replace(options.out, model.SerializeToString())
    terminal.console().print(tables.calibration(card.calibration))
    terminal.say(f"{options.out}: a new bundle for the daemon, with its own id")
