"""Does a gate keep the false-alarm rate it was told? Simulated passages of strangers past galleries of other people.

    python -m bench.passages [--bundle FILE.onnx] [--data FOLDER] [--people N]

The strangers are the calibration people, each as a passage of newly disturbed frames; the galleries are drawn from the val people, one crop
each. The thresholds are the card's. (They were set with passages of the same strangers, past galleries of one another: what is measured is
whether that holds for other galleries and other frames.) The interval is the middle 95 % of the draws of galleries. The second table gives
each stranger each val person's badge.
"""

import argparse
import os
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from daemon.core.bundle import Calibration
from daemon.pipeline.opening import DEFAULT_BUNDLE
from trainer.measure import passages
from trainer.models.opened import onnx_embedder
from trainer.people import data, galleries

ROOT = Path(__file__).resolve().parent.parent
SEED = 7  # none that calibrates

CLAIM_LOOKS = 6
"""How often a gate with the default rules compares a face with whom a claim names."""


def _claims(looked: np.ndarray, known: np.ndarray, person: np.ndarray, calibration: Calibration) -> Table:
    """Every stranger with the badge of everybody who has so many crops to enrol and one more; and these others with their own."""
    table = Table("templates", "stated FMR", "threshold", "strangers verified", "rightful crops not verified", "comparisons")
    own = [np.flatnonzero(person == who) for who in np.unique(person)]
    nearest = passages.nearest(looked[:, :CLAIM_LOOKS], known)
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("OSTIARY_DATA") or ROOT.parent / "shared/data"))
    parser.add_argument("--bundle", type=Path, default=DEFAULT_BUNDLE)
    parser.add_argument("--people", type=int, default=10_000, help="strangers at most (default: all)")
    arguments = parser.parse_args()
    faces = arguments.data / "faces"
    if not (faces / "train.zip").is_file():
        raise SystemExit(f"no faces in {arguments.data} (set OSTIARY_DATA)")
    embed, card = onnx_embedder(arguments.bundle)
    crops = data.load(faces / "train.zip")
    parts = data.split(crops.people, faces / "split.csv")
    strangers, val = crops.of(parts["calibration"]), crops.of(parts["val"])
    looked = passages.looks(embed, strangers.pixels[: arguments.people], SEED)
    known = embed(val.pixels)
    table = Table("gallery", "stated FPIR", "threshold", "measured", "95 % of the galleries", "rightful crops not recognised")
    for gallery in (10, 50, 100):
        for stated in (0.1, 0.01):
            threshold = card.calibration.threshold(gallery, stated)
            if threshold is None or gallery > galleries.able(val.person):
                continue
            false, missed = [], []
            for draw in galleries.drawn(val.person, gallery, SEED):
                entries = known[draw.entries]
                false.append(float(np.mean(passages.nearest(looked, entries).max(axis=1) >= threshold)))
                similarity = known[draw.probes] @ entries.T
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
    console = Console(highlight=False)
    console.print(table)
    console.print(_claims(looked, known, val.person, card.calibration))
    console.print(f"{len(looked):,} passages of strangers past {galleries.DRAWS} galleries of each size")


if __name__ == "__main__":
    main()
