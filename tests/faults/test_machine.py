"""Any sequence of commands, searches and restarts, against a dictionary and numpy. `make faults` tries many more than CI.

With changes of model among them: tests/commands/test_reembedding_machine.py.
"""

import os
import shutil
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from daemon.commands.answers import Answer
from daemon.core.people.policy import forbids
from daemon.core.values import Reason
from daemon.edges.store import Store, StoreError, open_store
from tests.faults.faces import DIMENSION, KEEP, PICTURES, STANDARDS, THRESHOLD, VECTORS, desk_of, need_same_answers, picture, vector_of
from tests.fixtures.desk import NOW, TOPIC, command

EXAMPLES = max(1, int(os.environ.get("OSTIARY_FAULTS", "1000")) // 25)
"""40, or 800 for `make faults`."""

FEW_FACES = 6
PEOPLE = st.sampled_from(["E1", "E2", "E3", "E4"])
ANY = st.integers(0, 11)
"""Somebody who is enrolled, mostly: see `AgainstADictionary.who`."""
FACES = st.integers(0, FEW_FACES - 1)
PICTURE_SETS = st.lists(st.integers(0, PICTURES - 1), min_size=1, max_size=3, unique=True)
GATES = st.sampled_from([None, ["north"], ["south"]])
NAMES = st.sampled_from([None, "Ada", "Bob"])


@dataclass(frozen=True)
class Held:
    """What must be held of one person; `vectors` in the order of their numbers."""

    vectors: tuple[bytes, ...]
    name: str | None = None
    gates: tuple[str, ...] | None = None
    suspended: bool = False

    @property
    def matrix(self) -> np.ndarray:
        return np.frombuffer(b"".join(self.vectors), np.float32).reshape(-1, DIMENSION)


@dataclass
class Truth:
    """The dictionary. `issued` is the newest time each person's commands were made, also of those who are gone."""

    held: dict[str, Held] = field(default_factory=dict)
    issued: dict[str, float] = field(default_factory=dict)
    answers: dict[str, tuple[bytes, bytes]] = field(default_factory=dict)

    def refusal(self, person: str, face: int, pictures: list[int], replacing: bool, force: bool) -> str | None:
        """Why these pictures of one face must not become templates of `person`, None where they must."""
        new, mine = VECTORS[face, pictures], self.held.get(person)
        if mine is not None and not replacing:
            near = new @ mine.matrix.T
            if not ((near.max(1) >= STANDARDS.known) & ((near >= STANDARDS.alike).mean(1) >= 0.5)).all():
                return "inconsistent"
        others = max((float((new @ h.matrix.T).max()) for p, h in self.held.items() if p != person), default=-1.0)
        if not force and others >= THRESHOLD:
            return "duplicate_of" if others >= 0.95 else "lookalike"
        return None


class AgainstADictionary(RuleBasedStateMachine):
    """Everything goes through the desk, as MQTT would bring it; store, vault and gallery are the real ones."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ostiary-machine-"))
        self.truth, self.now = Truth(), NOW
        self.open()
        for face, person in enumerate(("E1", "E2")):
            self.enrol_one(person, face, [0], None, None, False, False)

    def open(self) -> None:
        self.store: Store = open_store(self.folder)
        self.store.database.connection.execute("PRAGMA synchronous = OFF")  # no power is cut here
        self.desk = desk_of(self.store)

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.folder)

    def send(self, op: str, person: str | None = None, images: list[bytes] | None = None, **more: Any) -> Answer:
        """A command of a second later, and its answer, which is kept to be asked for again."""
        self.now += 1
        payload = command(op, person, images, now=self.now, **more)
        answer = self.desk.handle("north", "t", payload, False, self.now, TOPIC)
        assert isinstance(answer, Answer) and answer.durable
        if op not in ("get", "list"):
            assert answer.result.command_id is not None
            self.truth.answers[answer.result.command_id] = payload, answer.encoded
        return answer

    def applied(self, person: str, held: Held | None) -> None:
        self.truth.issued[person] = self.now
        if held is None:
            self.truth.held.pop(person, None)
        else:
            self.truth.held[person] = held

    # ---- commands that let in

    def who(self, number: int) -> str:
        """Number 11 is nobody who is known."""
        known = sorted(self.truth.held)
        return known[number % len(known)] if known and number < 11 else "E9"

    @rule(person=PEOPLE, face=FACES, pictures=PICTURE_SETS, name=NAMES, gates=GATES, replacing=st.booleans(), force=st.booleans())
    def enrol(
        self, person: str, face: int, pictures: list[int], name: str | None, gates: list[str] | None, replacing: bool, force: bool
    ) -> None:
        """A new person, another face on a record, or one of the reasons why not."""
        self.enrol_one(person, face, pictures, name, gates, replacing, force)

    @rule(any_one=ANY, pictures=PICTURE_SETS, name=NAMES)
    def add(self, any_one: int, pictures: list[int], name: str | None) -> None:
        """More pictures of somebody who is known."""
        person = self.who(any_one)
        if person in self.truth.held:
            nearest = VECTORS[:, 0] @ self.truth.held[person].matrix[0]
            self.enrol_one(person, int(nearest.argmax()), pictures, name, None, False, False)

    def enrol_one(
        self, person: str, face: int, pictures: list[int], name: str | None, gates: list[str] | None, replacing: bool, force: bool
    ) -> None:
        said: dict[str, Any] = {k: v for k, v in (("name", name), ("gates", gates)) if v is not None}
        refusal = self.truth.refusal(person, face, pictures, replacing, force)
        images = [picture(face, n) for n in pictures]
        answer = self.send("enroll", person, images, replace=replacing, force=force, **said)
        assert (answer.result.status, answer.result.reason) == (("refused", refusal) if refusal else ("done", None))
        if refusal:
            return
        before = self.truth.held.get(person)
        vectors = tuple(dict.fromkeys(VECTORS[face, n].tobytes() for n in pictures))  # the same picture is one template
        if before is not None and not replacing:
            vectors = self.best(person, before.vectors, tuple(vector for vector in vectors if vector not in before.vectors))
        held = replace(before, vectors=vectors) if before is not None else Held(vectors)
        if name is not None:
            held = replace(held, name=name)
        self.applied(person, held if gates is None else replace(held, gates=tuple(gates)))

    def best(self, person: str, old: tuple[bytes, ...], new: tuple[bytes, ...]) -> tuple[bytes, ...]:
        """All, or where these are too many any KEEP of them with the first: which they are is test_enrol's business."""
        if len(old) + len(new) <= KEEP:
            return old + new
        stored = tuple(vector_of(t).tobytes() for t in self.store.templates_of(person))
        assert len(stored) == KEEP and stored[0] == old[0] and set(stored) <= {*old, *new}
        return stored

    @rule(any_one=ANY)
    def resume(self, any_one: int) -> None:
        self.change("resume", self.who(any_one), suspended=False)

    # ---- commands that shut out

    @rule(any_one=ANY)
    def suspend(self, any_one: int) -> None:
        self.change("suspend", self.who(any_one), suspended=True)

    @rule(any_one=ANY)
    def revoke(self, any_one: int) -> None:
        person = self.who(any_one)
        before = self.truth.held.get(person)
        assert self.send("revoke", person).result.status == "done"
        self.applied(person, None)
        if before is not None:
            assert person not in {match.person for match in self.desk.current.serving.gallery.search(before.matrix)}

    # ---- others

    @rule(any_one=ANY, name=NAMES, gates=GATES)
    def update(self, any_one: int, name: str | None, gates: list[str] | None) -> None:
        person = self.who(any_one)
        if self.change("update", person, {"name": name, "gates": gates}):
            self.truth.held[person] = replace(self.truth.held[person], name=name, gates=None if gates is None else tuple(gates))

    def change(self, op: str, person: str, told: dict[str, Any] | None = None, **changed: Any) -> bool:
        answer = self.send(op, person, **(told or {}))
        before = self.truth.held.get(person)
        if before is None and op == "suspend":
            self.truth.issued[person] = self.now  # an enrolment that it has overtaken comes too late
        if before is None:
            assert (answer.result.status, answer.result.reason) == ("refused", "unknown_person")
            return False
        assert answer.result.status == "done"
        self.applied(person, replace(before, **changed))
        return True

    @precondition(lambda self: self.truth.issued)
    @rule(data=st.data(), op=st.sampled_from(["enroll", "resume", "update"]), earlier=st.integers(1, 30))
    def an_older_command_that_lets_somebody_in(self, data: st.DataObject, op: str, earlier: int) -> None:
        person = data.draw(st.sampled_from(sorted(self.truth.issued)))
        images = [picture(0, 0)] if op == "enroll" else None
        more = {"name": "Mallory"} if op == "update" else {}
        self.now += 1
        payload = command(op, person, images, now=self.truth.issued[person], issued=-earlier, life=500, **more)
        answer = self.desk.handle("north", "t", payload, False, self.now, TOPIC)
        assert isinstance(answer, Answer)
        late = self.now >= self.truth.issued[person] - earlier + 500
        assert (answer.result.status, answer.result.reason) == ("refused", "expired" if late else "superseded")

    @precondition(lambda self: self.truth.answers)
    @rule(data=st.data(), later=st.sampled_from([0.0, 10.0, 3600.0]))
    def the_same_command_again(self, data: st.DataObject, later: float) -> None:
        payload, encoded = self.truth.answers[data.draw(st.sampled_from(sorted(self.truth.answers)))]
        answer = self.desk.handle("north", "t", payload, False, self.now + later, TOPIC)
        assert isinstance(answer, Answer) and answer.encoded == encoded

    @rule()
    def restart(self) -> None:
        self.store.close()
        self.open()

    @rule()
    def a_second_daemon(self) -> None:
        with pytest.raises(StoreError, match="in use by another daemon"):
            open_store(self.folder)

    # ---- searches

    @rule(face=FACES, number=st.integers(0, PICTURES - 1), seed=st.integers(0, 999), noise=st.sampled_from([0.0, 0.2, 0.6]))
    def search_near_a_face(self, face: int, number: int, seed: int, noise: float) -> None:
        drawn = np.random.default_rng(seed).normal(size=DIMENSION)
        self.search(VECTORS[face, number] + noise * drawn / np.linalg.norm(drawn))

    @rule(seed=st.integers(0, 999))
    def search_for_a_stranger(self, seed: int) -> None:
        self.search(np.random.default_rng(seed).normal(size=DIMENSION))

    def search(self, probe: np.ndarray) -> None:
        """The answer is numpy's, and whom it names may enter just as the record says."""
        probe = np.asarray(probe / np.linalg.norm(probe), np.float32)
        need_same_answers(self.desk.current.serving.gallery, {p: h.matrix for p, h in self.truth.held.items()}, probe[None])
        (match,) = self.desk.current.serving.gallery.search(probe[None])
        if match.person is not None:
            held = self.truth.held[match.person]
            elsewhere = held.gates is not None and "north" not in held.gates
            forbidden = Reason.SUSPENDED if held.suspended else Reason.NOT_PERMITTED_HERE if elsewhere else None
            assert forbids(self.desk.current.people[match.person], "north", self.now, {}, True) == forbidden

    @invariant()
    def the_store_is_the_dictionary(self) -> None:
        held = self.truth.held
        stored: dict[str, tuple[bytes, ...]] = dict.fromkeys(held, ())
        for template in self.store.templates():
            stored[template.person] += (vector_of(template).tobytes(),)
        assert stored == {p: h.vectors for p, h in held.items()}
        for people in (self.store.people(), self.desk.current.people.values()):
            assert {p.person: (p.name, p.gates, p.suspended) for p in people} == {
                p: (h.name, h.gates, h.suspended) for p, h in held.items()
            }
        assert all(self.store.last_issued(p) == issued for p, issued in self.truth.issued.items()) and not self.store.damage()


TestAgainstADictionary = AgainstADictionary.TestCase
TestAgainstADictionary.settings = settings(max_examples=EXAMPLES, stateful_step_count=40, deadline=None, derandomize=EXAMPLES <= 40)
