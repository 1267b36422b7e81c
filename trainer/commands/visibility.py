"""Train and write the model that tells whether a face is upright and open."""

from __future__ import annotations

import argparse

from rich.progress import Progress
from rich.table import Table

from daemon.core.counts import counted, persons
from trainer import terminal
from trainer.bundle import visibility as bundle
from trainer.learn import visibility as learn
from trainer.models.visibility import seer
from trainer.people import data
from trainer.people.data import DataError


def run(options: argparse.Namespace) -> None:
    """`visibility`."""
    crops = data.load(options.data)
    parts = data.split(crops.people, options.split)
    fit, val = crops.of(parts["fit"]), crops.of(parts["val"])
    if not len(fit) or not len(val):
        raise DataError(f"{options.data} has no people for fit, or none for val", "it needs both: val people say what it has learned")
    console = terminal.console()
    with Progress(console=console) as progress:
        bar = progress.add_task("learning", total=options.steps)
        network = learn.fit(fit, options.steps, options.seed, lambda step, loss: progress.update(bar, completed=step + 1))
    sees = seer(learn.leaning(network))
    answers = [(kind, sees(pictures)) for kind, pictures in learn.drawn(val, options.seed)]
    worst = bundle.export(network, options.out, fit.digest, options.licence, options.notes, answers, val.pixels)
    title = f"{counted(len(val), 'crop')} of {persons(len(val.people))}"
    table = Table("val crops", "not upright", "covered", title=title, title_justify="left")
    for kind, found in answers:
        one = bundle.figure(kind, found)
        table.add_row(kind, f"{100 * one.not_upright:.1f} %", f"{100 * one.covered:.1f} %")
    console.print(table)
    terminal.say(f"{options.out}: {options.out.stat().st_size / 1e6:.2f} MB, Keras and ONNX differ by {worst:.1e} at most")
