"""Stories about enrolments that only ask: the gate judges as ever, and nothing changes."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from daemon.commands.desk import Desk
from daemon.core.messages import Result
from daemon.edges.store import Store, open_store
from tests.fixtures.asking import done, refused, send, who
from tests.fixtures.crowds import results
from tests.fixtures.desk import NOW, command, desk, painted, tables
from tests.fixtures.engine_site import Site

ALICE, MORE, BOB, CAROL = painted(100), painted(101), painted(240), painted(170)


@pytest.fixture
def the_desk(store: Store) -> Desk:
    return desk(store, grants=frozenset({"force", "replace"}))


@dataclass
class Asker:
    the_desk: Desk
    folder: Path

    def content(self) -> tuple[Any, ...]:
        """What an enrolment can change: on disk, with the order of commands and the revision, and in memory."""
        return tables(self.folder), dict(self.the_desk.current.people), self.the_desk.current.serving.gallery.templates

    def __call__(self, *arguments: Any, **more: Any) -> Result:
        """The answer to a dry run, which has changed nothing."""
        before = self.content()
        answer = send(self.the_desk, command("enroll", *arguments, dry_run=True, **more))
        assert self.content() == before and answer.barred is None
        return answer.result


@pytest.fixture
def asked(the_desk: Desk, tmp_path: Path) -> Asker:
    return Asker(the_desk, tmp_path)


def test_it_says_what_an_enrolment_would_do_and_does_not_do_it(the_desk: Desk, asked: Asker) -> None:
    new = asked("E1", [ALICE, MORE], name="Alice", gates=["north"], schedule="office")
    assert (new.status, new.reason, new.person, new.gallery_revision) == ("done", "dry_run", "E1", 0)
    assert new.detail == "nothing was changed; it would be: a new person, 2 templates made"
    done(the_desk, command("enroll", "E1", [ALICE]))
    more = asked("E1", [MORE], issued=1)
    assert more.detail == "nothing was changed; it would be: somebody enrolled already, 1 template added"
    assert who(the_desk, 101) == "E1" and the_desk.current.serving.gallery.templates == 1
    same = asked("E1", [ALICE], issued=1)
    assert same.detail is not None and "0 templates added; 1 picture left out" in same.detail
    anew = asked("E1", [CAROL], issued=1, replace=True)
    assert anew.detail is not None and "1 template made, all earlier ones removed" in anew.detail and who(the_desk, 170) is None


def test_it_refuses_for_the_same_reasons_in_the_same_words(the_desk: Desk, asked: Asker) -> None:
    done(the_desk, command("enroll", "E1", [ALICE]))
    done(the_desk, command("revoke", "E7", issued=5))
    for reason, arguments, more in (
        ("no_face", ("E2", [painted()]), {}),
        ("several_faces", ("E2", [painted(100, 240)]), {}),
        ("bad_image", ("E2", [b"GIF89a"]), {}),
        ("inconsistent", ("E1", [BOB]), {}),
        ("inconsistent", ("E2", [ALICE, BOB]), {}),
        ("duplicate_of", ("E2", [ALICE]), {}),
        ("superseded", ("E7", [CAROL]), {}),
        ("unknown_schedule", ("E2", [BOB]), {"schedule": "night"}),
        ("unknown_gate", ("E2", [BOB]), {"gates": ["nowhere"]}),
    ):
        said = asked(*arguments, issued=1, **more)
        really = refused(the_desk, command("enroll", *arguments, issued=1, **more), reason)
        assert (said.status, said.reason, said.detail) == ("refused", really.reason, really.detail), reason
    forced = asked("E2", [ALICE], issued=1, force=True)
    assert (forced.status, forced.reason) == ("done", "dry_run")


def test_it_needs_the_grants_of_the_enrolment(store: Store) -> None:
    bare = desk(store, grants=frozenset())
    for grant in ({"force": True}, {"replace": True}):
        refused(bare, command("enroll", "E1", [ALICE], dry_run=True, **grant), "not_granted")
    refused(bare, command("enroll", "E1", capture={"seconds": 2}, dry_run=True), "not_granted")
    assert done(bare, command("enroll", "E1", [ALICE], dry_run=True)).reason == "dry_run"


def test_the_same_command_gets_the_same_answer_and_another_one_enrols(the_desk: Desk) -> None:
    payload = command("enroll", "E1", [ALICE], issued=5, dry_run=True)
    first = send(the_desk, payload)
    done(the_desk, command("enroll", "E1", [ALICE], issued=1))  # older than the dry run, which has no place in the order
    assert send(the_desk, payload, now=NOW + 10_000).encoded == first.encoded
    # The id is spent: without the flag it is still answered as the dry run was, and enrols nobody.
    done(the_desk, command("revoke", "E1", issued=6))
    bold = json.dumps({**json.loads(payload), "dry_run": False, "issued_at": json.loads(command("ping", issued=7))["issued_at"]}).encode()
    assert send(the_desk, bold).encoded == first.encoded and the_desk.current.people == {}


def test_the_audit_chain_says_that_it_was_a_dry_run(the_desk: Desk, store: Store) -> None:
    done(the_desk, command("enroll", "E1", [ALICE], dry_run=True))
    (record,) = [json.loads(row[1]) for row in store.audit.rows() if isinstance(row[1], bytes) and b'"kind":"command"' in row[1]]
    assert (record["op"], record["status"], record["reason"], record["pseudonym"]) == ("enroll", "done", "dry_run", None)


@pytest.mark.parametrize("flag", ["yes", 1, None])
def test_a_flag_that_is_no_flag_is_malformed(the_desk: Desk, flag: Any) -> None:
    assert send(the_desk, command("enroll", "E1", [ALICE], dry_run=flag)).result.reason == "malformed"
    assert the_desk.current.people == {}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    opened = open_store(tmp_path)
    made = Site(opened)
    made.desk.grants = frozenset({"capture"})
    made.turn()  # the camera is up
    yield made
    opened.close()


def test_it_looks_through_the_gates_own_camera_too(site: Site) -> None:
    site.asks(command("enroll", "E1", capture={"seconds": 2.0}, issued=100.0, dry_run=True))
    told = site.sees(100, times=25)
    assert results([each for each in told if "status" in each]) == [("done", "dry_run")]
    assert [t["decision"] for t in told if "decision" in t] == ["unknown"] and site.current.people == {}


def test_a_dry_run_about_somebody_takes_nothing_from_their_passage(site: Site) -> None:
    site.asks(command("enroll", "E1", [ALICE], issued=100.0))
    assert [t["decision"] for t in site.sees(100, times=8) if "decision" in t] == ["accept"]
    site.asks(command("enroll", "E1", [MORE], issued=101.0, dry_run=True))
    assert [t for t in site.sees(100, times=20) if "decision" in t] == [], "the accept stands"
