"""Find doubles, wrong labels and outliers among people's crops."""

from __future__ import annotations

import argparse
import shlex

from daemon.core.counts import counted
from daemon.edges.files import replace
from trainer import terminal
from trainer.clean import findings, page, vectors
from trainer.models.opened import onnx_embedder
from trainer.people import data, datasets
from trainer.people.data import DataError


def run(options: argparse.Namespace) -> None:
    """`clean`."""
    console = terminal.console()
    folder = options.folder
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder} is not a folder", "give a folder for the findings")
    if options.crops.is_dir() and (folder.resolve() == options.crops.resolve() or options.crops.resolve() in folder.resolve().parents):
        raise DataError(f"{folder} is inside the crops", "give a folder elsewhere: pictures in it would be taken for people")
    embed, card = onnx_embedder(options.model)
    crops = data.load(options.crops)
    decisions = folder / "decisions.csv"
    before, lost = page.earlier(decisions, crops)
    folder.mkdir(parents=True, exist_ok=True)
    marks = datasets.marks(crops)
    found = findings.find(crops, vectors.of_crops(crops, marks, options.model, embed, folder), marks, card.calibration)
    # With a BOM a spreadsheet knows that it is UTF-8.
    replace(decisions, b"\xef\xbb\xbf" + page.table(found, before).encode())
    replace(folder / "clean.html", page.render(found, crops, options.crops.name, before).encode())
    for note in found.notes:
        terminal.say(note)
    if found.findings:
        shown = terminal.table("findings", "how many", "proposals", "the first", "similarity")
        for kind, many, proposed, first in findings.tally(found):
            names = first.a if not first.b else f"{first.a} and {first.b}"
            shown.add_row(kind, f"{many:,}", f"{proposed:,}", terminal.safe(names), page.number(first.similarity))
        console.print(shown)
    if before or lost:
        gone = f"; {counted(lost, 'decision')} about what is no longer there left out" if lost else ""
        terminal.say(f"{counted(len(before), 'decision')} kept from before{gone}")
    if not found.findings:
        terminal.say("nothing found")
    terminal.say(f"{folder / 'clean.html'} to look at (it shows faces: do not pass it on)")
    if not found.findings:
        crops_given = f"--data {shlex.quote(str(options.crops))}"
        few = f"`ostiary-train calibrate {shlex.quote(str(options.model))} OURS.onnx {crops_given}`"
        terminal.say(f"next: `ostiary-train fit {crops_given} --run RUN` with many hundreds of people, {few} with fewer")
        return
    many = sum(finding.kind == "outlier" for finding in found.findings)
    if many > len(crops) / 10 and any(finding.proposed for finding in found.findings):
        terminal.say(
            f"{many:,} outliers are too many: doubles make strangers look alike. Decide about the doubles first, and call this again"
        )
    given = f"`--decisions {shlex.quote(str(decisions))}`"
    terminal.say(f"{decisions} to decide in; then give {given} to prepare, which changes the crops for good, or to fit and calibrate")
