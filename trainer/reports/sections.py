"""The sections of a report: for each what the page shows, or why there is nothing to show."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from daemon.core.bundle import Figure
from daemon.core.counts import counted, persons
from daemon.pages.parts import Drawing, Table
from trainer.measure.same import plural
from trainer.reports import curves, plots
from trainer.reports.drawing import percent
from trainer.reports.measure import Pair, Report
from trainer.reports.searches import FPIRS
from trainer.reports.words import interval, rate, spoken

COLOURS, SHAPES = 6, "●▲"
"""The marks of the people on the map: six colours, and another shape for the next six people."""


@dataclass(frozen=True, slots=True)
class Absent:
    """A section that there is nothing for, and why: the end of a sentence that begins with the section's title."""

    why: str


@dataclass(frozen=True, slots=True)
class Charts:
    """Drawings, what to know when reading them, and the same in numbers."""

    drawings: Sequence[Drawing]
    notes: Sequence[str] = ()
    table: Table | None = None


@dataclass(frozen=True, slots=True)
class Square:
    """The distances between few classes: for each two a text, and how strongly its cell is coloured, 0..100; the closest most."""

    names: Sequence[str]
    rows: Sequence[Sequence[tuple[str, int]]]


@dataclass(frozen=True, slots=True)
class Pairs:
    """A list of pairs. `empty` says why there are none."""

    title: str
    pairs: Sequence[Pair]
    empty: str


@dataclass(frozen=True, slots=True)
class Person:
    """A person on the map, with the colour and shape of their points."""

    label: str
    colour: int
    shape: str


@dataclass(frozen=True, slots=True)
class People:
    """The map of embeddings, and who is on it."""

    drawing: Drawing
    note: str
    people: Sequence[Person]


@dataclass(frozen=True, slots=True)
class CardText:
    """What stands on a card: facts by name, figures, and the recipe."""

    facts: Mapping[str, str]
    figures: Table | None
    recipe: str


def verification(report: Report) -> Charts | Absent:
    found = report.verification
    if found is None:
        return Absent("there is nothing to compare: rates need two people, and one of them with two crops.")
    rows = [
        [
            percent(point.target),
            "–" if point.threshold is None else f"{point.threshold:.3f}",
            "not resolvable" if point.tar is None else f"{rate(point.tar)} {interval(point.low, point.high)}",
            "" if point.errors is None else f"{point.errors:,} from {point.people_pairs:,}",
        ]
        for point in found.operating
    ]
    people = report.people * (report.people - 1) // 2
    note = (
        f"All pairs: {found.genuine:,} of one person and {found.impostor:,} of two people. They share {persons(report.people)}, so at most "
        f"{counted(people, 'pair')} of people can stand behind a false match rate. Bands are 95 % intervals from drawing people anew. "
        f"Shaded: rates below one pair in all, which these people cannot show."
    )
    table = Table(["FMR", "threshold", "TAR (95 % interval)", "false matches, from pairs of people"], rows)
    return Charts((Drawing(plots.roc(found), "ROC"), Drawing(plots.det(found), "DET")), (note,), table)


def before(report: Report) -> Charts | Absent:
    found, now = report.before, report.verification
    if found is None or now is None:
        return Absent("a run is needed that has its starting weights, and pairs of both kinds.")
    after = {figure.name: figure.value for figure in now.figures}
    rows = [[spoken(figure.name), _rate(figure.value), _rate(after.get(figure.name))] for figure in found.figures]
    if found.distances is not None and found.distances_after is not None:
        names = ("mean distance, one person", "mean distance, two people")
        rows += [[name, f"{a:.3f}", f"{b:.3f}"] for name, a, b in zip(names, found.distances, found.distances_after, strict=True)]
    note = f"The same pairs of pictures, told apart by {found.what} and by the weights that the run keeps."
    drawings = [Drawing(drawing, caption) for caption, drawing in plots.before_after(now, found)]
    return Charts(drawings, (note,), Table(["figure", "before", "after"], rows))


def distances(report: Report) -> Square | Table | Absent:
    found = report.classes
    if found is None:
        return Absent("the model does not compare by distance, or there is only one person.")
    if not found.table:
        return Table(["mean distance", "between", "and"], [[f"{one.distance:.3f}", one.a, one.b] for one in found.closest])
    values = [value for row in found.table for value in row if value is not None]
    low, span = min(values), max(values) - min(values) or 1.0
    rows = [
        [("–", 0) if value is None else (f"{value:.2f}", round(100 * (1 - (value - low) / span))) for value in row] for row in found.table
    ]
    return Square(found.people, rows)


def similarities(report: Report) -> Charts | Absent:
    if report.verification is None:
        return Absent("there are no pairs of both kinds.")
    note = (
        "Share of the pairs of each kind in each bin, on a logarithmic scale, because the right end of the two-people curve matters at a "
        "gate: a pair of two people to the right of the threshold is let through. A pair of one person to the left of it is turned away."
    )
    return Charts((Drawing(plots.histogram(report.verification, report.gate), "Similarities; dotted: thresholds by FMR"),), (note,))


def searches(report: Report) -> Charts | Absent:
    drawn = [Drawing(plots.open_set(report.open_set), "Open set: FNIR against FPIR")] if report.open_set else []
    drawn += [Drawing(plots.cmc(report.cmc), f"Closed set: CMC, gallery of {report.cmc.gallery:,}")] if report.cmc else []
    if not drawn:
        return Absent("too few people have two crops to search a gallery of them.")
    rows = []
    for curve in report.open_set:
        at = {fpir: place for place, fpir in enumerate(curve.fpir)}
        cells = [
            f"{rate(curve.fnir[at[fpir]])} {interval(curve.low[at[fpir]], curve.high[at[fpir]])}" if fpir in at else "not resolvable"
            for fpir in FPIRS
        ]
        rows.append([f"{curve.gallery:,}", f"{curve.strangers:,}", *cells])
    sizes = ", ".join(f"{curve.gallery:,}" for curve in report.open_set)
    note = (
        "One crop is enrolled per person, and every search uses one crop. A search is missed when the person is not found or is taken for "
        "another. Mean and middle 95 % of 30 draws of who is enrolled. "
        + (f"These people allow galleries of {sizes}." if sizes else "No gallery size leaves strangers.")
    )
    table = Table(["gallery", "strangers", *(f"FNIR at FPIR {percent(fpir)}" for fpir in FPIRS)], rows) if rows else None
    return Charts(drawn, (note,), table)


def thresholds(report: Report) -> Charts | Absent:
    if report.card is None:
        return Absent("no card was given.")
    calibration = report.card.calibration
    fpirs = sorted({cell.fpir for cell in calibration.table}, reverse=True)
    by_place = {(cell.gallery, cell.fpir): cell for cell in calibration.table}
    rows = []
    for gallery in sorted({cell.gallery for cell in calibration.table}):
        cells = [by_place.get((gallery, fpir)) for fpir in fpirs]
        rows.append([f"{gallery:,}", *("null" if cell is None or cell.threshold is None else f"{cell.threshold:.3f}" for cell in cells)])
    if not rows:
        return Absent("the card has none; a gate stays closed until the operator sets one.")
    note = (
        f"The similarity that strangers reach at most at each FPIR, from {persons(calibration.identities, 'calibration')}"
        f"{' (' + calibration.source + ')' if calibration.source else ''}. null, drawn as a cross above: not resolvable from this many "
        "people. There a gate stays closed until the operator sets a threshold."
    )
    table = Table(["templates", *(f"FPIR {percent(fpir)}" for fpir in fpirs)], rows)
    return Charts((Drawing(plots.thresholds(calibration), "Threshold τ by gallery size"),), (note,), table)


def protocol(report: Report) -> Table | Absent:
    return _figures(report.protocol) if report.protocol else Absent("none was given; the figures above are over all pairs.")


def hardest(report: Report) -> Sequence[Pairs] | Absent:
    if not report.hardest_genuine and not report.hardest_impostor:
        return Absent("there are no pairs.")
    return (
        Pairs(f"One {report.noun}, least alike", report.hardest_genuine, f"No {report.noun} has two pictures."),
        Pairs(f"Two {plural(report.noun)}, most alike", report.hardest_impostor, f"There is only one {report.noun}."),
    )


def embedding_map(report: Report) -> People | Absent:
    found = report.map
    if found is None:
        return Absent("it needs two people with two crops each.")
    note = (
        f"The {len(found.people)} people with the most crops, along the two directions in which their crops differ most. These hold "
        f"{rate(sum(found.explained))} of the variance: people who overlap here can be well apart in the other dimensions."
    )
    people = (
        Person(f"{cloud.person} ({len(cloud.x)})", index % COLOURS, SHAPES[index // COLOURS % 2])
        for index, cloud in enumerate(found.people)
    )
    return People(Drawing(plots.embedding_map(found), "Principal components"), note, tuple(people))


def training(report: Report) -> Charts | Absent:
    drawn = tuple(Drawing(drawing, title) for title, drawing in curves.training(report.history))
    warnings = tuple(str(line["warning"]) for line in report.history if line.get("warning"))
    return Charts(drawn, warnings) if drawn else Absent("no history was given.")


def card(report: Report) -> CardText | Absent:
    found = report.card
    if found is None:
        return Absent("the model has none.")
    facts = {
        "name": found.name, "created": found.created, "licence": found.licence, "notes": found.notes,
        "recipe digest": found.recipe_digest, "data digest": found.data_digest, "alignment": found.alignment,
        "dimension": str(found.dimension),
    }  # fmt: skip
    return CardText(facts, _figures(found.evaluation, on=True) if found.evaluation else None, found.recipe)


SECTIONS: Mapping[str, tuple[str, Callable[[Report], object]]] = {
    "verification": ("One picture against one", verification),
    "before": ("Before and after the training", before),
    "similarities": ("How alike pairs are", similarities),
    "distances": ("Mean distances", distances),
    "searches": ("Searching a gallery", searches),
    "thresholds": ("Thresholds of the card", thresholds),
    "protocol": ("Pair list", protocol),
    "hardest": ("Hardest pairs", hardest),
    "embedding_map": ("Map of the embeddings", embedding_map),
    "training": ("Training", training),
    "card": ("Card", card),
}
"""The sections in order: the macro of sections.html that shows one, its title, and what it shows."""


def _rate(value: float | None) -> str:
    return "not resolvable" if value is None else rate(value)


def _figures(figures: Sequence[Figure], on: bool = False) -> Table:
    """Figures one a row; `on` adds on whom."""
    rows = (
        [
            spoken(figure.name),
            _rate(figure.value),
            interval(figure.low, figure.high),
            *([figure.on] if on else []),
        ]
        for figure in figures
    )
    return Table(["figure", "value", "95 % interval", *(["on"] if on else [])], list(rows))
