"""The report as one HTML page that asks nobody for anything: drawings, pictures and style are inside. Words for a busy reader first."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import cv2

from daemon.core.bundle import Figure
from daemon.pages import markup
from trainer.people.data import Crops
from trainer.reports import curves, plots
from trainer.reports.drawing import percent
from trainer.reports.measure import Pair, Report, ReportError, to_json
from trainer.reports.style import STYLE
from trainer.reports.words import headline, interval, rate, spoken, tiles

JPEG_QUALITY = 88


@dataclass(frozen=True, slots=True)
class Absent:
    """A section that there is nothing for, and why."""

    why: str


def write(folder: Path, report: Report, crops: Crops | None = None) -> Path:
    """Write report.html and report.json into a folder, made if needed; with `crops` the hardest pairs are shown as pictures. Gives the
    page's path. Raises ReportError."""
    page = folder / "report.html"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "report.json").write_bytes(to_json(report))
        page.write_text(render(report, pictures(report, crops) if crops is not None else {}), encoding="utf-8")
    except OSError as error:
        raise ReportError(f"cannot write {page}: {error.strerror}", "give a folder that can be written") from error
    return page


def pictures(report: Report, crops: Crops) -> dict[str, bytes]:
    """{name: JPEG} of the crops among the hardest pairs."""
    place = {name: index for index, name in enumerate(crops.names)}
    wanted = {name for pair in (*report.hardest_genuine, *report.hardest_impostor) for name in (pair.a, pair.b)}
    quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    return {name: cv2.imencode(".jpg", crops.pixels[place[name]][:, :, ::-1], quality)[1].tobytes() for name in sorted(wanted)}


def render(report: Report, pictures: Mapping[str, bytes]) -> str:
    """The page. `pictures` are JPEGs by the names of the hardest pairs; without them names stand alone."""
    sections = (
        ("One picture against one", _verification(report)),
        ("How alike pairs are", _similarities(report)),
        ("Searching a gallery", _searches(report)),
        ("Thresholds of the card", _thresholds(report)),
        ("Pair list", _protocol(report)),
        ("Hardest pairs", _hardest(report, pictures)),
        ("Map of the embeddings", _map(report)),
        ("Training", _training(report)),
        ("Card", _card(report)),
    )
    body = "".join(f"<section><h2>{title}</h2>{content}</section>" for title, content in sections if not isinstance(content, Absent))
    absent = "".join(f"<li>{title}: {content.why}</li>" for title, content in sections if isinstance(content, Absent))
    body += f"<section><h2>Not in this report</h2><ul>{absent}</ul></section>" if absent else ""
    made = f" · {escape(report.made)}" if report.made else ""
    about = f"{report.crops:,} crops of {report.people:,} people ({escape(report.on)}) · {report.dimension} dimensions{made}"
    top = "".join(f"<div><dt>{escape(name)}</dt><dd>{value}</dd><dd>{note}</dd></div>" for name, value, note in tiles(report))
    words = "".join(f"<p>{escape(sentence)}</p>" for sentence in headline(report))
    faces = "<footer>This page shows pictures of people: keep it as carefully as the pictures themselves.</footer>" if pictures else ""
    header = f'<header><h1>{escape(report.model)}</h1><p class="about">{about}</p><dl>{top}</dl>{words}</header>'
    return markup.page(f"Report: {report.model}", header + body + faces, STYLE)


def _verification(report: Report) -> str | Absent:
    found = report.verification
    if found is None:
        return Absent("there is nothing to compare: rates need two people, and one of them with two crops.")
    rows = [
        [
            percent(point.target),
            _number(point.threshold),
            "not resolvable" if point.tar is None else f"{rate(point.tar)} {interval(point.low, point.high)}",
            "" if point.errors is None else f"{point.errors:,} from {point.people_pairs:,}",
        ]
        for point in found.operating
    ]
    table = markup.table(["FMR", "threshold", "TAR (95 % interval)", "false matches, from pairs of people"], rows)
    people = report.people * (report.people - 1) // 2
    note = (
        f"All {found.genuine:,} pairs of one person and {found.impostor:,} of two people. They share {report.people:,} people, so no more "
        f"than {people:,} pairs of people stand behind a false match rate; bands are 95 % intervals from drawing people anew. "
        f"Shaded: rates below one pair in all, which these people cannot show."
    )
    return markup.figures((plots.roc(found), "ROC"), (plots.det(found), "DET")) + markup.note(note) + table


def _similarities(report: Report) -> str | Absent:
    if report.verification is None:
        return Absent("there are no pairs of both kinds.")
    note = (
        "Share of the pairs of each kind in each bin, on a logarithmic scale, because at a gate the right end of the two-people curve "
        "decides: whoever lies to the right of the threshold is let through. Pairs of one person to the left of it are turned away."
    )
    return markup.figures(
        (plots.histogram(report.verification, report.gate), "Similarities; dotted: thresholds by FMR"), beside=markup.note(note)
    )


def _searches(report: Report) -> str | Absent:
    drawn = [(plots.open_set(report.open_set), "Open set: FNIR against FPIR")] if report.open_set else []
    drawn += [(plots.cmc(report.cmc), f"Closed set: CMC, gallery of {report.cmc.gallery:,}")] if report.cmc else []
    sizes = ", ".join(f"{curve.gallery:,}" for curve in report.open_set)
    if not drawn:
        return Absent("too few people with two crops to search a gallery of them.")
    rows = []
    for curve in report.open_set:
        at = {fpir: place for place, fpir in enumerate(curve.fpir)}
        cells = [
            f"{rate(curve.fnir[at[fpir]])} {interval(curve.low[at[fpir]], curve.high[at[fpir]])}" if fpir in at else "not resolvable"
            for fpir in (1e-1, 1e-2, 1e-3)
        ]
        rows.append([f"{curve.gallery:,}", f"{curve.strangers:,}", *cells])
    table = markup.table(["gallery", "strangers", *(f"FNIR at FPIR {percent(fpir)}" for fpir in (1e-1, 1e-2, 1e-3))], rows) if rows else ""
    note = (
        "One crop enrolled per person, one crop per search; missed is whoever is not found or taken for another. Mean and middle 95 % of "
        + (
            "30 draws of who is enrolled. "
            + (f"These people allow galleries of {sizes}." if sizes else "No gallery size leaves strangers.")
        )
    )
    return markup.figures(*drawn) + markup.note(note) + table


def _thresholds(report: Report) -> str | Absent:
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
        f"Similarity that strangers reach at most at each FPIR, from {calibration.identities:,} calibration people"
        f"{' (' + calibration.source + ')' if calibration.source else ''}. null, drawn as a cross above: not resolvable from so many "
        "people; there a gate stays closed until the operator sets a threshold."
    )
    table = markup.table(["templates", *(f"FPIR {percent(fpir)}" for fpir in fpirs)], rows)
    return markup.figures((plots.thresholds(calibration), "Threshold τ by gallery size"), beside=table) + markup.note(note)


def _protocol(report: Report) -> str | Absent:
    if not report.protocol:
        return Absent("none was given; the figures above are over all pairs.")
    return _figure_table(report.protocol)


def _hardest(report: Report, pictures: Mapping[str, bytes]) -> str | Absent:
    if not report.hardest_genuine and not report.hardest_impostor:
        return Absent("there are no pairs.")
    lists = (
        ("One person, least alike", report.hardest_genuine, "No person has two crops."),
        ("Two people, most alike", report.hardest_impostor, "There is only one person."),
    )
    note = "One pair per person, or per pair of people. Look at them first: a wrong label shows here."
    parts = [f"<h3>{title}</h3>" + (_pairs(pairs, pictures) if pairs else markup.absent(empty)) for title, pairs, empty in lists]
    return markup.note(note) + ("" if pictures else markup.absent("Pictures were left out; names stand alone.")) + "".join(parts)


def _pairs(pairs: Sequence[Pair], pictures: Mapping[str, bytes]) -> str:
    def image(name: str) -> str:
        if name not in pictures:
            return ""
        return (
            f'<img width="112" height="112" alt="{escape(name)}" src="data:image/jpeg;base64,{base64.b64encode(pictures[name]).decode()}">'
        )

    items = (
        f"<figure>{image(pair.a)}{image(pair.b)}<figcaption><b>{pair.similarity:.3f}</b> <span>{escape(pair.a)}</span> "
        f"<span>{escape(pair.b)}</span></figcaption></figure>"
        for pair in pairs
    )
    return f'<div class="pairs">{"".join(items)}</div>'


def _map(report: Report) -> str | Absent:
    found = report.map
    if found is None:
        return Absent("it needs two people with two crops each.")
    shown = sum(found.explained)
    note = (
        f"The {len(found.people)} people with most crops on the two directions in which their crops differ most. These hold {rate(shown)} "
        "of the variance: people who lie on one another here may be well apart in the other dimensions."
    )
    names = "".join(
        f'<li class="colour" data-shape="{"●▲"[index // 6 % 2]}" style="--own: var(--c{index % 6})">'
        f"{escape(cloud.person)} ({len(cloud.x)})</li>"
        for index, cloud in enumerate(found.people)
    )
    return markup.figures((plots.embedding_map(found), "Principal components"), beside=f'<ol class="names">{names}</ol>') + markup.note(
        note
    )


def _training(report: Report) -> str | Absent:
    drawn = curves.training(report.history)
    if not drawn:
        return Absent("no history was given.")
    warnings = "".join(markup.note(str(line["warning"])) for line in report.history if line.get("warning"))
    return markup.figures(*((drawing, title) for title, drawing in drawn)) + warnings


def _card(report: Report) -> str | Absent:
    card = report.card
    if card is None:
        return Absent("the model has none.")
    facts = {
        "name": card.name, "created": card.created, "licence": card.licence, "notes": card.notes, "recipe digest": card.recipe_digest,
        "data digest": card.data_digest, "alignment": card.alignment, "dimension": str(card.dimension),
    }  # fmt: skip
    rows = "".join(f"<tr><th>{name}</th><td>{escape(value) or '–'}</td></tr>" for name, value in facts.items())
    figures = (
        f"<details><summary>Figures on the card</summary>{_figure_table(card.evaluation, on=True)}</details>" if card.evaluation else ""
    )
    return f'<table class="facts">{rows}</table>{figures}<details><summary>Recipe</summary><pre>{escape(card.recipe)}</pre></details>'


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _figure_table(figures: Sequence[Figure], on: bool = False) -> str:
    """Figures one a row; `on` adds on whom."""
    rows = (
        [
            spoken(figure.name),
            "not resolvable" if figure.value is None else rate(figure.value),
            interval(figure.low, figure.high),
            *([figure.on] if on else []),
        ]
        for figure in figures
    )
    return markup.table(["figure", "value", "95 % interval", *(["on"] if on else [])], list(rows))
