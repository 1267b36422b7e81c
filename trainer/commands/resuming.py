"""`fit --resume` and `fit --fresh`: which run a command means, before anything is read or written."""

from __future__ import annotations

import argparse
import contextlib
import math
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path

from trainer import terminal
from trainer.learn import words
from trainer.people.data import DataError
from trainer.recipes import reading
from trainer.reports.summaries import flat
from trainer.runs import Run, RunError

DEFAULT = "faces"
PATHS = ("data", "split", "decisions", "beside", "teacher", "cache", "start")
"""Options that name a file or a folder, which a run remembers."""


@contextlib.contextmanager
def made_ready(options: argparse.Namespace) -> Iterator[None]:
    """Fill in what the options leave out: with --resume they are the run's own. With --fresh the folder that is there is
    moved aside, and moved back if no new run has begun by the end of the block. Raises RunError, RecipeError, DataError."""
    run = Run(options.run)
    if options.resume:
        _resume(options, run)
    if options.recipe is None:
        options.recipe = DEFAULT
    if options.devices is None:
        options.devices = 1
    if options.data is None:
        raise DataError("no crops are given", "give them with --data; only --resume knows those of the run")
    if run.begun and not options.fresh:
        _check(options, run)
    aside = None
    if options.fresh and run.begun:
        with run.alone():
            aside = run.move_aside()
        terminal.say(f"the run that was in {options.run} is in {aside} now")
    try:
        yield
    finally:
        if aside is not None and not run.begun:
            shutil.rmtree(run.folder, ignore_errors=True)
            aside.rename(run.folder)


def _resume(options: argparse.Namespace, run: Run) -> None:
    if not run.begun:
        raise RunError(f"there is no run in {run.folder} to resume", "leave out --resume to begin one")
    facts = run.facts()
    options.recipe = options.recipe or str(run.folder / "recipe.toml")
    for name in (*PATHS, "teacher_order", "devices"):
        if getattr(options, name) is None and facts.get(name) is not None:
            setattr(options, name, Path(str(facts[name])) if name in PATHS else facts[name])
    if facts.get("minutes") is not None and math.isinf(options.minutes):
        options.minutes = float(str(facts["minutes"]))


def remembered(options: argparse.Namespace) -> dict[str, object]:
    """What run.json keeps of the options, for --resume. None stands for what was not given."""
    paths = {name: None if getattr(options, name) is None else whole(getattr(options, name)) for name in PATHS}
    minutes = options.minutes if math.isfinite(options.minutes) else None
    return {**paths, "teacher_order": options.teacher_order, "devices": options.devices, "minutes": minutes}


def whole(path: Path) -> str:
    """A path that holds from any folder; a word for data or weights stays as it is."""
    return str(path.resolve()) if path.exists() else str(path)


def _check(options: argparse.Namespace, run: Run) -> None:
    """Refuse a run of another recipe, after printing the keys that differ, and one in which there is nothing left to do."""
    chosen = reading.read(reading.find(options.recipe), options.set)
    if run.facts()["recipe"] != chosen.digest:
        there, now = (flat(tomllib.loads(recipe.text)) for recipe in (run.recipe(), chosen))
        for line in words.differences(there, now):
            terminal.say(line)
    run.check(chosen)
    if run.broken:
        hint = "evaluate or export what it keeps, or train anew: --fresh, or another --run folder"
        raise RunError(f"the run {run.folder} is finished: {run.broken}", hint)
    if run.finished:
        raise RunError(f"the run {run.folder} is finished", "evaluate or export it, or give another --run folder")
