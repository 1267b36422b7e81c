"""Everything that looks wrong among people's crops, with a proposal for each."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from daemon.core.bundle import Calibration
from daemon.core.counts import counted, persons
from trainer.clean import chance, pairs, strays
from trainer.clean.chance import Cautious
from trainer.clean.pairs import Ints, Vectors
from trainer.people.data import Crops

FITS = 0.01
"""A crop fits a person if its mean similarity to that person's crops is one that this share of pairs of strangers reaches."""
EXAMPLES = 4


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding: a row for the decisions, and crops to show by their numbers. `a` and `b` are names as in `trainer.people.decisions`;
    `said` is a sentence about how sure it is."""

    kind: str
    a: str
    b: str
    similarity: float
    said: str
    proposed: str
    crops_a: tuple[int, ...]
    crops_b: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """All findings, by kind and the surest first; how many more of a kind there are; sentences about how they were looked for."""

    findings: tuple[Finding, ...]
    left_out: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Known:
    """What the single searches share."""

    crops: Crops
    vectors: Vectors
    single: Cautious
    count: NDArray[np.int64]

    def shown(self, person: int, without: int = -1) -> tuple[int, ...]:
        return tuple(int(row) for row in np.flatnonzero(self.crops.person == person) if row != without)[:EXAMPLES]

    def fit(self, row: int, person: int) -> float:
        """How alike a crop is to the other crops of a person, on average; NaN where there are none."""
        others = np.flatnonzero(self.crops.person == person)
        others = others[others != row]
        return float((self.vectors[others] @ self.vectors[row]).mean()) if len(others) else float("nan")


def find(crops: Crops, vectors: Vectors, marks: NDArray[np.uint64], card: Calibration | None) -> Found:
    """Look for all kinds. `vectors` [n, d] and `marks` [n] belong to the crops; a vector that is not of unit length is a finding itself."""
    sound = np.isfinite(vectors).all(axis=1) & (np.abs(np.linalg.norm(np.nan_to_num(vectors), axis=1) - 1) < 1e-3)
    rows = np.flatnonzero(sound)
    few, own = crops.at(rows), vectors[rows]
    told = chance.of_card(card) if card is not None else None
    people = pairs.of_people(own, few.person, len(crops.people), told)
    known = _Known(crops, np.where(sound[:, None], vectors, 0), people.strangers[0], np.bincount(crops.person, minlength=len(crops.people)))
    same = pairs.identical(marks, crops.person)
    near, more = pairs.same_pictures(few.pixels, own, few.person, people.strangers[0])
    near = [pair for pair in near if marks[rows[pair.a]] != marks[rows[pair.b]]]
    alike = [*same, *((int(rows[pair.a]), int(rows[pair.b])) for pair in near)]
    said = {frozenset((int(crops.person[a]), int(crops.person[b]))) for a, b in alike}
    found = [
        *(_pictures(known, "identical", a, b, people, 1.0) for a, b in same[: pairs.MOST]),
        *_once([_pictures(known, "near-identical", int(rows[pair.a]), int(rows[pair.b]), people, pair.similarity) for pair in near], crops),
        *(
            _names(known, pair, people)
            for pair in people.pairs
            # Two people with a picture each, and it is the same picture: that is in the list already.
            if not (frozenset((pair.a, pair.b)) in said and known.count[pair.a] == known.count[pair.b] == 1)
        ),
    ]
    if len(rows):
        found += _strays(known, rows, strays.strays(own, few.person, people.strangers[0]), people)
    found += [_speechless(known, int(row)) for row in np.flatnonzero(~sound)]
    left = {"identical": len(same) - pairs.MOST, "near-identical": more, "two names": people.left_out}
    return Found(tuple(found), {kind: count for kind, count in left.items() if count > 0}, _notes(known, people))


def _pictures(known: _Known, kind: str, a: int, b: int, people: pairs.People, similarity: float) -> Finding:
    crops = known.crops
    of_a, of_b = int(crops.person[a]), int(crops.person[b])
    fits = known.single.at(FITS)
    fit_a, fit_b = known.fit(a, of_a), known.fit(b, of_b)
    one_person = any({pair.a, pair.b} == {of_a, of_b} and pair.false_share <= pairs.SURE for pair in people.pairs)
    if one_person or known.count[of_a] == known.count[of_b] == 1:
        proposed, why = "merge", "the two look like one person" if one_person else "neither has another picture"
    elif known.count[of_b] == 1 or known.count[of_a] == 1:
        fit, other = (fit_a, of_a) if known.count[of_b] == 1 else (fit_b, of_b)
        proposed, why = ("merge", f"it looks like the others of {crops.people[other]}") if fit >= fits else ("", "it is unlike the others")
    elif fit_a >= fits > fit_b:
        proposed, why = "drop b", f"it is unlike the others of {crops.people[of_b]} ({fit_b:.2f})"
    elif fit_b >= fits > fit_a:
        proposed, why = "drop a", f"it is unlike the others of {crops.people[of_a]} ({fit_a:.2f})"
    else:
        proposed, why = "", "the other pictures do not tell whose it is"
    said = f"{'the very same pixels' if kind == 'identical' else 'nearly the same pixels'} under two names; {why}"
    shown = ((a, *known.shown(of_a, a)[: EXAMPLES - 1]), (b, *known.shown(of_b, b)[: EXAMPLES - 1]))
    return Finding(kind, crops.names[a], crops.names[b], similarity, said, proposed, *shown)


def _once(found: Sequence[Finding], crops: Crops) -> list[Finding]:
    """Two people who are to be merged are one decision, however many of their pictures are alike: only the first finding stays."""
    owner = dict(zip(crops.names, crops.person.tolist(), strict=True))
    alike: dict[frozenset[int], list[Finding]] = {}
    for finding in found:
        if finding.proposed == "merge":
            alike.setdefault(frozenset((owner[finding.a], owner[finding.b])), []).append(finding)
    others = {id(same[0]): len(same) - 1 for same in alike.values()}
    kept = [finding for finding in found if finding.proposed != "merge" or id(finding) in others]
    return [
        dataclasses.replace(one, said=f"{one.said}; so are {counted(others[id(one)], 'other pair')} of their pictures")
        if others.get(id(one))
        else one
        for one in kept
    ]


def _names(known: _Known, pair: pairs.Pair, people: pairs.People) -> Finding:
    a, b = (pair.a, pair.b) if known.count[pair.a] >= known.count[pair.b] else (pair.b, pair.a)
    said = f"{pair.rate * people.compared:.2g} pairs of strangers are expected to be so alike, of {people.compared:,}"
    shown = known.shown(a), known.shown(b)
    names = known.crops.people
    return Finding("two names", names[a], names[b], pair.similarity, said, "merge" if pair.false_share <= pairs.SURE else "", *shown)


def _strays(known: _Known, rows: Ints, found: list[strays.Stray], people: pairs.People) -> list[Finding]:
    crops, made = known.crops, []
    mean = pairs.means(known.vectors[rows], crops.person[rows], len(crops.people))
    there = np.nan_to_num(mean)
    for stray in found:
        own, rest = rows[stray.rows], rows[stray.rest]
        middle = known.vectors[own].mean(axis=0)
        alike = there @ (middle / max(1e-9, float(np.linalg.norm(middle))))
        alike[stray.person] = -1
        other = int(np.argmax(alike))
        of = people.strangers[min(2, int(known.count[other] >= pairs.SEVERAL) + int(len(own) >= pairs.SEVERAL))]
        belongs = len(crops.people) > 1 and len(crops.people) * of.rate(float(alike[other])) <= pairs.SURE
        kind = "outlier" if len(own) == 1 and known.count[stray.person] > 2 else "two people"
        proposed = ("move" if belongs else "drop" if kind == "outlier" else "split") if stray.sure else ""
        many = counted(len(own), "picture")
        said = f"{many} of {known.count[stray.person]:,}; {100 * stray.rate:.2g} % of pairs of strangers are at least as alike"
        said += f"; it looks like {crops.people[other]} ({alike[other]:.2f})" if belongs else ""
        shown = tuple(int(row) for row in rest[:EXAMPLES])
        made += [
            Finding(kind, crops.names[row], crops.people[other] if belongs else "", stray.similarity, said, proposed, (int(row),), shown)
            for row in own
        ]
    # Groups after single crops, as kinds stay together.
    return sorted(made, key=lambda finding: finding.kind == "outlier")


def _speechless(known: _Known, row: int) -> Finding:
    said, others = "the model gives no vector for this picture", known.shown(int(known.crops.person[row]), row)
    return Finding("outlier", known.crops.names[row], "", float("nan"), said, "drop", (row,), others)


def _notes(known: _Known, people: pairs.People) -> tuple[str, ...]:
    crops = known.crops
    notes = [f"{counted(len(crops), 'crop')} of {persons(len(crops.people))}, {people.compared:,} pairs of people"]
    if not known.single.tables:
        notes.append("too few people to know how alike strangers are, and the card does not say it: only identical pictures are found")
        return tuple(notes)
    few, many, once = people.strangers[0], people.strangers[2], 1 / max(3, people.compared)
    notes.append(
        f"strangers: one pair in a hundred reaches {few.at(0.01):.3f} (three pictures or more each: {many.at(0.01):.3f}), and by "
        f"extrapolation one pair of all {people.compared:,} reaches {few.at(once):.3f} ({many.at(once):.3f})"
    )
    if people.pairs:
        listed = sum(pair.false_share <= pairs.SHARE for pair in people.pairs)
        strangers = f" (about {people.pairs[listed - 1].false_share * listed:.1f} by chance)" if listed else ""
        notes.append(
            f"{counted(len(people.pairs), 'pair')} of people to look at; {listed:,} more alike than chance explains{strangers}; merging "
            f"is proposed where at most {pairs.SURE:.0%} are expected by chance. Twins and look-alikes are not chance: look"
        )
    return tuple(notes)


def tally(found: Found) -> list[tuple[str, int, int, Finding]]:
    """(kind, findings, proposals, the first finding) of each kind that there is."""
    kinds = Counter(finding.kind for finding in found.findings)
    rows = []
    for kind in kinds:
        own = [finding for finding in found.findings if finding.kind == kind]
        rows.append((kind, len(own) + found.left_out.get(kind, 0), sum(bool(finding.proposed) for finding in own), own[0]))
    return rows
