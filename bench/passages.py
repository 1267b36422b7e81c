"""Does a gate keep the false-alarm rate that its configuration states? Simulated strangers stay in front of galleries of other people.

    python -m bench.passages [--bundle FILE.onnx] [--card FILE.onnx] [--data FOLDER] [--people N]

The strangers are the calibration people. Each stays until a gate with the default rules looks no more, and every frame is disturbed anew.
The galleries are drawn from the val people, one crop each. The thresholds are the card's. The card was made with the same strangers and
with galleries drawn from them, so this measures whether its thresholds hold for other galleries and other frames. The interval is the
middle 95 % of the drawn galleries. The second table gives each stranger the badge of each val person.

With --card, the thresholds of another card are measured by the same simulation: for instance those before a new calibration.
"""

import argparse
import os
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from daemon.core.bundle import Calibration
from daemon.core.passages.defaults import SAME_FACE_FMR
from daemon.pipeline.opening import DEFAULT_BUNDLE
from trainer.measure import passages
from trainer.models.opened import onnx_embedder
from trainer.people import data, galleries

ROOT = Path(__file__).resolve().parent.parent
SEED = 7  # none that calibrates


def _claims(looked: passages.Looks, known: np.ndarray, person: np.ndarray, calibration: Calibration) -> Table:
    """Every stranger with the badge of each person who has enough crops for the templates and one more; and that person's other crops with
    their own badge."""
    table = Table("templates", "stated FMR", "threshold", "strangers verified", "rightful crops not verified", "comparisons")
    own = [np.flatnonzero(person == who) for who in np.unique(person)]
    compared = passages.claim_looks()
    nearest = passages.nearest([vectors[:compared] for vectors in looked], known)
    for templates in (1, 3):
        people = [crops for crops in own if len(crops) > templates]
        for stated in (0.01, 0.001):
            threshold = calibration.claim_threshold(stated)
            if threshold is None or not people:
                continue
            best = np.stack([nearest[:, crops[:templates]].max(axis=1) for crops in people], axis=1)
            mine = np.concatenate([(known[crops[templates:]] @ known[crops[:templates]].T).max(axis=1) for crops in people])
            false, missed = np.mean(best >= threshold), np.mean(mine < threshold)
            table.add_row(f"{templates}", f"{stated:.1%}", f"{threshold:.3f}", f"{false:.3%}", f"{missed:.1%}", f"{best.size:,}")
    return table


def _searches(looked: passages.Looks, known: np.ndarray, person: np.ndarray, calibration: Calibration) -> Table:
    """Every stranger in front of the drawn galleries; and the other crops of the people in them."""
    table = Table("gallery", "stated FPIR", "threshold", "measured", "95 % of the galleries", "rightful crops not recognised")
    nearest = passages.nearest(looked, known)
    for gallery in (10, 50, 100):
        for stated in (0.1, 0.01):
            threshold = calibration.threshold(gallery, stated)
            if threshold is None or gallery > galleries.able(person):
                continue
            false, missed = [], []
            for draw in galleries.drawn(person, gallery, SEED):
                false.append(float(np.mean(nearest[:, draw.entries].max(axis=1) >= threshold)))
                similarity = known[draw.probes] @ known[draw.entries].T
                missed.append(1 - float(np.mean((similarity.argmax(axis=1) == draw.owner) & (similarity.max(axis=1) >= threshold))))
            low, high = np.quantile(false, (0.025, 0.975))
            table.add_row(
                f"{gallery}",
                f"{stated:.0%}",
                f"{threshold:.3f}",
                f"{np.mean(false):.2%}",
                f"{low:.2%} to {high:.2%}",
                f"{np.mean(missed):.1%}",
            )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("OSTIARY_DATA") or ROOT.parent / "shared/data"))
    parser.add_argument("--bundle", type=Path, default=DEFAULT_BUNDLE)
    parser.add_argument("--card", type=Path, action="append", default=[], help="a bundle with the same weights: its card's thresholds too")
    parser.add_argument("--people", type=int, default=10_000, help="strangers at most (default: all)")
    arguments = parser.parse_args()
    faces = arguments.data / "faces"
    if not (faces / "train.zip").is_file():
        raise SystemExit(f"no faces in {arguments.data} (set OSTIARY_DATA)")
    embed, card = onnx_embedder(arguments.bundle)
    cards = {arguments.bundle: card} | {path: onnx_embedder(path)[1] for path in arguments.card}
    for path, other in cards.items():
        if other.golden != card.golden:
            raise SystemExit(f"{path} has other weights than {arguments.bundle}")
    crops = data.load(faces / "train.zip")
    parts = data.split(crops.people, faces / "split.csv")
    strangers, val = crops.of(parts["calibration"]), crops.of(parts["val"])
    same = card.calibration.pair_threshold(SAME_FACE_FMR)
    looked = passages.looks(embed, strangers.pixels[: arguments.people], same, SEED)
    known = embed(val.pixels)
    console = Console(highlight=False)
    for path, measured in cards.items():
        console.print(f"thresholds of the card of {path}")
        console.print(_searches(looked, known, val.person, measured.calibration))
        console.print(_claims(looked, known, val.person, measured.calibration))
    console.print(
        f"{len(looked):,} strangers in front of {galleries.DRAWS} galleries of each size, {sum(map(len, looked)) / len(looked):.2f}"
        f" looks at each, {passages.claim_looks()} if a badge names somebody"
    )


if __name__ == "__main__":
    main()
