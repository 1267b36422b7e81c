"""Pictures compared with a reference of each person, for a terminal: the distances, and how often the nearest is the right one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from daemon.core.counts import counted
from trainer import terminal
from trainer.measure import metrics
from trainer.measure.same import Comparer, References, plural, some
from trainer.terminal import safe

COLUMNS = 5
"""A wider table cannot be read. Of more people, only the nearest of each picture are shown."""
NEAREST = 3
ROWS = 30


def distances(by: Comparer, found: References, names: Sequence[str]) -> Table:
    """The first pictures by people, the nearest of each in bold and marked; or, of many people, the nearest few of each picture."""
    title = f"{'squared distances' if by.scorer.cosine else by.measure} to the references"
    title += f"; the first {ROWS} of {len(names):,} pictures" if len(names) > ROWS else ""
    many = len(found.people) > COLUMNS
    heads = ("nearest", "second", "third") if many else (*found.people, "nearest")
    table = terminal.table("picture", *heads, *(["verdict"] if many else []), title=title)
    for name, row, best, who in list(zip(names, found.distances, found.closest, found.nearest, strict=True))[:ROWS]:
        verdict = "no threshold" if found.limit is None else "passes" if who is not None else "too far"
        nearest = [f"{found.people[index]} {row[index]:.3f}" for index in np.argsort(row, kind="stable")[:NEAREST]]
        cells = [safe(f"{value:.3f} *", "bold") if index == best else safe(f"{value:.3f}") for index, value in enumerate(row)]
        shown = [safe(nearest[0], "bold"), *map(safe, nearest[1:]), verdict] if many else [*cells, safe(f"{nearest[0]}: {verdict}")]
        table.add_row(safe(name), *shown)
    return table


def explained(by: Comparer, found: References) -> str:
    """What the distances mean."""
    if found.limit is None:
        return f"Smaller is more alike. Which distance passes is not known, because {by.why}."
    return (
        f"Smaller is more alike. A distance up to {found.limit:.4f} passes; so does {by.rate} pairs of two different {plural(by.noun)}. "
        f"{'Somebody who is' if by.noun == 'person' else 'A drawing of'} none of these {some(by.noun, len(found.people))} has "
        f"{counted(len(found.people), 'such chance')}."
    )


def right(by: Comparer, found: References, truth: NDArray[np.int64]) -> Iterator[Table | str]:
    """How often the nearest reference is the right one, where the truth [pictures] is known (an index into the people, or -1)."""
    known = np.flatnonzero(truth >= 0)
    if not len(known):
        return
    hit = found.closest[known] == truth[known]
    passed = np.array([found.nearest[at] is not None for at in known])
    low, high = metrics.wilson(int(hit.sum()), len(known))
    table = terminal.table(by.noun, "pictures", "nearest is right", "most often taken for", title="by the folder that a picture is in")
    for index, person in enumerate(found.people):
        own = truth[known] == index
        if own.any():
            wrong = found.closest[known][own & ~hit]
            taken = found.people[np.bincount(wrong).argmax()] if len(wrong) else "–"
            table.add_row(safe(person), f"{own.sum():,}", f"{hit[own].mean():.1%}", safe(taken))
    if len(table.rows) <= ROWS:
        yield table
    yield (
        f"Of {len(known):,} pictures in a folder called like a {by.noun}, {hit.sum():,} are nearest to the right reference: "
        f"{hit.mean():.2%} ({low:.1%} to {high:.1%}, if the pictures are independent)."
    )
    if found.limit is not None:
        yield f"{(hit & passed).mean():.2%} are so and pass; {(~hit & passed).mean():.2%} pass as a wrong {by.noun}."
