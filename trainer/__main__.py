"""ostiary-train: photos -> crops -> model -> figures -> bundle."""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console

from daemon.core.faults import Fault

# Before TensorFlow or ONNX Runtime are imported by anything below.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

EPILOG = """The usual order:
  ostiary-train prepare photos/ crops/              photos, a folder per person -> aligned crops
  ostiary-train fit --data crops/ --run runs/one    train (resumes when called again)
  ostiary-train evaluate runs/one --data test.zip --pairs test_pairs.csv
  ostiary-train export runs/one faces.onnx          the bundle for the daemon
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; 0 done, 2 bad input (one line and a hint on stderr), 130 interrupted."""
    options = _parser().parse_args(arguments)
    try:
        with _hushed():
            from trainer import commands
    except ImportError as error:
        print(f"ostiary-train: {error}\n  hint: install the trainer's libraries: pip install 'ostiary[trainer]'", file=sys.stderr)  # noqa: T201
        return 2
    try:
        commands.COMMANDS[options.command](options)
    except KeyboardInterrupt:
        print("interrupted; `ostiary-train fit` goes on from its last checkpoint when called again", file=sys.stderr)  # noqa: T201
        return 130
    except Fault as error:
        console = Console(stderr=True, soft_wrap=True, highlight=False)
        console.print(f"ostiary-train: {error.message}", markup=False)
        console.print(f"  hint: {error.hint}", markup=False)
        return 2
    return 0


@contextlib.contextmanager
def _hushed() -> Iterator[None]:
    """TensorFlow's C++ side writes a screenful to file descriptor 2 while it is imported, whatever its log level; exceptions still pass."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "ostiary-train",
        description="Train, measure and export the face model of Ostiary.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    prepare = commands.add_parser("prepare", help="photos -> aligned crops, a folder per person in and out")
    prepare.add_argument("photos", type=Path, help="folder with a folder of photos per person")
    prepare.add_argument("crops", type=Path, help="new folder for the crops")
    prepare.add_argument("--detector", default="haar", help="haar, or the path of yunet.onnx (default: %(default)s)")

    fit = commands.add_parser("fit", help="train a recipe; called again it goes on where it was")
    fit.add_argument("--data", type=Path, required=True, help="crops: a folder per person, or a zip of such folders")
    fit.add_argument("--split", type=Path, help="csv person,part (fit, val, calibration); without it a hash of the name decides")
    fit.add_argument("--recipe", type=Path, default=Path(__file__).with_name("recipes") / "faces.toml", help="default: recipes/faces.toml")
    fit.add_argument("--run", type=Path, required=True, help="run folder, new or to be resumed")
    fit.add_argument("--from", dest="start", type=Path, help="begin with the weights of this run's first stage instead of fresh ones")
    fit.add_argument("--minutes", type=_minutes, default=math.inf, help="finish within this time, the schedule shrunk to fit")
    fit.add_argument("--workers", type=int, default=2, help="threads that prepare batches (default: %(default)s)")

    evaluate = commands.add_parser("evaluate", help="figures of a run or a bundle on people it never saw")
    evaluate.add_argument("model", type=Path, help="run folder or bundle .onnx")
    evaluate.add_argument("--data", type=Path, required=True, help="crops: a folder per person, or a zip of such folders")
    evaluate.add_argument("--pairs", type=Path, help="csv a,b,same: a pair protocol over these crops")
    evaluate.add_argument("--same-people", type=Path, help="csv a,b: two names of one person")
    evaluate.add_argument("--split", type=Path, help="csv person,part: with it only the people of --part")
    evaluate.add_argument("--part", choices=("fit", "val", "calibration"), default="val", help="default: %(default)s")
    evaluate.add_argument("--name", help="what to call these people in the table and the card (default: the file's name)")
    evaluate.add_argument("--roc", type=Path, metavar="CSV", help="write the ROC of the pair list here: threshold, FMR, TAR")
    evaluate.add_argument("--json", type=Path, help="also write the figures here; for a run folder they are kept for its card anyway")

    export = commands.add_parser("export", help="write the bundle: one ONNX file with its card")
    export.add_argument("run", type=Path, help="run folder")
    export.add_argument("bundle", type=Path, help="file to write, for instance faces.onnx")
    export.add_argument("--data", type=Path, help="the crops it was trained from, if they have moved")
    export.add_argument("--split", type=Path, help="the split it was trained with, if it has moved")
    export.add_argument("--notes", default="", help="a line for the card")
    return parser


def _minutes(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError("must be more than 0")
    return value


if __name__ == "__main__":
    sys.exit(main())
