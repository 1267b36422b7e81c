"""Say whether two pictures show the same person, or whose reference each picture is nearest to."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from daemon.core.counts import counted
from trainer import terminal
from trainer.commands import model
from trainer.commands.model import NOUNS
from trainer.measure import calibrate, metrics, same
from trainer.measure.same import Comparer, SameError
from trainer.people import comparable
from trainer.reports import references
from trainer.runs import Run

SAID = 3  # people whose reference is named
MOST = 2000  # pictures at most, of which all pairs give a run's threshold


def run(options: argparse.Namespace) -> None:
    """`same`."""
    given = same.expanded(options.pictures)
    if options.references is None and len(given) != 2:
        raise SameError(f"{counted(len(given), 'picture')} given", "give two pictures, or --references with a picture of each person")
    if options.model.is_dir():
        by = _of_run(options)
    elif options.data is not None or options.split is not None:
        raise SameError("--data is for a run", "leave it out: a bundle has its thresholds in its card")
    else:
        by = same.of_bundle(options.model, options.detector, options.fmr)
    if options.references is None:
        same.same(by, *given)
        return
    several = {person: own for person, own in same.owners(options.references).items() if len(own) > 1}
    for person, own in list(several.items())[:SAID]:
        terminal.say(f"{person}: {own[0].name}, the first of {len(own):,} pictures, is the reference")
    if len(several) > SAID:
        terminal.say(f"{same.some(by.noun, len(several) - SAID)} more have several pictures; the first by name is the reference")
    found = same.references(by, given, options.references)
    out = terminal.console()
    out.print(references.distances(by, found, _names(given)))
    for told in references.right(by, found, same.truth(found, given, options.references)):
        if isinstance(told, str):
            terminal.say(told)
        else:
            out.print(told)
    terminal.say(references.explained(by, found))


def _names(given: Sequence[Path]) -> list[str]:
    """What the pictures are called, with their folders where two have the same name."""
    names = [path.name for path in given]
    return names if len(set(names)) == len(names) else [f"{path.parent.name}/{path.name}" for path in given]


def _of_run(options: argparse.Namespace) -> Comparer:
    """A run has no card. Its threshold comes from people of its own data that it did not learn from."""
    of = model.opened(options.model)
    assert of.folder is not None
    kind = of.recipe.data.kind
    read = comparable.faces(options.detector) if kind == "people" else comparable.drawings(of.recipe.data.side, kind == "digits")
    threshold, why = _threshold(options, of, of.folder)
    return Comparer(of.scorer, read, threshold, options.fmr, NOUNS[kind], why)


def _threshold(options: argparse.Namespace, of: model.Model, folder: Run) -> tuple[float | None, str]:
    """The similarity that a share FMR of the pairs of two calibration people reach (of drawings: val), or why there is none."""
    learned_from = str(folder.facts()["data"])
    if options.data is None and not Path(learned_from).exists() and learned_from != "mnist":
        return None, f"{learned_from}, which the run learned from, is no longer there (give it with --data)"
    part = "calibration" if of.recipe.data.kind == "people" else "val"
    source, parts = model.own_parts(folder, of.recipe, options)
    crops = parts[part]
    crops = crops.at(np.arange(0, len(crops), max(1, -(-len(crops) // MOST))))
    of_whom = f"{counted(len(crops), 'picture')} of {same.some(NOUNS[of.recipe.data.kind], len(np.unique(crops.person)))} ({part})"
    if len(np.unique(crops.person)) < 2:
        return None, f"{of_whom} give no pair of two"
    _, impostor = metrics.all_pairs(of.scorer.embed(crops.pixels), crops.person, of.scorer.similarity)
    if not np.isfinite(impostor).all():
        raise SameError("the run gives similarities that are not numbers", "its training has diverged: use another run")
    point = metrics.at_fmr(np.empty(0), impostor, options.fmr) if calibrate.resolves_fmr(len(impostor), options.fmr) else None
    if point is None or point.threshold is None:
        return None, f"{of_whom} have too few pairs for FMR {options.fmr:g}"
    terminal.say(f"threshold for FMR {options.fmr:g} from {of_whom} of {source.name}")
    return point.threshold, ""
