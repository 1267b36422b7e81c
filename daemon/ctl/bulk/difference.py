"""What stands between the people of a file and those of the gates. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from daemon.core.messages import PersonEntry
from daemon.ctl.bulk.rows import Row, Value

COMPARED = ("name", "valid_from", "valid_until", "gates", "schedule")
"""A gate's list does not have the consent: it is sent along, and starts no change by itself."""
MANY, SHARE = 10, 0.2
"""More revocations than both are no daily business."""


@dataclass(frozen=True, slots=True)
class Change:
    """A record that differs at some gates: for each field what was and what will be."""

    row: Row
    gates: tuple[str, ...]
    fields: Mapping[str, Value]
    before: Mapping[str, Value]


@dataclass(slots=True)
class Difference:
    """Who is new (and at which gates), whose record changes, who has left (and from which gates), and who stays as they are."""

    new: list[tuple[Row, list[str]]] = field(default_factory=list)
    changed: list[Change] = field(default_factory=list)
    left: list[tuple[PersonEntry, list[str]]] = field(default_factory=list)
    unchanged: int = 0
    enrolled: int = 0
    """How many people there are at the gates now."""

    @property
    def is_nothing(self) -> bool:
        return not (self.new or self.changed or self.left)

    @property
    def revokes_many(self) -> bool:
        """Whether it would revoke more than a mistake should be able to."""
        gone = len(self.left)
        return bool(gone) and (gone == self.enrolled or (gone > MANY and gone > SHARE * self.enrolled))


def difference(rows: Sequence[Row], rosters: Mapping[str, Mapping[str, PersonEntry]]) -> Difference:
    """`rosters` has the people of each gate, by its name."""
    made, wanted = Difference(), {row.person for row in rows}
    known = {person: entry for roster in rosters.values() for person, entry in roster.items()}
    made.enrolled = len(known)
    for row in rows:
        missing = [gate for gate, roster in rosters.items() if row.person not in roster]
        fields, before, where = dict[str, Value](), dict[str, Value](), list[str]()
        for gate, roster in rosters.items():
            entry = roster.get(row.person)
            changes = _changes(row, entry) if entry is not None else {}
            where += [gate] if changes else []
            fields |= {name: row.fields[name] for name in changes}
            before |= changes
        if missing:
            made.new.append((row, missing))
        if fields:
            if row.fields.get("consent") is not None:
                fields["consent"] = row.fields["consent"]
            made.changed.append(Change(row, tuple(where), fields, before))
        made.unchanged += not missing and not fields
    for person in sorted(known.keys() - wanted):
        made.left.append((known[person], [gate for gate, roster in rosters.items() if person in roster]))
    return made


def _changes(row: Row, entry: PersonEntry) -> dict[str, Value]:
    """What is otherwise at the gate, as it is there."""
    found: dict[str, Value] = {}
    for name in COMPARED:
        if name in row.fields:
            wanted, there = row.fields[name], getattr(entry, name)
            if _comparable(wanted) != _comparable(datetime.fromisoformat(there) if name.startswith("valid_") and there else there):
                found[name] = there
    return found


def _comparable(value: Value) -> object:
    if isinstance(value, datetime):  # a gate says milliseconds
        return round(value.astimezone(UTC).timestamp(), 3)
    return sorted(value) if isinstance(value, list) else value or None
