"""SIGKILL at random instants of enrolling, suspending, revoking, replacing, of a change of keys, a backup and its restoring.

`OSTIARY_FAULTS=20000 pytest -s tests/faults` (or `make faults`) kills 500 times and more; the seed is the same everywhere, the instants
are not.
"""

import json
import os
import random
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from daemon.commands.answers import Answer
from daemon.edges.store import back_up, restore, sealed_file
from tests.faults import children, faces
from tests.faults.children import PASSPHRASE, killed
from tests.faults.faces import KEEP, PICTURES, Oracle, need_equal, open_desk, picture
from tests.fixtures.desk import NOW, TOPIC, command

ROUNDS = int(os.environ.get("OSTIARY_FAULTS", "1000")) // 40
"""Kills of a serving daemon: 25, or 500 for `make faults`. Of everything else there are a third as many."""
IN_ONE_LIFE = 20
"""Rounds before another folder is begun."""
PEOPLE = [f"E{i}" for i in range(10)]

Drawn = tuple[str, str, dict[str, Any], bytes, float]
"""Operation, person, what the oracle needs to know, the payload, and when it comes (UTC seconds)."""


class Stream:
    """Commands as they might come, for what the oracle says is there: all of them can be done."""

    def __init__(self, seed: int) -> None:
        self.random, self.clock = random.Random(seed), NOW

    def draw(self, oracle: Oracle, count: int) -> list[Drawn]:
        ahead, drawn = Oracle(dict(oracle.known)), []
        for _ in range(count):
            drawn.append(self.one(ahead))
            ahead.apply(*drawn[-1][:3])
        return drawn

    def one(self, known: Oracle) -> Drawn:
        self.clock += 1
        person = self.random.choice(PEOPLE)
        before = known.known.get(person)
        op = self.random.choices(["enroll", "suspend", "resume", "update", "revoke"], [5, 2, 2, 2, 2])[0]
        if before is None and op != "revoke":
            op = "enroll"
        if op == "enroll":
            return self.enroll(person, known)
        name = self.random.choice(["Ada", "Bob", None]) if op == "update" else None
        more: dict[str, Any] = {"name": name} if op == "update" else {}
        return op, person, more, command(op, person, now=self.clock, **more), self.clock

    def enroll(self, person: str, known: Oracle) -> Drawn:
        before = known.known.get(person)
        count = self.random.randint(1, 3)
        replacing = before is not None and (len(before.pictures) + count > KEEP or self.random.random() < 0.3)
        if before is None or replacing:
            taken = {k.face for p, k in known.known.items() if p != person}
            face = self.random.choice([f for f in range(faces.FACES) if f not in taken])
        else:
            face = before.face
        more: dict[str, Any] = {"face": face, "pictures": self.random.sample(range(PICTURES), count), "replace": replacing}
        more["name"] = self.random.choice(["Ada", None])
        told = {"replace": replacing} | ({"name": more["name"]} if more["name"] else {})
        payload = command("enroll", person, [picture(face, n) for n in more["pictures"]], now=self.clock, **told)
        return "enroll", person, more, payload, self.clock


def test_what_was_acknowledged_is_there_and_who_was_revoked_is_not(tmp_path: Path) -> None:
    draw, seen = random.Random(7), Counter[str]()
    stream, oracle, folder = Stream(7), Oracle(), tmp_path / "0"
    answered: list[tuple[Drawn, bytes]] = []
    for number in range(ROUNDS):
        if number % IN_ONE_LIFE == 0:
            shutil.rmtree(folder, ignore_errors=True)
            folder, oracle, answered = tmp_path / str(number), Oracle(), []
        commands = stream.draw(oracle, 60)
        sent = killed(children.serve, folder, [drawn[3:] for drawn in commands], after_s=draw.uniform(0.0, 0.3))
        told = [word for word in sent if isinstance(word, tuple)]
        acknowledged = [encoded for word, *_, encoded in told if word == "answer"]
        sequences = [sequence for word, sequence in (t for t in told if t[0] == "decision")]
        desk = open_desk(folder)
        try:
            for drawn, encoded in zip(commands, acknowledged, strict=False):
                assert json.loads(encoded)["status"] == "done", encoded
                oracle.apply(*drawn[:3])
                answered.append((drawn, encoded))
            seen["commands"] += len(acknowledged)
            if len(acknowledged) < len(commands):  # one may be on its way: it is wholly there, with its answer, or not at all
                drawn = commands[len(acknowledged)]
                stored = desk.store.result(json.loads(drawn[3])["command_id"])
                seen["in flight, there" if stored is not None else "in flight, not there"] += 1
                if stored is not None:
                    oracle.apply(*drawn[:3])
                    answered.append((drawn, stored))
                for later in commands[len(acknowledged) + 1 :]:
                    assert desk.store.result(json.loads(later[3])["command_id"]) is None
            need_equal(desk, oracle)
            waiting = [int(m.payload) for m in desk.store.pending("north", 0, 10_000) if m.topic == "decision"]
            assert set(sequences) <= set(waiting) and waiting == sorted(set(waiting)), "decisions"
            for drawn, encoded in draw.sample(answered, min(5, len(answered))):
                again = desk.handle("north", "t", drawn[3], False, drawn[4] + 3600, TOPIC)
                assert isinstance(again, Answer) and again.encoded == encoded, "answers repeat"
            need_equal(desk, oracle)
            desk.store.audit.verify()
            seen["killed while opening"] += "open" not in sent
        finally:
            desk.store.close()
    print(f"\n{ROUNDS} kills, 0 violations:", dict(sorted(seen.items())))  # noqa: T201  (pytest -s)
    assert seen["commands"] > ROUNDS and seen["in flight, not there"]


@pytest.fixture
def lived(tmp_path: Path) -> tuple[Path, Oracle]:
    """A folder with some people in it."""
    stream, oracle = Stream(3), Oracle()
    desk = open_desk(tmp_path / "state")
    for op, person, more, payload, now in stream.draw(oracle, 40):
        answer = desk.handle("north", "t", payload, False, now, TOPIC)
        assert isinstance(answer, Answer) and answer.result.status == "done", answer
        oracle.apply(op, person, more)
    desk.store.close()
    assert len(oracle.known) > 4
    return tmp_path / "state", oracle


def need_lived(folder: Path, oracle: Oracle) -> None:
    desk = open_desk(folder)
    try:
        need_equal(desk, oracle)
    finally:
        desk.store.close()


def test_a_change_of_keys(lived: tuple[Path, Oracle]) -> None:
    folder, oracle = lived
    draw, keys = random.Random(8), set()
    for _ in range(ROUNDS // 3):
        killed(children.rotate, folder, after_s=draw.uniform(0.0, 0.1))
        need_lived(folder, oracle)
        keys.add((folder / "key").read_bytes())
        assert sorted(p.name for p in folder.iterdir()) == ["gallery.sqlite", "key", "lock"]
    print(f"\n{ROUNDS // 3} kills while rotating, {len(keys)} keys")  # noqa: T201
    assert len(keys) > 1


@pytest.fixture
def backup(lived: tuple[Path, Oracle], monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sealed_file, "COST", children.CHEAP)
    back_up(lived[0], lived[0].parent / "b", PASSPHRASE, 1_000.0)
    return lived[0].parent / "b"


def test_a_restoring_into_an_empty_folder(lived: tuple[Path, Oracle], backup: Path) -> None:
    _, oracle = lived
    for op, person in (("suspend", person) for person in list(oracle.known)):
        oracle.apply(op, person, {})
    draw, whole = random.Random(9), 0
    for number in range(ROUNDS // 3):
        folder = backup.parent / f"empty-{number}"
        killed(children.restore_once, folder, backup, after_s=draw.uniform(0.0, 0.12))
        there = (folder / "gallery.sqlite").exists()
        whole += there
        need_lived(folder, oracle if there else Oracle())
        assert sorted(p.name for p in folder.iterdir()) == ["gallery.sqlite", "key", "lock"], "nothing of a half one stays"
        shutil.rmtree(folder)
    print(f"\n{ROUNDS // 3} kills while restoring, {whole} of them too late")  # noqa: T201
    assert whole < ROUNDS // 3


def test_a_restoring_in_place_of_a_gallery(lived: tuple[Path, Oracle], backup: Path) -> None:
    """Somebody revoked since the backup stays away, whichever of the two galleries is there."""
    folder, oracle = lived
    gone, *_ = sorted(oracle.known)
    desk = open_desk(folder)
    desk.handle("north", "t", command("revoke", gone, issued=5_000), False, NOW + 5_000, TOPIC)
    desk.store.close()
    oracle.apply("revoke", gone, {})
    draw, swaps = random.Random(10), 0
    for _ in range(ROUNDS // 3):
        before = (folder / "gallery.sqlite").stat().st_ino
        killed(children.replace_again_and_again, folder, backup, after_s=draw.uniform(0.0, 0.2))
        need_lived(folder, oracle)
        swaps += (folder / "gallery.sqlite").stat().st_ino != before
        for aside in folder.glob("gallery.before-restore-*"):
            aside.unlink()
        journal = folder / "gallery.sqlite-journal"
        if journal.exists():  # it has been played back by the opening, and the next restoring removes it
            assert journal.read_bytes()[:1] in (b"", b"\0")
        assert {p.name for p in folder.iterdir()} - {journal.name} == {"gallery.sqlite", "key", "lock"}
    print(f"\n{ROUNDS // 3} kills while replacing, {swaps} galleries changed")  # noqa: T201


def test_a_backup_over_a_backup(lived: tuple[Path, Oracle], backup: Path) -> None:
    folder, oracle = lived
    draw = random.Random(11)
    for number in range(ROUNDS // 3):
        killed(children.back_up_again_and_again, folder, backup, after_s=draw.uniform(0.0, 0.1))
        other = backup.parent / f"other-{number}"
        restore(other, backup, PASSPHRASE, 5_000.0, active=True)
        need_lived(other, oracle)
        shutil.rmtree(other)
    need_lived(folder, oracle)
