"""A second real bundle: the default one with its vectors turned round, so that the two never match, and everything else as it is."""

from pathlib import Path

import msgspec
import numpy as np
import onnx
from onnx import helper, numpy_helper

from daemon.app import DEFAULT_BUNDLE
from daemon.edges.model import CARD_KEY, Card, Golden


def reversed_bundle(path: Path, truthful: bool = True) -> Path:
    """Write it; it answers with the default bundle's numbers in the opposite order. The card of one that is not `truthful` denies it."""
    model = onnx.load(str(DEFAULT_BUNDLE))
    (entry,) = [one for one in model.metadata_props if one.key == CARD_KEY]
    card = msgspec.json.decode(entry.value, type=Card)
    for node in model.graph.node:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                if name == "embedding":
                    names[place] = "forwards"
    model.graph.initializer.append(numpy_helper.from_array(np.arange(card.dimension)[::-1].copy(), "backwards"))
    model.graph.node.append(helper.make_node("Gather", ["forwards", "backwards"], ["embedding"], axis=1))
    golden = tuple(Golden(one.seed, one.vector[::-1] if truthful else one.vector) for one in card.golden)
    entry.value = msgspec.json.encode(msgspec.structs.replace(card, name=path.stem, golden=golden)).decode()
    onnx.save(model, str(path))
    return path
