"""The findings as a table of decisions to fill in, and as one HTML page to look at."""

from __future__ import annotations

import base64
import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from daemon.core.counts import counted
from daemon.pages import template
from trainer.clean.findings import Finding, Found
from trainer.people import decisions
from trainer.people.data import Crops
from trainer.people.decisions import Row

HEAD = ("number", "kind", "a", "b", "similarity", "said", "proposed", "decision")
SHOWN = 100
"""Findings of a kind that the page shows; the table has all."""
MOST_OF_A_GROUP = 8
JPEG_QUALITY = 88
TITLES = {
    "identical": ("The same picture under two names", "merge, drop a, drop b, drop both. It must be decided: fit and calibrate refuse it."),
    "near-identical": ("Nearly the same picture under two names", "merge, drop a, drop b, drop both, keep."),
    "two names": ("One person under two names?", "merge (one person), keep (two people), drop a, drop b, drop both."),
    "two people": ("Two people under one name?", "split (a new person), move (to the person in b), drop, keep."),
    "outlier": ("Pictures unlike the others of their person", "drop, move (to the person in b), split, keep."),
}


def earlier(path: Path, crops: Crops) -> tuple[list[Row], int]:
    """The decided rows of an earlier table, if there is one, and how many of them name what is no longer there. Raises DataError."""
    if not path.exists():
        return [], 0
    rows = [row for row in decisions.read(path) if row.decision]
    names = {*crops.names, *crops.people}
    there = [row for row in rows if row.a in names and (row.b in names or (row.kind in decisions.CROPS and row.decision != "move"))]
    return there, len(rows) - len(there)


def table(found: Found, before: Sequence[Row]) -> str:
    """The CSV. Decisions that were made `before` about a finding are kept, and those about what is no longer found stand at the end."""
    told = {(row.kind, row.a, row.b if row.kind not in decisions.CROPS else ""): row for row in before}
    text = io.StringIO(newline="")
    lines = csv.writer(text)
    lines.writerow(HEAD)
    for number, finding in enumerate(found.findings, 1):
        row = told.pop((finding.kind, finding.a, finding.b if finding.kind not in decisions.CROPS else ""), None)
        b = row.b if row is not None else finding.b
        similarity = "" if math.isnan(finding.similarity) else f"{finding.similarity:.3f}"
        names = decisions.cell(finding.a), decisions.cell(b)
        decision = row.decision if row is not None else ""
        lines.writerow((number, finding.kind, *names, similarity, finding.said, finding.proposed, decision))
    for row in told.values():
        lines.writerow(("", row.kind, decisions.cell(row.a), decisions.cell(row.b), "", "decided before", "", row.decision))
    return text.getvalue()


def render(found: Found, crops: Crops, source: str, before: Sequence[Row]) -> str:
    """The page. It shows faces, and loads nothing."""
    decided = {(row.kind, row.a): row.decision for row in before}
    groups: dict[str, list[list[tuple[int, Finding]]]] = {}
    for number, finding in enumerate(found.findings, 1):
        own = groups.setdefault(finding.kind, [])
        # The pictures of one stray group stand together.
        if finding.kind == "two people" and own and own[-1][-1][1].crops_b == finding.crops_b:
            own[-1].append((number, finding))
        else:
            own.append([(number, finding)])
    sections = []
    for kind, (title, choices) in TITLES.items():
        if kind in groups:
            shown = [_shown(group, decided.get((kind, group[0][1].a), ""), crops) for group in groups[kind][:SHOWN]]
            sections.append((title, choices, shown, len(groups[kind]) - len(shown), found.left_out.get(kind, 0)))
    missing = [title for kind, (title, _) in TITLES.items() if kind not in groups]
    return template.render(
        "trainer.clean",
        "clean.html",
        source=source,
        about=f"{found.notes[0]}, {counted(len(found.findings), 'finding')}",
        notes=found.notes[1:],
        sections=sections,
        missing=missing,
    )


def number(similarity: float) -> str:
    """A similarity to read."""
    return "–" if math.isnan(similarity) else f"{similarity:.3f}"


def _shown(group: Sequence[tuple[int, Finding]], decision: str, crops: Crops) -> Mapping[str, object]:
    """One finding, or all rows of a group of pictures that are one finding."""
    place, first = group[0]
    mine = [row for _, finding in group for row in finding.crops_a]
    left_out = f", and {len(mine) - MOST_OF_A_GROUP} more" if len(mine) > MOST_OF_A_GROUP else ""
    return {
        "number": f"{place}" if len(group) == 1 else f"{place} to {group[-1][0]}",
        "a": f"a: {first.a}" if len(group) == 1 else f"a: {first.a} to {group[-1][1].a}{left_out}",
        "b": f"b: {first.b}" if first.b and first.kind not in decisions.CROPS else "other pictures of this person",
        "similarity": number(first.similarity),
        "said": first.said,
        "proposed": first.proposed,
        "decision": decision,
        "sides": [[(crops.names[row], _jpeg(crops.pixels[row])) for row in side] for side in (mine[:MOST_OF_A_GROUP], first.crops_b)],
    }


def _jpeg(crop: NDArray[np.uint8]) -> str:
    jpeg = cv2.imencode(".jpg", crop[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
