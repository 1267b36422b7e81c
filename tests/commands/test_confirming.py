"""Stories about photos that open no gate before its camera has seen the person: brightness is the face, and a morph lies between two.

To these gates 100 and 120 are two people, and both match 110.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from prometheus_client import generate_latest

from daemon.config import EnrolmentConfig
from daemon.core.values import Person
from daemon.edges.store import Store, open_store
from daemon.edges.store.records import PersonRecord, Sealer
from daemon.edges.store.vault import Vault
from tests.fixtures.crowds import results
from tests.fixtures.desk import command, painted
from tests.fixtures.engine_site import CONFIG, Site

ADA, BEN, MORPH, STRANGER = 100, 120, 110, 240
CONFIRM = replace(CONFIG, enrolment=EnrolmentConfig(confirm="capture"))

Opened = Callable[..., Site]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    stores: list[Store] = []

    def make(**options: Any) -> Site:
        for earlier in stores:
            earlier.close()
        stores.append(open_store(tmp_path))
        site = Site(stores[-1], **{"config": CONFIRM, **options})
        site.desk.grants = frozenset({"capture", "replace"})
        site.turn()
        return site

    yield make
    for each in stores:
        each.close()


def enroll(site: Site, person: str, face: int, **more: Any) -> list[dict[str, Any]]:
    return site.asks(command("enroll", person, [painted(face)], issued=site.now_s, **more))


def capture(site: Site, person: str, face: int, **more: Any) -> tuple[str, str | None]:
    site.asks(command("enroll", person, capture={"seconds": 1}, issued=site.now_s, **more))
    (result,) = results(site.sees(face, times=12))
    site.sees(None, times=12)
    return result


def decided(site: Site, face: int) -> tuple[str, str]:
    told = [t for t in site.sees(face, times=12) if "decision" in t]
    site.sees(None, times=12)
    return told[-1]["decision"], told[-1]["reason"]


def state(site: Site, person: str) -> str:
    (answer,) = site.asks(command("get", person, issued=site.now_s))
    return str(answer["people"][0]["state"])


def test_without_it_a_morph_lets_two_people_in(opened: Opened) -> None:
    site = opened(config=CONFIG)
    assert results(enroll(site, "E1", MORPH)) == [("done", None)]
    assert decided(site, ADA) == decided(site, BEN) == ("accept", "matched") and state(site, "E1") == "active"


def test_a_photo_alone_opens_no_gate_and_a_capture_leaves_only_whom_the_camera_saw(opened: Opened) -> None:
    site = opened()
    (answer,) = enroll(site, "E1", MORPH)
    assert answer["status"] == "done" and "unconfirmed" in answer["detail"] and state(site, "E1") == "unconfirmed"
    assert decided(site, ADA) == decided(site, BEN) == decided(site, MORPH) == ("reject", "unconfirmed")
    assert capture(site, "E1", ADA) == ("done", None) and state(site, "E1") == "active"
    assert decided(site, ADA) == ("accept", "matched")
    assert decided(site, BEN) == ("unknown", "no_match")


def test_the_camera_must_see_the_person_of_the_photo(opened: Opened) -> None:
    site = opened()
    enroll(site, "E1", ADA)
    assert capture(site, "E1", STRANGER) == ("refused", "inconsistent") and state(site, "E1") == "unconfirmed"
    assert decided(site, STRANGER) == ("unknown", "no_match") and decided(site, ADA) == ("reject", "unconfirmed")


def test_nothing_but_a_capture_confirms(opened: Opened) -> None:
    site = opened()
    enroll(site, "E1", ADA)
    site.asks(command("suspend", "E1", issued=site.now_s))
    assert state(site, "E1") == "suspended"
    site.asks(command("resume", "E1", issued=site.now_s))
    assert state(site, "E1") == "unconfirmed"
    site.asks(command("update", "E1", issued=site.now_s, name="Ada"))
    enroll(site, "E1", ADA)
    enroll(site, "E1", BEN, replace=True)
    assert state(site, "E1") == "unconfirmed" and decided(site, BEN) == ("reject", "unconfirmed")


def test_more_photos_make_a_confirmed_record_unconfirmed_at_once(opened: Opened) -> None:
    site = opened()
    assert capture(site, "E1", ADA) == ("done", None) and state(site, "E1") == "active"
    assert [t["decision"] for t in site.sees(ADA, times=12) if "decision" in t] == ["accept"]
    enroll(site, "E1", MORPH)
    told = [t for t in site.sees(ADA, times=12) if "decision" in t]
    assert [(t["decision"], t["reason"]) for t in told] == [("reject", "unconfirmed")]
    assert told[0]["supersedes"], "though they still stand there"
    assert capture(site, "E1", ADA) == ("done", None) and decided(site, BEN) == ("unknown", "no_match")


def test_it_outlives_a_restart_and_the_key(opened: Opened) -> None:
    enroll(opened(), "E1", ADA)
    assert decided(opened(), ADA) == ("reject", "unconfirmed")
    off = opened(config=CONFIG)
    assert decided(off, ADA) == ("reject", "unconfirmed")
    enroll(off, "E1", ADA)
    assert state(off, "E1") == "unconfirmed", "only a capture confirms"
    assert capture(off, "E1", ADA) == ("done", None) and decided(off, ADA) == ("accept", "matched")


def test_who_was_enrolled_before_the_key_was_set_stays_as_they_are(opened: Opened) -> None:
    enroll(opened(config=CONFIG), "E1", ADA)
    assert decided(opened(), ADA) == ("accept", "matched")


def test_a_person_who_is_revoked_and_enrolled_again_is_unconfirmed_again(opened: Opened) -> None:
    site = opened()
    capture(site, "E1", ADA)
    site.asks(command("revoke", "E1", issued=site.now_s))
    enroll(site, "E1", ADA)
    assert decided(site, ADA) == ("reject", "unconfirmed")


def test_a_record_from_before_there_was_such_a_state_opens_as_confirmed() -> None:
    sealer = Sealer(Vault(bytes(32)))
    record = msgspec.to_builtins(PersonRecord(b"e" * 16, Person("E1", suspended=True), "p"))
    del record["person"]["unconfirmed"]
    sealed = sealer.vault.seal(msgspec.msgpack.encode(record | {"enrolment": b"e" * 16}), 2, "people", "E1")
    assert sealer.open_person(sealed, "E1").person == Person("E1", suspended=True)


# ---- and where no camera is asked to confirm


def test_two_people_whom_a_morph_lets_in_are_noticed_and_said_until_the_record_is_mended(opened: Opened) -> None:
    """To these gates people less alike than 0.99 are two."""
    site = opened(config=CONFIG)
    enroll(site, "E1", MORPH)
    for face in (ADA, BEN, ADA):
        assert decided(site, face) == ("accept", "matched")
        assert not [reason for reason in site.status()["reasons"] if "two_faces" in reason]
    assert decided(site, BEN) == ("accept", "matched")
    (reason,) = [reason for reason in site.status()["reasons"] if "two_faces" in reason]
    assert "E1" in reason and site.status()["state"] == "degraded"
    assert 'ostiary_two_faces_total{gate="north"} 1.0' in generate_latest(site.engine.metrics._registry).decode()
    enroll(site, "E1", ADA, replace=True)
    assert not [reason for reason in site.status()["reasons"] if "two_faces" in reason]


def test_one_person_is_no_two_however_often_they_come(opened: Opened) -> None:
    site = opened(config=CONFIG)
    enroll(site, "E1", ADA)
    for face in (ADA, ADA + 8, ADA - 2, ADA + 8) * 2:
        assert decided(site, face) == ("accept", "matched")
    assert site.gate.keeper.doubles.found == set()


def test_the_face_of_somebody_who_is_revoked_while_they_stand_there_is_not_remembered(opened: Opened) -> None:
    site = opened(config=CONFIG)
    enroll(site, "E1", ADA)
    assert [t["decision"] for t in site.sees(ADA, times=12) if "decision" in t] == ["accept"]
    site.asks(command("revoke", "E1", issued=site.now_s))
    site.sees(None, times=12)
    assert site.gate.keeper.doubles.faces == {}
