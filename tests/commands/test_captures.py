"""Stories about enrolment from the gate's own camera: seconds long, beside everything else, one at a time."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from daemon.core.values import Delivery
from daemon.demo.stage import Stage
from daemon.edges.store import Store, StoreError, open_store
from daemon.serving.mailbox import CameraState
from tests.fixtures.crowds import crowd, results
from tests.fixtures.desk import command
from tests.fixtures.engine_site import Site
from tests.fixtures.running import configure, ctl, daemon_running, result

ALICE, BOB = 100, 240
TOPIC, FOR_ALL = "ostiary/v1/hq/north/command", "ostiary/v1/hq/all/command"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    store = open_store(tmp_path)
    made = Site(store)
    made.desk.grants = frozenset({"capture"})
    made.turn()  # the camera is up
    yield made
    store.close()


def capture(person: str = "E1", seconds: float = 2.0, issued: float = 100.0, **more: Any) -> bytes:
    return command("enroll", person, capture={"seconds": seconds}, issued=issued, **more)


def test_who_stands_before_the_camera_is_enrolled_and_then_accepted(site: Site) -> None:
    assert site.asks(capture()) == [] and site.wire.acknowledged == [] and site.store.depth() == 0
    told = site.sees(ALICE, times=25)
    (answer,) = [each for each in told if "status" in each]
    assert (answer["status"], answer["person"]) == ("done", "E1") and "made" in answer["detail"]
    assert site.wire.acknowledged == [(1, 1, 1)]
    assert [t["decision"] for t in told if "decision" in t] == ["unknown", "accept"], "the gate goes on deciding meanwhile"
    assert 1 <= site.current.serving.gallery.templates <= 4


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (lambda site: site.sees(None, times=25), "no_face"),
        (lambda site: [t for _ in range(25) for t in crowd(site, ALICE, BOB)], "several_faces"),
        (lambda site: site.sees(ALICE, times=10) + site.sees(BOB, times=15), "inconsistent"),
        (lambda site: site.sees(ALICE, times=3) + site.sees(None, times=22), "timeout"),
    ],
)
def test_what_is_refused_leaves_nobody_enrolled(site: Site, seen: Any, reason: str) -> None:
    site.asks(capture())
    assert results(seen(site)) == [("refused", reason)]
    assert site.current.people == {} and site.wire.acknowledged == [(1, 1, 1)]


def test_a_capture_that_nobody_sees_ends_by_the_clock_without_any_view(site: Site) -> None:
    site.asks(capture())
    site.now_s += 2.0
    assert results(site.turn()) == [("refused", "no_face")]


def test_stale_frames_and_those_from_before_enrol_nobody(site: Site) -> None:
    site.asks(capture())
    assert results(site.sees(ALICE, times=25, age_s=2.05)) == [("refused", "no_face")]


def test_other_commands_are_dealt_with_meanwhile(site: Site) -> None:
    site.asks(capture())
    assert results(site.asks(command("ping", issued=100))) == [("done", None)]
    assert site.wire.acknowledged == [(1, 2, 1)]
    assert results(site.sees(ALICE, times=25)) == [("done", None)]
    assert site.wire.acknowledged == [(1, 2, 1), (1, 1, 1)]


def test_one_capture_at_a_gate_at_a_time(site: Site) -> None:
    site.asks(capture())
    second = capture("E2", issued=101)
    assert results(site.asks(second)) == [("refused", "busy")]
    assert results(site.sees(ALICE, times=25)) == [("done", None)]
    assert site.asks(second) == [], "the same command may come again"


def test_a_capture_that_is_delivered_again_while_it_runs_is_done_once_and_both_are_acknowledged(site: Site) -> None:
    payload = capture()
    site.asks(payload)
    site.asks(payload)
    assert results(site.sees(ALICE, times=25)) == [("done", None)]
    assert site.wire.acknowledged == [(1, 1, 1), (1, 2, 1)]
    assert results(site.asks(payload)) == [("done", None)], "and afterwards it gets the stored answer"


def test_a_capture_is_for_one_gate(site: Site) -> None:
    site.mailbox.deliver(Delivery("north", FOR_ALL, capture(), False, (1, 7, 1)))
    assert results(site.turn()) == [("refused", "not_for_all")] and site.wire.acknowledged == [(1, 7, 1)]


def test_it_needs_a_camera_to_begin_and_to_the_end(site: Site) -> None:
    site.asks(capture())
    site.sees(ALICE, times=10)
    site.mailbox.tell(CameraState("north", "down", "no route", True))
    assert results(site.turn()) == [("refused", "no_camera")]
    assert results(site.asks(capture("E2", issued=101))) == [("refused", "no_camera")]
    assert site.current.people == {}


def test_who_is_revoked_during_the_capture_is_not_enrolled_by_it(site: Site) -> None:
    site.asks(capture())
    site.sees(ALICE, times=5)
    site.asks(command("revoke", "E1", issued=100.5))
    assert results(site.sees(ALICE, times=20)) == [("refused", "superseded")]
    assert site.current.people == {}


def test_on_a_full_disk_it_is_not_acknowledged_and_nobody_is_enrolled_late(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Store) -> None:
        raise StoreError("the gallery cannot be written: database or disk is full", "look at the disk")

    site.asks(capture(life=15))
    with monkeypatch.context() as disk:
        disk.setattr(Store, "transaction", full)
        assert results(site.sees(ALICE, times=25)) == [("failed", "not_durable")]
        assert site.wire.acknowledged == [] and site.current.people == {}
        site.now_s += 20
    assert results(site.turn()) == [("refused", "expired")], "whoever stands there by now is not who was meant"
    assert site.wire.acknowledged == [(1, 1, 1)]


# ---- with a broker, a camera and a model


@pytest.mark.broker
def test_walking_up_to_the_camera_enrols_once_and_is_no_second_person(tmp_path: Path, broker: int) -> None:
    pytest.importorskip("skimage.data")
    stage = Stage()
    stage.start()
    try:
        config = configure(tmp_path, broker, Path("x"), extra='[commands]\ngrants = ["capture"]\n')
        config.write_text(config.read_text().replace('source = "x"', f'source = "{stage.url}"'))
        with daemon_running(config):
            stage.enter("collins", 1)
            deadline = time.monotonic() + 20
            while json.loads(ctl(config, "status", "--gate", "north").stdout)["camera"] != "up":
                assert time.monotonic() < deadline
            time.sleep(1.5)  # near enough to be seen
            enrolled = result(ctl(config, "enroll", "E1", "--capture", "6", "--name", "Eileen"))
            assert (enrolled["status"], enrolled["person"]) == ("done", "E1"), enrolled
            again = result(ctl(config, "enroll", "E2", "--capture", "6"))
            assert (again["status"], again["reason"]) == ("refused", "duplicate_of") and "E1" in str(again["detail"]), again
            forced = result(ctl(config, "enroll", "E2", "--capture", "2", "--force"))
            assert (forced["status"], forced["reason"]) == ("refused", "not_granted"), forced
            assert result(ctl(config, "update", "E1", "--valid-until", "2030-01-01", "--clear", "name"))["status"] == "done"
            people = result(ctl(config, "get", "E1"))["people"]
            assert isinstance(people, list) and people[0]["valid_until"].startswith("20") and people[0]["name"] is None
            stage.leave()
            time.sleep(1.5)
            assert result(ctl(config, "enroll", "E3", "--capture", "1"))["reason"] == "no_face"
    finally:
        stage.close()
