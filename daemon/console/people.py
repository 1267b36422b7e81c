"""Who is enrolled, at all gates together. The gates' lists are read whole and kept until a gate says that something has changed."""

import asyncio
import time
from bisect import bisect_right, insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from daemon.client.asked import NoAnswer
from daemon.client.times import times
from daemon.console.line import Line
from daemon.console.problem import Problem
from daemon.console.state import State
from daemon.core import messages as m

PAGE = 1000
MOST_DIRTY = 50
"""So many changed people are asked for one by one. With more, the list is read again."""
PATIENCE = 30
"""How often a page is asked for again, a second later, at a gate that has had too many commands."""
AGAIN_S = 5.0
"""A gate that did not answer is asked again only after so long: nobody waits in a row for the same."""
_SAME = ("name", "state", "valid_from", "valid_until", "gates", "schedule")
"""What should be the same at all gates."""


@dataclass(slots=True)
class _Box:
    """The people of one gate, or of several gates of one daemon, which share them: in one run of the daemon, whose revisions only grow."""

    gates: tuple[str, ...]
    boot_id: str | None
    people: dict[str, m.PersonEntry] = field(default_factory=dict)
    dirty: set[str] = field(default_factory=set)
    reads: int = 0
    """How often the list was read whole."""
    revision: int = -2
    """Of the gallery when the list was read or last mended; -2 before that."""
    trouble: Exception | None = None
    trouble_s: float = 0.0
    """Why the list could not be read lately, and when."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def speaker(self) -> str:
        """The gate that is asked."""
        return self.gates[0]


class People:
    """The people of all gates, merged. Used in one loop only."""

    def __init__(self, line: Line, state: State) -> None:
        self._line, self._state = line, state
        self._boxes: dict[tuple[tuple[str, ...], str | None], _Box] = {}
        self._all = Everybody(())
        self._renewed: set[str] = set()
        """People whose record was read again since everybody was merged."""
        self._merging = asyncio.Lock()

    def changed(self, gate: str, result: m.Result) -> None:
        """Somebody has changed a record at this gate: it is read again before it is told."""
        for box in self._boxes.values():
            if gate in box.gates and result.person is not None:
                if len(box.dirty) <= MOST_DIRTY:
                    box.dirty.add(result.person)
                if result.gallery_revision == box.revision + 1:  # with a larger step, something was not heard
                    box.revision += 1

    def name(self, person: str) -> str | None:
        """The person's name, if it is known without asking."""
        found = (box.people.get(person) for box in self._boxes.values())
        return next((one.name for one in found if one is not None), None)

    async def find(self, search: str, after: str | None, limit: int, gate: str | None) -> dict[str, Any]:
        """A page of the people whose id or name has `search` in it, in the order of their ids. Raises Problem if no gate answers."""
        everybody, silent = await self._everybody()
        wanted = search.casefold().split()
        found: list[dict[str, Any]] = []
        for person in everybody.behind(after):
            one = everybody.entries[person]
            if all(word in everybody.texts[person] for word in wanted) and (gate is None or gate in one["at"]):
                if len(found) == limit:
                    return {"people": found, "next_after": found[-1]["person"], "silent": silent}
                found.append(one)
        return {"people": found, "next_after": None, "silent": silent}

    async def one(self, person: str) -> dict[str, Any]:
        """One person's record at every gate that knows the person. Raises Problem."""
        command = m.Get(**times(), person=person)
        silent = self._offline()
        try:
            answers = await self._line.ask(command)
        except NoAnswer as error:
            answers = error.answers
            if not answers:
                raise Problem(503, "no_answer", error.message, error.hint) from None
            silent = sorted({*silent, *self._state.statuses} - {answer.gate for answer in answers})
        records = {answer.gate: answer.result.people[0] for answer in answers if answer.result.people}
        if not records:
            refused = [a.result for a in answers if a.result.reason != "unknown_person"]
            if refused:
                raise Problem(502, "refused", f"{answers[0].gate}: {refused[0].reason}: {refused[0].detail}", "see the gate's status")
            raise Problem(404, "unknown_person", "nobody is enrolled under this id", "check the id")
        made = merged(person, records)
        made["consent"] = next((one.consent for one in records.values() if one.consent is not None), None)
        made["records"] = {gate: msgspec.to_builtins(one) for gate, one in records.items()}
        made["silent"] = silent
        return made

    # ---- the lists

    async def _everybody(self) -> "tuple[Everybody, list[str]]":
        self._line.need()
        boxes = self._boxes_now()
        silent = set(self._offline())
        results = await asyncio.gather(*(self._refresh(box) for box in boxes), return_exceptions=True)
        troubles = []
        for box, error in zip(boxes, results, strict=True):
            if isinstance(error, (Problem, NoAnswer)):
                silent.update(box.gates)
                troubles.append(error)
            elif error is not None:
                raise error
        good = [box for box in boxes if box.gates[0] not in silent]
        if not good:
            if troubles and isinstance(troubles[0], Problem):
                raise troubles[0]
            hint = troubles[0].hint if troubles else "see the health of the gates; nobody is online"
            raise Problem(503, "no_answer", "no gate has told who is enrolled", hint)
        async with self._merging:
            key = tuple((box.gates, box.boot_id, box.reads) for box in good)
            if self._all.key != key:
                self._renewed.clear()
                copies = [(box.gates, dict(box.people)) for box in good]
                self._all = await asyncio.to_thread(Everybody, key, copies)
            while self._renewed:
                self._all.renew(self._renewed.pop(), [(box.gates, box.people) for box in good])
        return self._all, sorted(silent)

    def _boxes_now(self) -> list[_Box]:
        """The gates that are online. Those with the same public key are of one daemon, and share their people."""
        groups: dict[tuple[str, str | None], list[str]] = {}
        for gate, seen in sorted(self._state.statuses.items()):
            if seen.online and not seen.is_stale:
                boot_id = seen.said.get("boot_id")
                groups.setdefault((seen.public_key or f"gate {gate}", boot_id if isinstance(boot_id, str) else None), []).append(gate)
        found = {}
        for (_, boot_id), gates in groups.items():
            key = tuple(gates), boot_id
            found[key] = self._boxes.get(key) or _Box(*key)
        self._boxes = found
        return [*found.values()]

    def _offline(self) -> list[str]:
        return sorted(gate for gate, seen in self._state.statuses.items() if not seen.online or seen.is_stale)

    async def _refresh(self, box: _Box) -> None:
        """Make the box's list what its gate has now. Raises Problem and NoAnswer; for some seconds also to those who ask again."""
        async with box.lock:
            if box.trouble is not None and time.monotonic() - box.trouble_s < AGAIN_S:
                raise box.trouble
            try:
                await self._mend(box)
                box.trouble = None
            except (Problem, NoAnswer) as error:
                box.trouble, box.trouble_s = error, time.monotonic()
                raise

    async def _mend(self, box: _Box) -> None:
        told = max((seen.gallery_revision for gate in box.gates if (seen := self._state.statuses.get(gate)) is not None), default=-1)
        if box.revision < told or len(box.dirty) > MOST_DIRTY:
            await self._read(box)
        while box.dirty:
            person = box.dirty.pop()
            try:
                result = await self._result(box, m.Get(**times(), person=person))
            except BaseException:
                box.dirty.add(person)
                raise
            box.people.pop(person, None)
            box.people.update((entry.person, entry) for entry in result.people or ())
            self._renewed.add(person)

    async def _read(self, box: _Box) -> None:
        people: dict[str, m.PersonEntry] = {}
        box.dirty.clear()  # who is changed from now on is asked for once more
        after, revision = None, None
        while True:
            result = await self._result(box, m.List(**times(), after=after, limit=PAGE))
            revision = result.gallery_revision if revision is None else revision
            people.update((entry.person, entry) for entry in result.people or ())
            if result.next_after is None or (after is not None and result.next_after <= after):
                break
            after = result.next_after
        box.people, box.revision, box.reads = people, revision, box.reads + 1

    async def _result(self, box: _Box, command: m.Command) -> m.Result:
        for _ in range(PATIENCE):
            (answer,) = await self._line.ask(command, box.speaker)
            result = answer.result
            if result.status == "done" or result.reason == "unknown_person":
                return result
            if result.reason != "too_many":
                break
            await asyncio.sleep(1)
            command = msgspec.structs.replace(command, **times())
        raise Problem(
            502, "refused", f"{answer.gate}: {result.reason}: {result.detail}", "the key of this console needs the ops list and get"
        )


Lists = Sequence[tuple[tuple[str, ...], Mapping[str, m.PersonEntry]]]
"""The gates of each box, and its people."""


class Everybody:
    """The people of all boxes in the order of their ids. `key` says of which lists; `texts` is what is searched."""

    def __init__(self, key: tuple[object, ...], lists: Lists = ()) -> None:
        self.key = key
        records: dict[str, dict[str, m.PersonEntry]] = {}
        for gates, people in lists:
            for person, entry in people.items():
                records.setdefault(person, {}).update(dict.fromkeys(gates, entry))
        self.entries = {person: merged(person, its) for person, its in records.items()}
        self.texts = {person: _text(one) for person, one in self.entries.items()}
        self._ids = sorted(self.entries)

    def behind(self, after: str | None) -> list[str]:
        """The ids behind this one."""
        return self._ids[bisect_right(self._ids, after) :] if after is not None else self._ids

    def renew(self, person: str, lists: Lists) -> None:
        """Take this person's records anew."""
        records = {gate: people[person] for gates, people in lists if person in people for gate in gates}
        if records:
            if person not in self.entries:
                insort(self._ids, person)
            self.entries[person] = merged(person, records)
            self.texts[person] = _text(self.entries[person])
        elif self.entries.pop(person, None) is not None:
            self._ids.remove(person)
            del self.texts[person]


def _text(one: Mapping[str, Any]) -> str:
    return f"{one['person']} {one['name'] or ''}".casefold()


def merged(person: str, records: Mapping[str, m.PersonEntry]) -> dict[str, Any]:
    """A person as several gates know them: the first gate's record, who else knows the person, and whether they say the same."""
    first = next(iter(records.values()))
    said = {tuple(_said(one, name) for name in _SAME) for one in records.values()}
    shown = {name: getattr(first, name) for name in (*_SAME, "enrolled_at")}
    most = max(one.templates for one in records.values())
    return {"person": person, **shown, "templates": most, "at": sorted(records), "differs": len(said) > 1}


def _said(one: m.PersonEntry, name: str) -> object:
    value = getattr(one, name)
    return tuple(sorted(value)) if isinstance(value, list) else value


def other(result: m.Result) -> str | None:
    """Whose face it is already, as a refusal says it: the id is the word behind `as` or `for`, before the semicolon."""
    if result.reason not in ("duplicate_of", "lookalike") or result.detail is None:
        return None
    return result.detail.split(";", 1)[0].rsplit(" ", 1)[-1]
