"""Boxes that share their people through one broker."""

import json
import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.config import WriterConfig
from daemon.core.people import site_keys
from daemon.core.people.roster_head import Head, Part, head_said, made_head
from daemon.core.people.roster_wire import topic
from daemon.core.signing import private_key
from daemon.edges.store import StoreError, back_up, open_store, restore
from daemon.edges.store.database import Database
from tests.fixtures.backups import PASSPHRASE
from tests.fixtures.boxes import SITE, Box, Fleet, fleet
from tests.fixtures.desk import MODELS, command, painted

ALICE, BOB, CAROL = 100, 140, 180


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Fleet]:
    with fleet(tmp_path, persistent=True) as found:
        yield found


def started(site: Fleet, *boxes: Box) -> None:
    for box in boxes:
        box.start()
    site.admit(*boxes)
    for box in boxes:
        box.complete()


def two(site: Fleet) -> tuple[Box, Box]:
    """A keeper and another box, which hold the same."""
    north, south = site.box("north", keeper=True), site.box("south")
    started(site, north, south)
    return north, south


def knows(box: Box, person: str, *, known: bool = True) -> None:
    box.fleet.until(lambda: (person in box.people) is known)


def test_enrolled_at_one_is_accepted_at_all_and_revoked_at_one_at_none(site: Fleet) -> None:
    north, south, vault = site.box("north", keeper=True), site.box("south"), site.box("vault")
    started(site, north, south, vault)
    assert south.do("enroll", "E1", face=ALICE, name="Alice")["status"] == "done"
    for box in (north, south, vault):
        knows(box, "E1")
        assert box.sees(ALICE) == ("accept", "matched", "E1"), box.name
    assert vault.do("suspend", "E1")["status"] == "done"
    for box in (north, south, vault):
        site.until(lambda person=box.people: person["E1"].suspended)  # type: ignore[misc]
        assert box.sees(ALICE) == ("reject", "suspended", "E1"), box.name
    assert north.do("resume", "E1")["status"] == "done"
    for box in (north, south, vault):
        site.until(lambda person=box.people: not person["E1"].suspended)  # type: ignore[misc]
        assert box.accepts(ALICE), box.name
    assert vault.do("revoke", "E1")["status"] == "done"
    for box in (north, south, vault):
        knows(box, "E1", known=False)
        assert box.sees(ALICE)[0] == "unknown", box.name
    site.agree(north, south, vault)
    site.until(lambda: south.status()["roster"]["sum"] == south.sum())
    told = south.status()["roster"]
    assert told["standing"] == "complete" and told["records"] == 3 and told["people"] == told["disputed"] == told["old_key"] == 0


def test_who_was_enrolled_before_the_roster_and_what_was_changed_before_the_keys_came_is_shared(site: Fleet) -> None:
    north, south = site.box("north", keeper=True), site.box("south")
    north.start()
    south.start()
    south.do("enroll", "E1", face=ALICE)
    south.do("enroll", "E2", face=BOB)
    south.do("revoke", "E2")
    site.until(lambda: south.status()["roster"]["standing"] == "no_key")
    assert south.accepts(ALICE), "who is enrolled here passes here, whatever the roster is"
    site.admit(north, south)
    knows(north, "E1")
    site.agree(north, south)
    assert north.accepts(ALICE) and "E2" not in north.people


def test_a_box_that_was_off_catches_up_and_lets_nobody_in_meanwhile_who_was_revoked(site: Fleet) -> None:
    north, south = two(site)
    north.do("enroll", "E1", face=ALICE)
    knows(south, "E1")
    south.stop()
    north.do("revoke", "E1")
    north.do("enroll", "E2", face=BOB)
    site.broker.stop()
    south.start()
    assert south.sees(ALICE) == ("reject", "roster_stale", "E1"), "it has heard nothing since it was off"
    site.broker.start()
    knows(south, "E2")
    knows(south, "E1", known=False)
    site.agree(north, south)
    assert south.accepts(BOB) and not south.accepts(ALICE)


def test_a_box_that_was_wiped_is_built_anew_from_the_broker(site: Fleet) -> None:
    north, south = two(site)
    south.do("enroll", "E1", face=ALICE)
    south.do("enroll", "E2", face=BOB)
    north.do("enroll", "E3", face=CAROL)
    north.do("revoke", "E3")
    knows(north, "E2")
    site.agree(north, south)
    old = site.boxes["south"]
    site.wipe("south")
    anew = site.box("south2")
    for box in (north, anew):
        box.writers = {**site.writers(box.name), "south": WriterConfig(public=old.public)}
    north.restart()
    anew.start()
    site.admit(anew)
    anew.complete()
    site.agree(north, anew)
    assert anew.accepts(ALICE) and anew.accepts(BOB) and anew.sees(CAROL)[0] == "unknown"
    anew.do("revoke", "E1")
    knows(north, "E1", known=False)


def test_a_broker_with_an_old_backup_gets_back_what_it_lost_and_nobody_revoked_is_accepted(site: Fleet, tmp_path: Path) -> None:
    north, south = two(site)
    north.do("enroll", "E1", face=ALICE)
    north.do("enroll", "E2", face=BOB)
    knows(south, "E2")
    site.agree(north, south)
    site.until(lambda: north.dues() == south.dues() == 0)
    site.broker.stop()
    kept = (tmp_path / "mosquitto.db").read_bytes()
    site.broker.start()
    north.do("revoke", "E1")
    south.do("suspend", "E2")
    site.until(lambda: "E1" not in south.people and north.people["E2"].suspended)
    site.agree(north, south)
    site.broker.stop()
    (tmp_path / "mosquitto.db").write_bytes(kept)
    site.broker.start()
    fresh = site.box("vault")
    for box in (north, south):
        box.writers = {}  # all of the fleet
    north.restart()
    fresh.start()
    site.admit(fresh)
    deadline_s = time.monotonic() + 40
    while fresh.standing() != "complete":
        assert time.monotonic() < deadline_s
        assert not fresh.accepts(ALICE)
    assert "E1" not in fresh.people and fresh.people["E2"].suspended
    assert not fresh.accepts(ALICE) and fresh.sees(BOB) == ("reject", "suspended", "E2")
    site.agree(north, south, fresh)


def test_without_the_keeper_people_of_other_boxes_are_rejected_and_own_people_go_on(site: Fleet) -> None:
    north, south = site.box("north", keeper=True, head_life_s=60.0), site.box("south")
    started(site, north, south)
    north.do("enroll", "E1", face=ALICE)
    south.do("enroll", "E2", face=BOB)
    knows(south, "E1")
    site.until(lambda: south.accepts(ALICE))
    north.stop()
    south.ahead_s = 40.0
    site.until(lambda: any("roster_ageing" in reason for reason in south.status()["reasons"]))
    assert south.accepts(ALICE), "a warning comes before"
    south.ahead_s = 62.0
    assert south.sees(ALICE) == ("reject", "roster_stale", "E1")
    assert south.accepts(BOB)
    south.ahead_s = 0.0
    north.start()
    site.until(lambda: south.standing() == "complete")
    assert south.accepts(ALICE)


@pytest.mark.parametrize("ahead_s", [-3600.0, 3600.0])
def test_a_clock_that_is_wrong_closes_the_gate_to_people_of_other_boxes(site: Fleet, ahead_s: float) -> None:
    north, south = two(site)
    north.do("enroll", "E1", face=ALICE)
    knows(south, "E1")
    south.stop()
    south.ahead_s = ahead_s
    south.start()
    south.do("enroll", "E2", face=BOB)
    site.until(lambda: south.sees(ALICE) == ("reject", "roster_stale", "E1"))
    assert south.accepts(BOB)
    south.ahead_s = 0.0
    south.trusted = False
    assert south.sees(ALICE) == ("reject", "roster_stale", "E1"), "no time service answers for the clock"
    assert south.accepts(BOB)


def test_two_desks_that_did_not_hear_each_other_end_with_the_stricter_word_until_one_decides(site: Fleet) -> None:
    north, south = two(site)
    north.do("enroll", "E1", face=ALICE)
    knows(south, "E1")
    site.agree(north, south)
    site.broker.stop()
    assert north.ask(lambda: north.store.depth()) >= 0
    for box, update in ((north, {"schedule": "office"}), (south, {"gates": ["north"]})):
        box.inject("update", "E1", **update)
    site.broker.start()
    site.agree(north, south)
    for box in (north, south):
        assert box.people["E1"].gates == ("north",) and box.people["E1"].schedule == "office", "both are right"
        assert box.people["E1"].shared


def test_a_change_survives_a_power_failure_before_it_was_published(site: Fleet) -> None:
    north, south = two(site)
    north.do("enroll", "E1", face=ALICE)
    knows(south, "E1")
    site.agree(north, south)
    site.broker.stop()
    south.inject("revoke", "E1")
    south.stop(cut=True)
    site.broker.start()
    assert "E1" in north.people
    south.start()
    knows(north, "E1", known=False)
    site.agree(north, south)


def test_a_box_with_another_model_embeds_the_crops_itself(site: Fleet) -> None:
    north, south = site.box("north", keeper=True), site.box("south", models={"painted-1": MODELS["painted-2"]})
    south.models = {"painted-2": MODELS["painted-2"], "painted-1": MODELS["painted-1"]}
    store = open_store(south.folder)
    with store.transaction():
        store.put_serving("painted-2")
    store.close()
    started(site, north, south)
    north.do("enroll", "E1", face=ALICE)
    knows(south, "E1")
    site.until(lambda: south.accepts(ALICE))


def test_a_broker_that_is_asked_for_what_it_keeps_tells_nobody(site: Fleet, tmp_path: Path) -> None:
    north, south = two(site)
    north.do("enroll", "E1042", face=ALICE, name="Alice Liddell", consent="folder-7")
    knows(south, "E1042")
    site.agree(north, south)
    site.broker.stop()
    files = b"".join(path.read_bytes() for path in tmp_path.glob("mosquitto*"))
    assert b"roster/" in files
    for telling in (b"E1042", b"Liddell", b"folder-7", b"PNG", b"IHDR"):
        assert telling not in files, telling


# ---- attacks


def test_what_nobody_of_the_fleet_has_signed_changes_nothing_and_the_broker_gets_the_record_back(site: Fleet) -> None:
    north, south = two(site)
    north.do("enroll", "E1", face=ALICE)
    knows(south, "E1")
    site.agree(north, south)
    on, old = next((t, p) for t, p in site.retained().items() if t.endswith("/north") and "/head/" not in t and "/key/" not in t)
    north.do("revoke", "E1")
    knows(south, "E1", known=False)
    site.agree(north, south)
    now = site.retained()[on]
    for payload in (old, b"", os.urandom(300), now[:-1], now[:-70] + bytes(70)):
        site.publish(on, payload)
        site.until(lambda: site.retained(on.removeprefix(f"ostiary/v1/{SITE}/")).get(on) == now)
    site.publish(on.replace("/north", "/mallory"), old)
    assert "E1" not in south.people and "E1" not in north.people
    assert south.standing() == "complete"
    rejected = south.metrics._registry.get_sample_value("ostiary_roster_rejected_total", {"reason": "bad_signature"})
    assert rejected and rejected >= 1


def test_a_head_of_nobody_of_another_site_or_of_yesterday_counts_for_nothing(site: Fleet) -> None:
    north, south = two(site)
    north.do("enroll", "E1", face=ALICE)
    knows(south, "E1")
    site.agree(north, south)
    key = south.ask(lambda: south.roster.book.signer)
    keeper = north.ask(lambda: north.roster.book.signer)

    def newest() -> Head | None:
        return south.ask(lambda: south.roster.book.coverage.head)

    site.until(lambda: (one := newest()) is not None and "north" in one.writers)
    head = newest()
    assert head is not None
    now = time.time()
    empty = Head(number=head.number + 1000, writers={}, made_at=now, expires_at=now + 60)
    forged = [
        head_said(empty, SITE, "north", key),
        (topic(SITE, "head", "north"), head_said(empty, "other", "north", keeper)[1]),
        head_said(Head(number=1, writers={"north": Part(1, "0" * 64)}, made_at=now, expires_at=now + 60), SITE, "north", keeper),
        head_said(made_head({}, number=head.number + 2000, now=now - 7200, life_s=60), SITE, "north", keeper),
        head_said(made_head({}, number=head.number + 3000, now=now + 7200, life_s=60), SITE, "north", keeper),
    ]
    for on, payload in forged:
        site.publish(on, payload)
    time.sleep(1.0)
    assert south.standing() == "complete"
    after = newest()
    # The keeper may have made another one meanwhile; its number is above all that was ever signed with its key.
    assert after is not None and after.number >= head.number and after.writers == head.writers


def test_a_record_that_is_held_back_closes_the_gate_to_people_of_other_boxes(site: Fleet) -> None:
    north, south = two(site)
    north.do("enroll", "E1", face=ALICE)
    knows(south, "E1")
    site.agree(north, south)
    read = south.roster.mail.deliver

    def without_records(news):  # type: ignore[no-untyped-def]
        hidden = getattr(news, "topic", "").endswith("/north") and "/head/" not in news.topic
        if hidden:
            south.roster.link.acknowledge(news.receipt)
        return True if hidden else read(news)

    south.roster.link._news.deliver = without_records  # type: ignore[attr-defined]
    north.do("revoke", "E1")
    site.until(lambda: south.standing() == "incomplete")
    assert south.sees(ALICE) == ("reject", "roster_stale", "E1")


def test_site_keys_of_somebody_else_are_not_taken(site: Fleet) -> None:
    north, south = two(site)
    held = south.ask(lambda: south.roster.state.edition)
    assert held is not None
    mallory = private_key(os.urandom(32))
    other = site_keys.first(os.urandom(32), os.urandom(32), time.time() + 1000)
    from daemon.core import sealed_box

    to = sealed_box.public_key(south.exchange())
    site.publish(*site_keys.issued(other, SITE, "south", to, mallory, os.urandom(32)))
    site.publish(*site_keys.issued(other, SITE, "south", to, site.admin, os.urandom(32)))
    time.sleep(0.5)
    assert south.ask(lambda: south.roster.state.edition) == held
    del north


def test_a_new_key_of_the_site_seals_everything_anew(site: Fleet) -> None:
    north, south = two(site)
    north.do("enroll", "E1", face=ALICE)
    south.do("enroll", "E2", face=BOB)
    north.do("enroll", "E3", face=CAROL)
    north.do("revoke", "E3")
    knows(north, "E2")
    knows(south, "E1")
    site.agree(north, south)
    site.edition = site.edition.rotated(os.urandom(32), time.time())
    site.admit(north, south)
    site.until(lambda: north.status()["roster"]["old_key"] == 0 and north.ask(lambda: north.roster.state.edition) == site.edition)
    site.until(lambda: south.ask(lambda: south.store.roster.sealed_before(2)) == 0)
    site.agree(north, south)
    site.edition = site.edition.forgetting((), time.time())
    site.admit(north, south)
    site.until(lambda: south.ask(lambda: south.roster.state.edition) == site.edition)
    south.restart()
    south.complete()
    assert south.accepts(ALICE) and north.accepts(BOB) and "E3" not in south.people


def test_resync_reads_everything_anew(site: Fleet) -> None:
    north, south = two(site)
    north.do("enroll", "E1", face=ALICE)
    south.do("enroll", "E2", face=BOB)
    knows(south, "E1")
    site.agree(north, south)
    assert north.do("resync")["reason"] == "keeper"
    assert south.do("resync")["status"] == "done"
    site.until(lambda: not south.ask(lambda: south.roster.reading.busy))
    south.complete()
    site.agree(north, south)
    assert south.accepts(ALICE) and south.accepts(BOB)


def test_a_box_without_a_roster_has_no_tables_of_it(tmp_path: Path) -> None:
    open_store(tmp_path / "state").close()
    with sqlite3.connect(tmp_path / "state" / "gallery.sqlite") as db:
        names = {name for (name,) in db.execute("SELECT name FROM sqlite_master")}
        assert db.execute("PRAGMA user_version").fetchone() == (2,)
    db.close()
    assert not names & {"roster", "unwritten"}


def test_a_box_that_was_restored_lets_nobody_in_who_was_revoked_since(site: Fleet, tmp_path: Path) -> None:
    north, south = two(site)
    south.do("enroll", "E1", face=ALICE)
    south.do("enroll", "E2", face=BOB)
    knows(north, "E2")
    site.agree(north, south)
    south.stop()
    backup = tmp_path / "backup"
    back_up(south.folder, backup, PASSPHRASE, time.time())
    south.start()
    south.complete()
    north.do("revoke", "E1")
    south.do("enroll", "E3", face=CAROL)
    knows(south, "E1", known=False)
    knows(north, "E3")
    site.agree(north, south)
    south.stop()
    shutil.rmtree(south.folder)
    restore(south.folder, backup, PASSPHRASE, time.time(), active=True)
    site.broker.stop()
    south.start()
    assert south.accepts(BOB), "who chose `active` takes the risk until the roster is heard"
    site.broker.start()
    site.until(lambda: not south.accepts(ALICE) and south.standing() == "complete" and south.roster.state.reviewed is None)
    assert "E1" not in south.people and south.accepts(CAROL) and south.accepts(BOB)
    assert not south.people["E2"].shared, "it was enrolled here"
    south.do("revoke", "E2")
    knows(north, "E2", known=False)
    site.agree(north, south)


def test_a_box_that_is_gone_keeps_nobody_in(site: Fleet) -> None:
    north, south = two(site)
    north.do("enroll", "E1", face=ALICE)
    north.do("enroll", "E2", face=BOB)
    knows(south, "E2")
    south.do("revoke", "E1")
    south.do("enroll", "E3", face=CAROL)
    knows(north, "E1", known=False)
    knows(north, "E3")
    site.agree(north, south)
    south.stop()
    north.writers = {"south": WriterConfig(public=south.public, retired=True)}
    north.restart()
    north.complete()
    assert "E1" not in north.people, "a box that is gone still shuts out"
    assert north.accepts(BOB)
    assert not north.accepts(CAROL) and north.people["E3"].suspended, "and lets nobody in"
    (entry,) = north.do("get", "E3")["people"]
    assert (entry["state"], entry["templates"]) == ("suspended", 0)
    assert north.do("enroll", "E3", face=CAROL, replace=True)["status"] == north.do("resume", "E3")["status"] == "done"
    site.until(lambda: not north.people["E3"].shared)
    assert north.accepts(CAROL), "until another desk has decided"


def test_while_the_disk_takes_nothing_records_wait_and_nobody_is_let_in(site: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    north, south = two(site)
    north.do("enroll", "E1", face=ALICE)
    knows(south, "E1")
    site.agree(north, south)
    real, fails = Database._transaction, threading.Event()

    def transaction(self: Database):  # type: ignore[no-untyped-def]
        if fails.is_set() and self is south.store.database:
            raise StoreError("the gallery cannot be written: no room", "make room")
        return real(self)

    monkeypatch.setattr(Database, "_transaction", transaction)
    fails.set()
    north.do("revoke", "E1")
    north.do("enroll", "E2", face=BOB)
    site.until(lambda: south.ask(lambda: not south.engine.disk.works))
    fails.clear()
    knows(south, "E1", known=False)
    knows(south, "E2")
    site.agree(north, south)
    site.until(lambda: south.accepts(BOB))


def test_an_enrolment_for_all_gates_is_refused(site: Fleet) -> None:
    (north, _) = two(site)
    body = command("enroll", "E1", [painted(ALICE)], now=time.time())
    site.watcher.say(body, f"ostiary/v1/{SITE}/all/command")
    assert site.watcher.answer(json.loads(body)["command_id"])[0]["reason"] == "not_for_all"
    assert north.do("enroll", "E1", face=ALICE)["status"] == "done"
