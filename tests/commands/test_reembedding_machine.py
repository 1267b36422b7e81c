"""Any order of enrolments, revocations, changes of model, failing disks and restarts, beside an oracle that is a table.

Each face is what another one looks like to the other model: as soon as vectors of two models meet, somebody is taken for somebody else.
"""

import os
import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from daemon.commands import reembedding
from daemon.core.values import Published
from daemon.edges.store import Store, StoreError, open_store
from tests.fixtures.changes import Box, need_one_model
from tests.fixtures.desk import MODELS

FACES = (75, 180, 110, 145)
"""180 is 75 in the other model's mirror, and 145 is 110."""
PEOPLE = ("E1", "E2", "E3", "E4")
EXAMPLES = max(1, int(os.environ.get("OSTIARY_FAULTS", "1000")) // 40)
"""25, or 500 for `make faults`."""


def full(self: Store) -> None:
    raise StoreError("the gallery cannot be written: database or disk is full", "look at the disk")


class Watched(Box):
    """Its broker takes everything, and it remembers every answer to a change of model: any turn may bring one."""

    def turn(self) -> list[dict[str, Any]]:
        told = super().turn()
        for message in self.wire.sent:
            self.mailbox.deliver(Published("north", message.row))
        self.wire.sent.clear()
        self.changed = [*getattr(self, "changed", ()), *(one for one in told if one.get("op") == "reembed" and one["status"] == "done")]
        return told


class ModelChange(RuleBasedStateMachine):
    box: Watched

    @initialize()
    def open(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.batch = patch.object(reembedding, "BATCH", 1)
        self.page = patch.object(reembedding, "PAGE", 2)
        self.batch.start(), self.page.start()
        self.face_of: dict[str, int] = {}
        self.suspended: set[str] = set()
        self.serves, self.target = "painted-1", ""
        self.clock_s = 100.0
        self.start()

    def start(self) -> None:
        self.box = Watched(open_store(Path(self.folder.name)))
        self.box.issued = self.box.now_s = self.clock_s
        self.box.changed.clear()  # an answer of before, sent again

    def teardown(self) -> None:
        if hasattr(self, "box"):
            self.box.store.close()
            self.batch.stop()
            self.page.stop()
            self.folder.cleanup()

    # ---- people

    @rule(person=st.sampled_from(PEOPLE), face=st.sampled_from(FACES))
    def enrol(self, person: str, face: int) -> None:
        taken = {one: other for other, one in self.face_of.items()}
        answer = self.box.enrol(person, face)
        if person in self.face_of and self.face_of[person] != face:
            assert answer["reason"] == "inconsistent", answer
        elif taken.get(face, person) != person:
            assert answer["reason"] == "duplicate_of", answer
        else:
            assert answer["status"] == "done", answer
            self.face_of[person] = face

    @precondition(lambda self: self.face_of)
    @rule(data=st.data())
    def replace(self, data: st.DataObject) -> None:
        person = data.draw(st.sampled_from(sorted(self.face_of)))
        face = data.draw(st.sampled_from([f for f in FACES if f not in self.face_of.values()] or [self.face_of[person]]))
        assert self.box.enrol(person, face, replace=True)["status"] == "done"
        self.face_of[person] = face

    @rule(person=st.sampled_from(PEOPLE))
    def revoke(self, person: str) -> None:
        assert self.box.ask("revoke", person)[0]["status"] == "done"
        self.face_of.pop(person, None)
        self.suspended.discard(person)

    @rule(person=st.sampled_from(PEOPLE), op=st.sampled_from(["suspend", "resume"]))
    def suspend(self, person: str, op: str) -> None:
        answer = next(one for one in self.box.ask(op, person) if one.get("op") == op)
        assert answer["status"] == ("done" if person in self.face_of else "refused"), answer
        if person in self.face_of:
            (self.suspended.add if op == "suspend" else self.suspended.discard)(person)

    # ---- models

    @precondition(lambda self: not self.target)
    @rule(model=st.sampled_from([*MODELS, None]))
    def ask(self, model: str | None) -> None:
        other = next(one for one in MODELS if one != self.serves)
        self.target = model or other
        self.box.ask("reembed", **({} if model is None else {"model": model}))

    @precondition(lambda self: self.target)
    @rule()
    def another_is_asked_for(self) -> None:
        told = self.box.ask("reembed")
        assert [t["reason"] for t in told if t["status"] == "refused"] == ["busy"]

    @precondition(lambda self: self.target)
    @rule()
    def go_on(self) -> None:
        if self.box.waits:
            self.box.goes_on()
        else:
            self.box.turn()

    # ---- what goes wrong

    @precondition(lambda self: self.target)
    @rule()
    def the_disk_is_full_for_a_turn(self) -> None:
        with patch.object(Store, "transaction", full):
            self.box.goes_on() if self.box.waits else self.box.turn()
        self.box.now_s += 3
        self.box.turn()

    @rule()
    def restart(self) -> None:
        """As after kill -9: nothing is finished, and the change under way is forgotten."""
        self.clock_s = self.box.now_s
        self.box.store.close()
        self.target = ""
        self.start()

    # ---- what must hold

    @invariant()
    def everybody_is_known_by_the_model_that_serves(self) -> None:
        if not hasattr(self, "box"):
            return
        serving, people = self.box.current.serving, self.box.current.people
        if self.box.changed:  # it is over when it is answered, and then the other model serves
            self.box.changed.clear()
            self.serves, self.target = self.target, ""
        assert serving.model.id == self.serves == (self.box.store.serving() or "painted-1")
        assert {person: record.suspended for person, record in people.items()} == {p: p in self.suspended for p in self.face_of}
        need_one_model(self.box)
        for face in FACES:
            (match,) = serving.gallery.search(serving.model.embedder.embed(np.full((1, 112, 112, 3), face, np.uint8)))
            whose = [person for person, one in self.face_of.items() if one == face]
            assert ([match.person] if match.similarity >= 0.98 else []) == whose, (face, match, whose)


ModelChange.TestCase.settings = settings(
    max_examples=EXAMPLES, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True
)
TestModelChange = ModelChange.TestCase
