"""What each command of ostiary-train does, with its options already parsed."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from daemon.edges.model import Calibration, Figure
from trainer import calibrate, data, evaluate, export, fit, prepare, recipe
from trainer.runs import Run, RunError, replace


def run_fit(options: argparse.Namespace) -> None:
    """Train; prints the figures on val people of the weights kept."""
    console = Console()
    chosen = recipe.read(options.recipe)
    run = Run(options.run)
    run.check(chosen)
    if run.finished:
        raise RunError(f"{options.run} is finished", "evaluate or export it, or give another --run folder")
    start = kept = None
    if options.start is not None and chosen.identify.epochs == 0:
        kept = Run(options.start).weights()
    elif chosen.identify.epochs == 0:
        raise recipe.RecipeError("identify.epochs is 0 and there are no weights to start from", "give a trained run with --from")
    elif options.start is not None:
        start = Run(options.start).state()
        if start is None or start.stage != "identify":
            raise RunError(
                f"{options.start} has no state of its first stage", "--from takes a run that was stopped in or after identification"
            )
    crops = data.load(options.data)
    parts = data.split(crops.people, options.split)
    for part in ("fit", "val"):
        if len(parts[part]) < 2:
            raise data.DataError(f"{len(parts[part])} people are for {part}", "training needs two people or more in fit and in val")
    facts = {
        "data": str(options.data.resolve()),
        "data_digest": crops.digest,
        "split": str(options.split.resolve()) if options.split else None,
        "people": {part: len(people) for part, people in parts.items()},
    }
    run.begin(chosen, facts)
    console.print(f"{len(crops)} crops: " + ", ".join(f"{len(people)} people for {part}" for part, people in parts.items()))
    best = fit.fit(chosen, crops.of(parts["fit"]), crops.of(parts["val"]), run, options.minutes, options.workers, start, kept)
    console.print("kept: " + ", ".join(f"{name} {value:.4f}" for name, value in best.items()))


def run_evaluate(options: argparse.Namespace) -> None:
    """Measure a run folder or a bundle; a table, and JSON where asked for."""
    run = Run(options.model) if options.model.is_dir() else None
    split = options.split
    if run is not None:
        embed = export.embedder(run.recipe(), run.weights())
        seen, own_split = str(run.facts()["data_digest"]), run.facts()["split"]
    else:
        embed, card = export.onnx_embedder(options.model)
        seen, own_split = card.data_digest, None
    crops = data.load(options.data)
    if crops.digest == seen and split is None:
        # Figures on people the model has learned by heart would look splendid.
        if run is None:
            raise data.DataError("the model was trained from these very crops", "give --split and --part val, or other people")
        split = Path(str(own_split)) if own_split else None
    on = options.name or options.data.stem
    if split is not None or crops.digest == seen:
        crops = crops.of(data.split(crops.people, split)[options.part])
        on = options.name or f"{on} {options.part}"
    if options.same_people is not None:
        crops = data.merged(crops, options.same_people)
    pairs = data.pairs(options.pairs) if options.pairs is not None else None
    if options.roc is not None and pairs is None:
        raise data.DataError("a ROC is drawn over a pair list", "give --pairs, or leave out --roc")
    vectors = embed(crops.pixels)
    measured = evaluate.measure_pairs(vectors, crops, pairs) if pairs is not None else None
    figures = evaluate.pair_figures(measured, on) if measured is not None else []
    figures += evaluate.open_set_figures(vectors, crops.person, on)
    if not figures:
        raise data.DataError("nothing can be measured on these crops", "give --pairs, or at least 10 people with two crops each")
    Console().print(_table(figures, f"{options.model.name} on {on}"))
    content = evaluate.to_json(figures)
    if options.roc is not None and measured is not None:
        replace(options.roc, evaluate.roc_csv(measured))
    if options.json is not None:
        replace(options.json, content)
    if run is not None:
        kept = [figure for figure in _kept_figures(run) if figure.on != on]
        replace(run.folder / "evaluation.json", evaluate.to_json([*kept, *figures]))


def run_export(options: argparse.Namespace) -> None:
    """Calibrate on the calibration people and write the bundle."""
    run = Run(options.run)
    chosen, weights, facts = run.recipe(), run.weights(), run.facts()
    source = options.data or Path(str(facts["data"]))
    split = options.split or (Path(str(facts["split"])) if facts["split"] else None)
    crops = data.load(source)
    if crops.digest != facts["data_digest"]:
        raise data.DataError(f"{source} is not what {run.folder} was trained from", "give the same crops with --data")
    people = crops.of(data.split(crops.people, split)["calibration"])
    if len(people.people) < 2:
        raise data.DataError("fewer than two people are for calibration", "give some people the part calibration")
    vectors = export.embedder(chosen, weights)(people.pixels)
    calibration = calibrate.calibrate(vectors, people.person, f"{len(people.people)} calibration people of {source.name}")
    figures = _kept_figures(run)
    faces = crops.pixels[:: max(1, len(crops) // 64)]
    digest = str(facts["data_digest"])
    worst = export.export(chosen, weights, options.bundle, digest, calibration, figures, faces, options.notes)
    console = Console()
    console.print(_calibration_table(calibration))
    size = options.bundle.stat().st_size / 1e6
    console.print(f"{options.bundle}: {size:.2f} MB, Keras and ONNX differ by {worst:.1e} at most")


def run_prepare(options: argparse.Namespace) -> None:
    """Photos to crops."""
    prepare.prepare(options.photos, options.crops, options.detector)


COMMANDS: dict[str, Callable[[argparse.Namespace], None]] = {
    "prepare": run_prepare,
    "fit": run_fit,
    "evaluate": run_evaluate,
    "export": run_export,
}


def _kept_figures(run: Run) -> list[Figure]:
    path = run.folder / "evaluation.json"
    return evaluate.from_json(path.read_bytes()) if path.exists() else []


def _table(figures: list[Figure], title: str) -> Table:
    table = Table("figure", "value", "95 % interval", title=title)
    for figure in figures:
        value = "not resolvable" if figure.value is None else f"{figure.value:.4f}"
        interval = "" if figure.low is None or figure.high is None else f"{figure.low:.4f} … {figure.high:.4f}"
        table.add_row(figure.name, value, interval)
    return table


def _calibration_table(calibration: Calibration) -> Table:
    fpirs = sorted({cell.fpir for cell in calibration.cells}, reverse=True)
    title = f"similarity threshold by gallery size and FPIR ({calibration.identities} people)"
    table = Table("gallery", *(f"{fpir:g}" for fpir in fpirs), title=title)
    for gallery in sorted({cell.gallery for cell in calibration.cells}):
        row = {cell.fpir: cell.threshold for cell in calibration.cells if cell.gallery == gallery}
        table.add_row(str(gallery), *(_three(row[fpir]) for fpir in fpirs))
    return table


def _three(threshold: float | None) -> str:
    return "–" if threshold is None else f"{threshold:.3f}"
