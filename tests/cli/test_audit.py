"""Stories about the audit chain: what is recorded with what, what is not, and whom a record names."""

import json
import re
import sqlite3
import subprocess
import sys
import textwrap
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from daemon.cli import audit
from daemon.commands.answers import Answer
from daemon.commands.deferred import Deferred
from daemon.commands.desk import Desk
from daemon.commands.order import Order
from daemon.config import Config, OutboxConfig
from daemon.core.audit import read
from daemon.edges.store import KEEP_RESULTS_S, AuditTable, Store, StoreError, open_store
from daemon.serving.retention import REST_S, SLICE, UNPROVED_S, Retention
from tests.conftest import ROOT
from tests.fixtures.desk import NOW, TOPIC, command, desk, painted
from tests.fixtures.engine_site import ALICE as BRIGHT
from tests.fixtures.engine_site import CONFIG, Site
from tests.fixtures.stored import outbox

ALICE, BOB = painted(100), painted(240)
DAY_S = 86_400.0


@pytest.fixture
def the_desk(store: Store) -> Desk:
    return desk(store, grants=frozenset({"replace", "capture"}))


@pytest.fixture
def site(store: Store) -> Site:
    return Site(store)


def records(store: Store) -> list[dict[str, Any]]:
    return [json.loads(raw) for _, raw, _ in store.audit.rows() if isinstance(raw, bytes) and raw]


def send(the_desk: Desk, payload: bytes, retained: bool = False, now: float = NOW + 1) -> Answer:
    answer = the_desk.handle("north", "t", payload, retained, now, TOPIC)
    assert isinstance(answer, Answer)
    return answer


# ---- commands


def test_every_answered_command_is_one_record_and_a_redelivery_none(the_desk: Desk, store: Store) -> None:
    payloads = [
        command("enroll", "E1", [ALICE], name="Alice"),
        command("enroll", "E2", [painted()]),
        command("update", "E1", name="Alicia", issued=1),
        command("suspend", "E1", issued=2),
        command("resume", "E1", issued=3),
        command("resume", "E9"),
        command("list"),
        command("get", "E1"),
        command("ping"),
        command("revoke", "E1", issued=4),
        command("revoke", "E9"),
    ]
    for payload in payloads:
        send(the_desk, payload)
    told = [(r["op"], r["status"], r["reason"]) for r in records(store)]
    assert told == [
        ("enroll", "done", None),
        ("enroll", "refused", "no_face"),
        ("update", "done", None),
        ("suspend", "done", None),
        ("resume", "done", None),
        ("resume", "refused", "unknown_person"),
        ("list", "done", None),
        ("get", "done", None),
        ("ping", "done", None),
        ("revoke", "done", None),
        ("revoke", "done", "nobody_enrolled"),
    ]
    assert [r["command_id"] for r in records(store)] == [json.loads(p)["command_id"] for p in payloads]
    for payload in payloads:
        if json.loads(payload)["op"] not in ("list", "get"):  # questions are answered anew, and that is recorded
            send(the_desk, payload)
    assert len(records(store)) == len(payloads)
    store.audit.verify()


def test_who_a_record_names_and_that_nothing_tells_whom_after_a_revocation(the_desk: Desk, store: Store, tmp_path: Path) -> None:
    send(the_desk, command("enroll", "E1-unmistakable", [ALICE], name="Alice Unmistakable", consent="form Unmistakable"))
    alias = store.pseudonym("E1-unmistakable")
    payloads = [
        command("enroll", "E1-unmistakable", [ALICE], issued=1),
        command("enroll", "E1-unmistakable", [BOB], issued=1),
        command("enroll", "E1-unmistakable", [BOB], issued=2, replace=True),
        command("suspend", "E1-unmistakable", issued=3),
        command("resume", "E1-unmistakable", issued=0),
        command("revoke", "E1-unmistakable", issued=4),
    ]
    for payload in payloads[:-1]:
        send(the_desk, payload)
    (tie,) = store.database.connection.execute("SELECT sealed FROM people").fetchone()
    send(the_desk, payloads[-1])
    assert not any(tie[i : i + 16] in path.read_bytes() for path in tmp_path.iterdir() for i in range(0, len(tie) - 16, 16))
    answers = [store.result(json.loads(payload)["command_id"]) or b"" for payload in payloads]
    assert all(answers) and not [a for a in (*answers, *(m.payload for m in outbox(store))) if str(alias).encode() in a]
    assert alias is not None and [(r["pseudonym"], r["reason"]) for r in records(store)] == [
        (alias, None),
        (alias, None),
        (alias, "inconsistent"),
        (alias, None),
        (alias, None),
        (alias, "superseded"),
        (alias, None),
    ]
    send(the_desk, command("get", "E1-unmistakable"))
    assert records(store)[-1]["pseudonym"] is None and store.pseudonym("E1-unmistakable") is None
    send(the_desk, command("enroll", "E1-unmistakable", [ALICE], issued=5))
    assert records(store)[-1]["pseudonym"] not in (None, alias), "who comes again is somebody new"
    db = sqlite3.connect(tmp_path / "gallery.sqlite")
    chain = b"".join(bytes(r) + bytes(d) for r, d in db.execute("SELECT record, digest FROM audit"))
    db.close()
    for name in ("nmistakable", "Alice", "E1"):
        assert name.encode() not in chain and name.encode("utf-16-le") not in chain


def test_no_file_ties_a_pseudonym_to_a_person_also_not_before_the_revocation(the_desk: Desk, store: Store, tmp_path: Path) -> None:
    """The mapping is in the sealed record alone: its table in the clear is read without the key."""
    send(the_desk, command("enroll", "E1", [ALICE], name="Alice"))
    alias = store.pseudonym("E1") or ""
    db = sqlite3.connect(tmp_path / "gallery.sqlite")
    for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'").fetchall():
        content = b"".join(repr(row).encode() for row in db.execute(f"SELECT * FROM {table}"))
        assert (alias.encode() in content) == (table == "audit"), table
        assert bytes.fromhex(alias) not in b"".join(v for row in db.execute(f"SELECT * FROM {table}") for v in row if isinstance(v, bytes))
    db.close()


@pytest.mark.parametrize("payload", [b"", b"null", b"{}", command("fly"), command("enroll", "E1", [ALICE], salary=3), b"x" * 3_000_000])
def test_what_is_no_command_fills_no_chain(the_desk: Desk, store: Store, payload: bytes) -> None:
    assert send(the_desk, payload).durable and records(store) == []


def test_a_command_that_was_retained_or_came_at_a_bad_time_is_recorded(the_desk: Desk, store: Store) -> None:
    send(the_desk, command("ping"), retained=True)
    waiting = the_desk.handle("north", "t", command("enroll", "E1", capture={"seconds": 2}), False, NOW + 1, TOPIC)
    assert isinstance(waiting, Deferred) and [r["reason"] for r in records(store)] == ["retained"], "it is not answered yet"
    the_desk.refuse(waiting, "no_camera", "none", NOW + 1)
    assert [r["reason"] for r in records(store)] == ["retained", "no_camera"]


class AuditFails:
    """The disk takes everything but the record."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(self: AuditTable, at_s: float, entry: object) -> None:
            raise sqlite3.OperationalError("database or disk is full")

        monkeypatch.setattr(AuditTable, "append", fail)


@pytest.mark.parametrize("op", ["enroll", "update", "suspend", "resume", "revoke", "list", "get", "ping"])
def test_without_its_record_a_command_is_neither_done_nor_answered(
    the_desk: Desk, store: Store, monkeypatch: pytest.MonkeyPatch, op: str
) -> None:
    send(the_desk, command("enroll", "E1", [ALICE], name="Alice"))
    before = (store.people(), store.templates(), store.depth(), store.revision(), store.last_issued("E1"), store.audit.head())
    person = None if op in ("list", "ping") else "E1"
    more: dict[str, Any] = {"images": [ALICE]} if op == "enroll" else {"name": "A"} if op == "update" else {}
    payload = command(op, person, issued=1, **more)
    with monkeypatch.context() as disk:
        AuditFails(disk)
        answer = send(the_desk, payload)
        assert (answer.result.status, answer.durable) == ("failed", False)
        refusal = send(the_desk, command("resume", "E9"))
        assert not refusal.durable
    after = (store.people(), store.templates(), store.depth(), store.revision(), store.last_issued("E1"), store.audit.head())
    assert [str(b) for b in before] == [str(a) for a in after]
    assert store.result(json.loads(payload)["command_id"]) is None
    alias = store.pseudonym("E1")
    assert send(the_desk, payload).result.status == "done"
    assert records(store)[-1]["op"] == op and records(store)[-1]["pseudonym"] == (alias if person else None), (
        "also when memory had gone ahead"
    )


# ---- decisions


def test_a_decision_has_its_record_and_the_start_comes_before_everything(site: Site, store: Store) -> None:
    site.asks(command("enroll", "E1", [ALICE], now=NOW + 100))
    (told,) = site.sees(BRIGHT, times=5)
    start, enrolled, record = records(store)
    assert (start["kind"], start["boot_id"], start["model"]) == ("start", site.engine.boot_id, "painted-1")
    assert enrolled["op"] == "enroll" and record["kind"] == "decision" and told["decision"] == "accept"
    for key in ("event_id", "sequence", "gate", "passage", "supersedes", "decision", "reason", "model", "policy", "gallery_revision"):
        assert record[key] == told[key], key
    assert record["at"] == told["decided_at"] and record["pseudonym"] == store.pseudonym("E1") and record["threshold"] == 0.99
    assert "E1" not in json.dumps(record)


def test_a_stranger_has_no_pseudonym(site: Site, store: Store) -> None:
    (told,) = site.sees(BRIGHT, times=6)
    assert told["decision"] == "unknown" and records(store)[-1]["pseudonym"] is None


def test_without_its_record_a_decision_is_not_published(site: Site, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    site.asks(command("enroll", "E1", [ALICE], now=NOW + 100))
    head = store.audit.head()
    with monkeypatch.context() as disk:
        AuditFails(disk)
        assert site.sees(BRIGHT, times=5) == []
        assert site.status()["state"] == "closed" and store.audit.head() == head and store.depth() == 1, "the answer"
    site.now_s += 5
    site.turn()
    (told,) = site.sees(BRIGHT, times=5)
    assert told["decision"] == "accept" and told["sequence"] == 1 and records(store)[-1]["event_id"] == told["event_id"]


def test_a_start_that_the_disk_does_not_take_closes_the_gate_and_comes_first_when_it_does(
    site: Site, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as disk:
        AuditFails(disk)
        site.turn()
        assert site.status()["state"] == "closed" and records(store) == []
        site.asks(command("suspend", "E1", now=NOW + 100))
    site.now_s += 5
    site.turn()
    site.turn()
    assert site.status()["state"] == "serving" and next(r["kind"] for r in records(store)) == "start"


# ---- the status


def test_the_head_rides_along_and_makes_no_status_of_its_own(site: Site, store: Store) -> None:
    def statuses() -> int:
        return len([m for m in site.wire.sent if m.topic.endswith("status")])

    site.turn()
    assert site.status()["audit"] == {"number": 1, "head": store.audit.head().digest.hex()}
    before = statuses()
    for _ in range(20):
        site.asks(command("ping", now=NOW + 100))
    assert statuses() == before
    site.now_s += 31
    site.turn()
    head = store.audit.head()
    assert statuses() == before + 1 and site.status()["audit"] == {"number": 21, "head": head.digest.hex()} and head.number == 21
    store.audit.verify(bytes.fromhex(site.status()["audit"]["head"]))


def test_a_broken_chain_degrades_the_status_and_closes_no_gate(tmp_path: Path) -> None:
    first = Site(open_store(tmp_path / "s"))
    first.turn()
    first.asks(command("enroll", "E1", [ALICE], now=NOW + 100))
    first.store.close()
    db = sqlite3.connect(tmp_path / "s" / "gallery.sqlite")
    with db:
        db.execute("DELETE FROM audit WHERE number = 2")
    db.close()
    store = open_store(tmp_path / "s")
    again = Site(store)
    again.turn()
    assert again.status()["state"] == "degraded" and "audit_broken: at record 2" in again.status()["reasons"][0]
    assert again.asks(command("ping", now=NOW + 100))[0]["status"] == "done"
    store.close()


# ---- letting go


def test_old_records_go_in_slices_between_the_turns(store: Store) -> None:
    site = Site(store, Config(site="hq", gates=CONFIG.gates, decision=CONFIG.decision, outbox=OutboxConfig(keep_days=1000)))
    site.turn()
    send(site.desk, command("suspend", "E9"))
    for _ in range(SLICE + 300):
        send(site.desk, command("ping"))
    count = len(records(store))
    for _ in range(5):  # the newest time that a command proves
        site.now_s += REST_S + 1
        site.turn()
    assert len(records(store)) == count, "nothing is old"
    later = NOW + 400 * DAY_S
    site.desk.handle("north", "t", command("revoke", "E9", now=later), False, later, TOPIC)
    site.now_s += 400 * DAY_S
    site.turn()
    assert len(records(store)) == count + 1 - SLICE
    site.turn()
    assert len(records(store)) == count + 1 - SLICE, "not in the next turn already"
    site.now_s += 2
    site.turn()
    assert [r["op"] for r in records(store)] == ["revoke"]
    store.audit.verify()


def test_a_clock_that_is_years_ahead_costs_no_records(the_desk: Desk, store: Store) -> None:
    keeper = Retention(store, Order(store), 365 * DAY_S)
    for _ in range(3):
        send(the_desk, command("ping"))
    keeper.tend(0.0, NOW + 4000 * DAY_S)
    assert len(records(store)) == 3, "no command has proved any time"
    send(the_desk, command("revoke", "E1"))
    keeper.tend(REST_S + 1, NOW + 4000 * DAY_S)
    assert len(records(store)) == 4
    later = NOW + 365 * DAY_S - UNPROVED_S + 5
    the_desk.handle("north", "t", command("revoke", "E1", now=later), False, later, TOPIC)
    keeper.tend(2 * REST_S + 2, NOW + 4000 * DAY_S)
    assert len(records(store)) == 1, "but those that are old also by what a command proved"


def test_old_answers_go_too_a_slice_at_a_time(the_desk: Desk, store: Store) -> None:
    send(the_desk, command("revoke", "E1"))
    with store.transaction():
        for number in range(SLICE + 5):
            store.put_result(f"old-{number:04}", b"1", NOW - KEEP_RESULTS_S - 1)
            store.put_result(f"new-{number:04}", b"2", NOW - KEEP_RESULTS_S + 60)

    def left(kind: str) -> int:
        return sum(store.result(f"{kind}-{number:04}") is not None for number in range(SLICE + 5))

    keeper = Retention(store, Order(store), 365 * DAY_S)
    seen = []
    for second in range(6):
        keeper.tend(2.0 * second, NOW)
        seen.append(left("old"))
    gone = [before - after for before, after in pairwise([SLICE + 5, *seen])]
    assert all(0 <= number <= SLICE for number in gone) and sum(number > 0 for number in gone) > 1 and seen[-1] == 0
    assert left("new") == SLICE + 5


def test_records_that_cannot_go_close_nothing(the_desk: Desk, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    send(the_desk, command("revoke", "E1"))

    def fail(*_: object) -> int:
        raise StoreError("the audit chain cannot be read after record 0: malformed", "look at the disk")

    monkeypatch.setattr(AuditTable, "prune", fail)
    Retention(store, Order(store), DAY_S).tend(0.0, NOW + 2 * DAY_S)
    assert len(records(store)) == 1


# ---- the listing


def test_the_listing(the_desk: Desk, store: Store) -> None:
    send(the_desk, command("enroll", "E1", [ALICE]))
    send(the_desk, command("enroll", "E2", [BOB]))
    send(the_desk, command("revoke", "E1", issued=2), now=NOW + DAY_S)
    alias = store.pseudonym("E2")
    shown = list(audit.lines(store))
    assert len(shown) == 3 and alias is not None and alias in shown[1] and "revoke" in shown[2] and "done" in shown[2]
    assert list(audit.lines(store, pseudonym=audit.pseudonym_of(store, "E2"))) == [shown[1]]
    assert list(audit.lines(store, since=audit.instant("2027-01-16"))) == [shown[2]]
    with pytest.raises(StoreError, match="'E1' is not enrolled"):
        audit.pseudonym_of(store, "E1")


def test_the_exact_listing_is_enough_to_follow_the_chain_as_readme_does(the_desk: Desk, store: Store) -> None:
    for _ in range(4):
        send(the_desk, command("ping"))
    listed = list(audit.lines(store, exact=True))
    assert [json.loads(line)["number"] for line in listed] == [0, 1, 2, 3, 4] and json.loads(listed[0])["record"] is None
    assert json.loads(listed[-1])["digest"] == store.audit.head().digest.hex()
    (script,) = re.findall(r"--json \| python3 -c '\n(.*?)'\n", (ROOT / "daemon/README.md").read_text("utf-8"), re.S)

    def follow(lines: list[str]) -> int:
        text = "\n".join(lines) + "\n"
        return subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script)], input=text.encode(), check=False, stderr=subprocess.DEVNULL
        ).returncode

    assert follow(listed) == 0
    assert follow([*listed[:2], listed[2].replace("ping", "list"), *listed[3:]]) == 1
    assert follow([*listed[:2], *listed[3:]]) == 1


def test_records_that_cannot_be_read_are_listed_as_such(the_desk: Desk, store: Store) -> None:
    send(the_desk, command("ping"))
    store.database.connection.execute("UPDATE audit SET record = 'x' WHERE number = 1")
    assert list(audit.lines(store)) == ["       1  cannot be read"]
    assert json.loads(list(audit.lines(store, exact=True))[1])["record"] is None and read("x") is None
    assert list(audit.lines(store, since="2027")) == []
