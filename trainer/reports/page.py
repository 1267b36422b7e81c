"""The report as one HTML page that loads nothing: drawings, pictures and style are inside. It begins with words for a busy reader."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path

import cv2

from daemon.core.counts import counted
from daemon.edges.files import replace
from daemon.pages import template
from trainer.measure.same import some
from trainer.people.data import Crops
from trainer.reports.measure import Report, ReportError, to_json
from trainer.reports.sections import SECTIONS, Absent
from trainer.reports.words import headline, tiles

JPEG_QUALITY = 88


def write(folder: Path, report: Report, crops: Crops | None = None) -> Path:
    """Write report.html and report.json into a folder, made if needed; with `crops` the hardest pairs are shown as pictures. Gives the
    page's path. Raises ReportError."""
    page = folder / "report.html"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        replace(folder / "report.json", to_json(report))
        replace(page, render(report, pictures(report, crops) if crops is not None else {}).encode())
    except OSError as error:
        raise ReportError(f"cannot write {error.filename or page}: {error.strerror}", "give a folder that can be written") from error
    return page


def pictures(report: Report, crops: Crops) -> dict[str, bytes]:
    """{name: JPEG} of the crops among the hardest pairs."""
    place = {name: index for index, name in enumerate(crops.names)}
    wanted = {name for pair in (*report.hardest_genuine, *report.hardest_impostor) for name in (pair.a, pair.b)}
    quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    return {name: cv2.imencode(".jpg", crops.pixels[place[name]][:, :, ::-1], quality)[1].tobytes() for name in sorted(wanted)}


def render(report: Report, pictures: Mapping[str, bytes]) -> str:
    """The page. `pictures` are JPEGs by the names of the hardest pairs; without them the names stand alone."""
    sections = [(name, title, of(report)) for name, (title, of) in SECTIONS.items()]
    pictured = counted(report.crops, "crop" if report.noun == "person" else "drawing")
    about = f"{pictured} of {some(report.noun, report.people)} ({report.on}) · {report.dimension} dimensions"
    return template.render(
        "trainer.reports",
        "report.html",
        model=report.model,
        about=f"{about} · {report.made}" if report.made else about,
        faces=report.noun == "person",
        tiles=tiles(report),
        headline=headline(report),
        sections=[(name, title, found) for name, title, found in sections if not isinstance(found, Absent)],
        absent=[(title, found.why) for _, title, found in sections if isinstance(found, Absent)],
        pictures={name: f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}" for name, jpeg in pictures.items()},
    )
