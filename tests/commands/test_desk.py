"""Stories about commands: what each does, what it is refused for, and that it is done once."""

import json
from pathlib import Path
from typing import Any

import pytest

from daemon.commands.desk import Desk
from daemon.core.values import Person
from daemon.edges.store import Store, StoreError, open_store
from tests.fixtures.asking import done, refused, send, who
from tests.fixtures.desk import DIMENSION, NOW, at, command, desk, painted, tables
from tests.fixtures.stored import outbox

ALICE, BOB = painted(100), painted(240)
MORE, EVEN_MORE = painted(101), painted(102)
"""Other pictures of Alice: the same picture again would be no further template."""


@pytest.fixture
def the_desk(store: Store) -> Desk:
    return desk(store)


def test_one_photo_enrols_and_a_revocation_erases(the_desk: Desk, tmp_path: Path) -> None:
    result = done(the_desk, command("enroll", "E1", [ALICE], name="Alice", gates=["north"]))
    assert result.gallery_revision == 1 and result.person == "E1"
    assert the_desk.current.people["E1"].name == "Alice" and the_desk.current.serving.gallery.templates == 1
    answer = send(the_desk, command("revoke", "E1", issued=1))
    assert answer.result.status == "done" and answer.barred == "E1"
    assert the_desk.current.people == {} and the_desk.current.serving.gallery.templates == 0
    assert not [r for r in tables(tmp_path) if "Alice" in r]


def test_more_photos_add_templates_and_keep_the_record(the_desk: Desk) -> None:
    done(the_desk, command("enroll", "E1", [ALICE], name="Alice", gates=["north"]))
    done(the_desk, command("enroll", "E1", [MORE, EVEN_MORE], issued=1, consent="form 7"))
    assert the_desk.current.serving.gallery.templates == 3
    person = the_desk.current.people["E1"]
    assert (person.name, person.gates, person.consent) == ("Alice", ("north",), "form 7")


def test_suspend_and_resume_keep_the_templates(the_desk: Desk) -> None:
    done(the_desk, command("enroll", "E1", [ALICE]))
    assert send(the_desk, command("suspend", "E1", issued=1)).barred == "E1"
    assert the_desk.current.people["E1"].suspended and the_desk.current.serving.gallery.templates == 1
    done(the_desk, command("enroll", "E1", [ALICE], issued=2))
    assert the_desk.current.people["E1"].suspended, "more photos do not end a suspension"
    assert send(the_desk, command("resume", "E1", issued=3)).barred is None
    assert not the_desk.current.people["E1"].suspended
    for op in ("suspend", "resume"):
        refused(the_desk, command(op, "E9"), "unknown_person")


@pytest.mark.parametrize(
    ("images", "reason"),
    [
        ([painted()], "no_face"),
        ([painted(100, 240)], "several_faces"),
        ([b"\xff\xd8\xffbroken"], "bad_image"),
        ([b"GIF89a"], "bad_image"),
        ([ALICE[: len(ALICE) // 2]], "bad_image"),
        ([ALICE, BOB], "inconsistent"),
        ([ALICE, painted()], "no_face"),
    ],
)
def test_a_bad_photo_is_refused_and_changes_nothing(the_desk: Desk, tmp_path: Path, images: list[bytes], reason: str) -> None:
    before = tables(tmp_path)
    refused(the_desk, command("enroll", "E1", images), reason)
    assert the_desk.current.people == {} and the_desk.current.serving.gallery.templates == 0 and tables(tmp_path) == before


def test_nobodys_face_is_added_to_somebody_elses_record(the_desk: Desk) -> None:
    done(the_desk, command("enroll", "E1", [ALICE]))
    refused(the_desk, command("enroll", "E1", [BOB], issued=1), "inconsistent")
    assert who(the_desk, 240) is None


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "malformed"),
        (b"\xff\xfe", "malformed"),
        (b"[" * 100_000, "malformed"),
        (b"null", "malformed"),
        (command("fly"), "malformed"),
        (command("enroll", "E1", []), "malformed"),
        (command("enroll", "E1", [ALICE], salary=3), "malformed"),
        (command("enroll", "../etc", [ALICE]), "malformed"),
        (command("enroll", "E1", [ALICE]).replace(b'"issued_at": "2', b'"issued_at": "x'), "malformed"),
        (command("revoke"), "malformed"),
        (command("get"), "malformed"),
        (command("enroll", "E1"), "malformed"),
        (command("enroll", "E1", [ALICE], capture={"seconds": 5}), "malformed"),
        (command("enroll", "E1", capture={"seconds": 0.5}), "malformed"),
        (command("enroll", "E1", capture={"seconds": 31}), "malformed"),
        (command("enroll", "E1", [ALICE], force="yes"), "malformed"),
        (command("update", "E1"), "malformed"),
        (command("update", "E1", gates=[]), "malformed"),
        (b"x" * 10_000_000, "too_large"),
    ],
)
def test_what_is_no_command_gets_one_answer_and_changes_nothing(the_desk: Desk, tmp_path: Path, payload: bytes, reason: str) -> None:
    before = tables(tmp_path)
    refused(the_desk, payload, reason)
    assert tables(tmp_path) == before


def test_a_malformed_command_is_answered_by_its_id_and_may_be_mended(the_desk: Desk) -> None:
    payload = json.loads(command("enroll", "E1", [ALICE]))
    bad = json.dumps({**payload, "salary": 3}).encode()
    assert refused(the_desk, bad, "malformed").command_id == payload["command_id"]
    done(the_desk, json.dumps(payload).encode())


def test_a_command_delivered_twice_is_done_once_and_answered_the_same(the_desk: Desk, store: Store) -> None:
    payload = command("enroll", "E1", [ALICE])
    first, again = send(the_desk, payload), send(the_desk, payload, now=NOW + 10_000)
    assert first.encoded == again.encoded and the_desk.current.serving.gallery.templates == 1
    assert [m.payload for m in outbox(store)] == [first.encoded] * 2


def test_a_refusal_is_repeated_too(the_desk: Desk) -> None:
    payload = command("enroll", "E1", [painted()])
    assert send(the_desk, payload).encoded == send(the_desk, payload).encoded


def test_a_retained_command_is_refused(the_desk: Desk) -> None:
    refused(the_desk, command("enroll", "E1", [ALICE]), "retained", retained=True)
    assert the_desk.current.people == {}


@pytest.mark.parametrize("op", ["enroll", "resume", "update", "list", "get", "ping"])
def test_late_commands_are_refused(the_desk: Desk, op: str) -> None:
    person = None if op in ("list", "ping") else "E1"
    more: dict[str, Any] = {"images": [ALICE]} if op == "enroll" else {"name": "A"} if op == "update" else {}
    refused(the_desk, command(op, person, **more), "expired", now=NOW + 60)
    refused(the_desk, command(op, person, life=601, **more), "expires_too_late")
    refused(the_desk, command(op, person, issued=300, **more), "from_the_future")


def test_it_is_never_too_late_to_shut_somebody_out(the_desk: Desk) -> None:
    done(the_desk, command("enroll", "E1", [ALICE]))
    done(the_desk, command("suspend", "E1", issued=-5000), now=NOW + 9999)
    done(the_desk, command("revoke", "E1", issued=-9000), now=NOW + 9999)
    assert the_desk.current.people == {}


def test_an_older_enrolment_does_not_undo_a_newer_revocation(the_desk: Desk) -> None:
    late = command("enroll", "E1", [ALICE], issued=0)
    done(the_desk, command("revoke", "E1", issued=5))
    refused(the_desk, late, "superseded")
    done(the_desk, command("enroll", "E1", [ALICE], issued=6))
    refused(the_desk, command("resume", "E1", issued=5.5), "superseded")


@pytest.mark.parametrize("op", ["enroll", "resume", "update"])
def test_the_order_is_that_of_issue_also_after_a_revocation(the_desk: Desk, op: str) -> None:
    more: dict[str, Any] = {"images": [ALICE]} if op == "enroll" else {"name": "A"} if op == "update" else {}
    done(the_desk, command("enroll", "E1", [ALICE], issued=1))
    done(the_desk, command("update", "E1", name="Alice", issued=5))
    refused(the_desk, command(op, "E1", issued=4, **more), "superseded")
    done(the_desk, command("revoke", "E1", issued=6))
    refused(the_desk, command(op, "E1", issued=5.5, **more), "superseded")
    assert the_desk.current.people == {}


def test_a_clock_that_stepped_back_lets_no_old_command_in(the_desk: Desk) -> None:
    old = command("enroll", "E1", [ALICE], issued=0)
    done(the_desk, command("enroll", "E2", [BOB], issued=3000), now=NOW + 3001)
    refused(the_desk, old, "expired", now=NOW + 1)
    done(the_desk, command("enroll", "E1", [ALICE], issued=3010), now=NOW + 1)


def test_neither_our_clock_nor_a_senders_alone_makes_later_commands_look_late(the_desk: Desk) -> None:
    done(the_desk, command("revoke", "E9", issued=10**9))
    done(the_desk, command("revoke", "E9", issued=1), now=NOW + 10**9)
    done(the_desk, command("enroll", "E1", [ALICE], issued=1))


def test_a_revocation_from_next_year_does_not_shut_out_until_then(the_desk: Desk) -> None:
    done(the_desk, command("revoke", "E1", issued=10**7))
    refused(the_desk, command("enroll", "E1", [ALICE], issued=59), "superseded", now=NOW + 59)
    done(the_desk, command("enroll", "E1", [ALICE], issued=70), now=NOW + 70)


def test_everything_is_there_after_a_restart(the_desk: Desk, store: Store, tmp_path: Path) -> None:
    payload = command("enroll", "E1", [ALICE], name="Alice")
    answer = send(the_desk, payload)
    store.close()
    again = open_store(tmp_path)
    try:
        assert [p.name for p in again.people()] == ["Alice"] and len(again.templates()) == 1
        assert send(desk(again), payload, NOW + 2).encoded == answer.encoded
    finally:
        again.close()


def test_the_list_comes_in_pages_and_shows_no_vectors(the_desk: Desk) -> None:
    for number in range(5):
        done(the_desk, command("enroll", f"E{number}", [painted(100 + 30 * number)]))
    first = done(the_desk, command("list", limit=3))
    assert [p.person for p in first.people or []] == ["E0", "E1", "E2"] and first.next_after == "E2"
    second = done(the_desk, command("list", limit=3, after="E2"))
    assert [(p.person, p.templates, p.state) for p in second.people or []] == [("E3", 1, "active"), ("E4", 1, "active")]
    assert second.next_after is None


def test_an_update_changes_the_record_and_not_the_templates(the_desk: Desk, store: Store) -> None:
    done(the_desk, command("enroll", "E1", [ALICE], name="Alice", gates=["north"], valid_until=at(NOW + 99), consent="form 7"))
    done(the_desk, command("update", "E1", name="Alicia", gates=None, valid_until=at(NOW + 50), issued=1))
    person = the_desk.current.people["E1"]
    assert (person.name, person.gates, person.valid_until, person.consent) == ("Alicia", None, NOW + 50, "form 7")
    assert store.people() == [person] and the_desk.current.serving.gallery.templates == 1
    refused(the_desk, command("update", "E2", name="Bob", issued=1), "unknown_person")


def test_a_schedule_is_one_of_the_configuration_and_can_be_changed_and_cleared(the_desk: Desk, store: Store) -> None:
    refused(the_desk, command("enroll", "E1", [ALICE], schedule="night"), "unknown_schedule")
    done(the_desk, command("enroll", "E1", [ALICE], schedule="office"))
    done(the_desk, command("enroll", "E1", [ALICE], issued=1))
    assert the_desk.current.people["E1"].schedule == "office"
    refused(the_desk, command("update", "E1", schedule="night", issued=2), "unknown_schedule")
    (one,) = done(the_desk, command("get", "E1")).people or []
    assert one.schedule == "office" and store.people() == [the_desk.current.people["E1"]]
    done(the_desk, command("update", "E1", schedule=None, issued=3))
    assert the_desk.current.people["E1"].schedule is None


def test_get_tells_one_persons_record(the_desk: Desk) -> None:
    done(the_desk, command("enroll", "E1", [ALICE, MORE], name="Alice", consent="form 7"))
    done(the_desk, command("enroll", "E2", [BOB]))
    (one,) = done(the_desk, command("get", "E1")).people or []
    assert (one.person, one.name, one.templates, one.state, one.consent) == ("E1", "Alice", 2, "active", "form 7")
    refused(the_desk, command("get", "E3"), "unknown_person")


@pytest.mark.parametrize("op", ["enroll", "replace", "update", "resume", "suspend", "revoke"])
def test_memory_follows_the_store_and_leads_only_to_shut_somebody_out(store: Store, monkeypatch: pytest.MonkeyPatch, op: str) -> None:
    the_desk = desk(store, grants=frozenset({"replace"}))
    done(the_desk, command("enroll", "E1", [ALICE], name="Alice"))
    if op == "resume":
        done(the_desk, command("suspend", "E1", issued=1))
    gallery, people = the_desk.current.serving.gallery, the_desk.current.people
    before = dict(people), gallery.templates, who(the_desk, 100), who(the_desk, 240)
    seen = []

    def fail(self: Store, command_id: str, result: bytes, now: float) -> None:
        seen.append((dict(people), gallery.templates, who(the_desk, 100), who(the_desk, 240)))
        raise StoreError("the gallery cannot be written: database or disk is full", "look at the disk")

    what: dict[str, Any] = {"enroll": {"images": [ALICE]}, "replace": {"images": [BOB], "replace": True}, "update": {"name": "Alicia"}}
    payload = command("enroll" if op == "replace" else op, "E1", issued=2, **what.get(op, {}))
    with monkeypatch.context() as disk:
        disk.setattr(Store, "put_result", fail)
        answer = send(the_desk, payload)
    assert seen == [before], "while it is written nothing has changed in memory"
    assert (answer.result.reason, answer.durable) == ("not_durable", False)
    shut_out = op in ("suspend", "revoke")
    assert answer.barred == ("E1" if shut_out else None) and ("not yet on disk" in str(answer.result.detail)) == shut_out
    if op == "revoke":
        assert people == {} and gallery.templates == 0
    elif op == "suspend":
        assert people["E1"].suspended
    else:
        assert (dict(people), gallery.templates, who(the_desk, 100), who(the_desk, 240)) == before
    assert send(the_desk, payload).result.status == "done", "and it is done when the disk works"


class FullDisk:
    """Makes every write of a store fail, as a full disk does."""

    def __init__(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(self: Store) -> None:
            raise StoreError("the gallery cannot be written: database or disk is full", "look at the disk")

        monkeypatch.setattr(Store, "transaction", fail)


def test_a_full_disk_refuses_enrolments_and_still_shuts_people_out(the_desk: Desk, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    done(the_desk, command("enroll", "E1", [ALICE]))
    done(the_desk, command("enroll", "E2", [BOB]))
    FullDisk(store, monkeypatch)
    enrolled = send(the_desk, command("enroll", "E3", [painted(170)]))
    assert (enrolled.result.status, enrolled.result.reason, enrolled.durable) == ("failed", "not_durable", False)
    assert "E3" not in the_desk.current.people and who(the_desk, 170) is None
    revoked = send(the_desk, command("revoke", "E1", issued=1))
    assert (revoked.result.status, revoked.durable, revoked.barred) == ("failed", False, "E1")
    assert "E1" not in the_desk.current.people and who(the_desk, 100) is None
    suspended = send(the_desk, command("suspend", "E2", issued=1))
    assert not suspended.durable and the_desk.current.people["E2"].suspended
    monkeypatch.undo()
    assert the_desk.current.serving.gallery.dimension == DIMENSION


def test_a_revocation_that_hits_nobody_says_so_and_is_in_force(the_desk: Desk) -> None:
    assert done(the_desk, command("revoke", "E1", issued=5)).reason == "nobody_enrolled"
    refused(the_desk, command("enroll", "E1", [ALICE]), "superseded")
    done(the_desk, command("enroll", "E1", [ALICE], issued=6))
    assert done(the_desk, command("revoke", "E1", issued=7)).reason is None


def test_a_revocation_of_somebody_whose_record_does_not_open_hits_somebody(store: Store) -> None:
    with store.transaction():
        store.put_person(Person("E1"))
        store.database.execute("UPDATE people SET sealed = zeroblob(64)")
    the_desk = desk(store)
    assert the_desk.current.people == {}
    assert done(the_desk, command("revoke", "E1")).reason is None
    assert not store.holds("E1")


@pytest.mark.parametrize("gate", ["nort", "North", "north\n", "all", "", "+"])
def test_a_gate_that_is_not_configured_is_refused_and_changes_nothing(the_desk: Desk, tmp_path: Path, gate: str) -> None:
    done(the_desk, command("enroll", "E1", [ALICE], gates=["north", "south"]))
    before = tables(tmp_path)
    for payload in (command("enroll", "E2", [BOB], gates=["north", gate]), command("update", "E1", gates=[gate], issued=1)):
        assert "it has NORTH, north, south, vault" in str(refused(the_desk, payload, "unknown_gate").detail)
    assert tables(tmp_path) == before
