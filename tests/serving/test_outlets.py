"""The status on the broker, the metrics, the journal, the line for systemd and `ostiaryctl status` say the same, for every word."""

import dataclasses
import io
import logging
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console

from daemon.client.seen import read_status
from daemon.config import LogConfig
from daemon.core.attention import Attention
from daemon.core.pace import needed_fps
from daemon.core.status import TABLE, Trouble, Word
from daemon.core.values import STREAM_OPEN, CameraTrouble, Frame, Link
from daemon.ctl import status as ctl
from daemon.edges.camera.source import State
from daemon.edges.journal import Journal
from daemon.edges.metrics import Metrics
from daemon.edges.store import Store
from daemon.serving.gate_state import Gate
from daemon.serving.gate_worker import GateWorker
from daemon.serving.mailbox import CameraState, Looked
from daemon.serving.reports import MOST_LINES, Condition, Facts, Reports
from tests.core.test_status import TROUBLES
from tests.fixtures.desk import JUDGE, PaintedDetector, command, painted
from tests.fixtures.engine_site import ALICE, CONFIG, Site
from tests.fixtures.frames import frames


@dataclasses.dataclass
class Film:
    """A camera whose frames are all there."""

    frames: list[Frame]
    dropped: dict[str, int]
    live: bool = True
    state: State = "up"
    trouble: CameraTrouble | None = None
    detail: str | None = None

    def read(self, timeout_s: float) -> Frame | None:
        if self.frames:
            return self.frames.pop(0)
        self.state = "ended"
        return None

    def close(self) -> None:
        """There is nothing to close."""


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What the journal gets, with its priorities."""
    out, logger = io.StringIO(), logging.getLogger("ostiary")
    monkeypatch.setattr("daemon.edges.journal.is_journal", lambda stream: True)
    handler = Journal(out)
    logger.addHandler(handler)
    before = logger.level
    logger.setLevel(logging.INFO)
    yield out
    logger.setLevel(before)
    logger.removeHandler(handler)


def samples(site: Site, name: str) -> dict[str, float]:
    """A gauge of gate north, by its other label."""
    families = text_string_to_metric_families(generate_latest(site.metrics._registry).decode())
    found = [sample for family in families if family.name == name for sample in family.samples if sample.labels["gate"] == "north"]
    return {next(value for label, value in one.labels.items() if label != "gate"): one.value for one in found}


def shown(payload: dict[str, Any]) -> str:
    out = io.StringIO()
    status = read_status(msgspec.json.encode(payload))
    assert not status.odd
    Console(file=out, width=1000).print(ctl._table({"north": status}), *ctl._reasons({"north": status}), sep="\n")
    return out.getvalue()


@pytest.mark.parametrize("word", Word)
def test_all_outlets_agree(word: Word, store: Store, said: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    trouble = Trouble()

    def facts(reports: Reports, gate: Gate, condition: Condition) -> Facts:
        return dataclasses.replace(true_facts(reports, gate, condition), trouble=trouble)

    true_facts = Reports._facts
    monkeypatch.setattr(Reports, "_facts", facts)
    site = Site(store)
    site.turn()
    assert site.status()["state"] == "serving" and site.told[-1] == "gate north serving"
    assert samples(site, "ostiary_gate_reason") == dict.fromkeys(Word, 0.0)

    trouble = Trouble(**TROUBLES[word])
    site.turn()
    (reason,) = trouble.reasons
    state = "closed" if reason.closes else "degraded"
    status = site.status()
    assert (status["state"], status["reasons"]) == (state, [reason.line()])
    assert samples(site, "ostiary_gate_reason") == {each: float(each is word) for each in Word}
    assert samples(site, "ostiary_gate_state") == {each: float(each == state) for each in ("serving", "degraded", "closed")}
    assert site.told[-1] == f"gate north {state} ({word})"
    assert state in shown(status) and f"{word}: " in shown(status)
    line = said.getvalue().splitlines()[-1]
    urgent = {"closes": 3, "critical": 4, "warning": 4, "notice": 6}[TABLE[word].severity]
    if word in (Word.DISK, Word.UNSOUND, Word.DISK_LOW, Word.STORE_DAMAGED, Word.AUDIT_BROKEN):
        urgent = 3
    assert line.startswith(f"<{urgent}>gate north: {state}: {word}: ") and line.endswith(f" | gate=north state={state} reason={word}")
    assert "E1042" not in line, "the journal names nobody"

    site.turn()
    assert said.getvalue().splitlines()[-1] == line, "a reason that stays is said once"
    trouble = Trouble()
    site.turn()
    assert samples(site, "ostiary_gate_reason") == dict.fromkeys(Word, 0.0) and site.told[-1] == "gate north serving"
    assert said.getvalue().splitlines()[-2:] == [
        f"<6>gate north: {word} is over | gate=north state=serving reason={word}", "<6>gate north: serving | gate=north state=serving",
    ]  # fmt: skip
    assert site.status()["reasons"] == []


def test_while_the_broker_is_away_the_other_outlets_go_on(store: Store, said: io.StringIO) -> None:
    site = Site(store)
    site.turn()
    site.wire.connected = False
    site.mailbox.deliver(Link("north", False, "no route to host", "out"))
    site.mailbox.tell(CameraState("north", "down", "rtsp://camera: no route", True, "down"))
    site.turn()
    assert samples(site, "ostiary_gate_reason")["broker_down"] == samples(site, "ostiary_gate_reason")["camera_down"] == 1
    assert "broker_down" in site.told[-1] and "camera_down" in site.told[-1]
    warnings = [line for line in said.getvalue().splitlines() if line.startswith("<4>")]
    assert any("broker_down: no connection" in line and "no route to host" in line for line in warnings)
    assert any("camera_down: no picture comes: rtsp://camera: no route" in line for line in warnings)
    told = len(said.getvalue().splitlines())
    for _ in range(5):
        site.turn()
    assert len(said.getvalue().splitlines()) == told


def test_a_trouble_that_the_broker_never_heard_of_ends_everywhere(store: Store, said: io.StringIO) -> None:
    site = Site(store)
    site.turn()
    well = site.told[-1]
    with pytest.MonkeyPatch.context() as busy:
        busy.setattr(site.wire, "publish", lambda outgoing: False)
        site.mailbox.tell(CameraState("north", "down", "no route", True, "down"))
        site.turn()
        assert samples(site, "ostiary_gate_reason")["camera_down"] == 1
        site.mailbox.tell(CameraState("north", "up", None, True))
        site.turn()
    assert samples(site, "ostiary_gate_reason")["camera_down"] == 0 and site.told[-1] == well
    assert "camera_down is over" in said.getvalue()


def test_each_gate_has_the_pace_of_its_own_decision(store: Store) -> None:
    decision = dataclasses.replace(CONFIG.decision, min_frames=10)
    own = dataclasses.replace(CONFIG.gates["north"], decision=decision)
    gates = Site(store, dataclasses.replace(CONFIG, gates={"north": own}), gates=("north", "south")).engine.gates
    assert {name: gate.pace.need_fps for name, gate in gates.items() if gate.pace is not None} == {
        "north": needed_fps(10, decision.lost_s), "south": needed_fps(CONFIG.decision.min_frames, decision.lost_s),
    }  # fmt: skip


def test_a_gate_that_cannot_keep_up_says_so(store: Store) -> None:
    site = Site(store)
    for second in range(13):
        site.mailbox.tell(Looked("north", float(second), 1, 14))
        site.turn()
    assert any(reason.startswith("too_slow: ") and "1.0 frames a second of 15.0" in reason for reason in site.status()["reasons"])
    for second in range(13, 20):
        site.mailbox.tell(Looked("north", float(second), 15, 0))
        site.turn()
    assert "too_slow" not in str(site.status()["reasons"])


@pytest.mark.parametrize("ids", [False, True])
def test_the_journal_names_people_only_if_it_is_told_to(store: Store, said: io.StringIO, ids: bool) -> None:
    site = Site(store, dataclasses.replace(CONFIG, log=LogConfig(people=ids)))
    site.asks(command("enroll", "E1042", [painted(ALICE)], issued=100))
    pseudonym = store.pseudonym("E1042")
    site.sees(ALICE, 8)
    site.asks(command("revoke", "E1042", issued=101))
    text = said.getvalue()
    assert "command revoke: done" in text and "passage" in text, text
    assert ("E1042" in text) is ids
    assert (str(pseudonym) in text) is not ids


def test_the_service_manager_hears_of_a_change_once(store: Store) -> None:
    site = Site(store)
    for _ in range(5):
        site.turn()
    assert len(site.told) == 1


def test_a_camera_that_is_being_opened_is_no_warning_and_one_that_stays_away_is(store: Store, said: io.StringIO) -> None:
    site = Site(store)
    site.mailbox.events()  # of a camera that is up
    site.turn()
    assert site.status()["reasons"][0].startswith("camera_down: no picture comes: it is being opened")
    site.mailbox.tell(CameraState("north", "down", STREAM_OPEN, True, "down"))
    site.turn()
    assert not [line for line in said.getvalue().splitlines() if line.startswith("<4>")]
    for detail in ("401", STREAM_OPEN, "401"):
        site.mailbox.tell(CameraState("north", "down", detail, True, "down"))
        site.turn()
    assert len([line for line in said.getvalue().splitlines() if line.startswith("<4>") and "401" in line]) == 1


def test_another_cause_is_said_and_the_same_one_with_other_figures_is_not(store: Store, said: io.StringIO) -> None:
    site = Site(store)
    for detail in (
        "it has sent nothing for 5 s (next try in 1 s)", "it has sent nothing for 6 s (next try in 2 s)",
        "it refuses the password (next try in 1 min, at 10:00:00)",
        "it has sent nothing for 7 s (next try in 4 s)", "it refuses the password (next try in 2 min, at 10:02:00)",
    ):  # fmt: skip
        site.mailbox.tell(CameraState("north", "down", detail, True, "down"))
        site.turn()
    lines = [line for line in said.getvalue().splitlines() if "camera_down: " in line]
    assert len(lines) == 2 and "nothing for 5 s" in lines[0] and "refuses the password" in lines[1]
    site.mailbox.tell(CameraState("north", "up", None, True))
    site.turn()
    site.mailbox.tell(CameraState("north", "down", "it refuses the password", True, "down"))
    site.turn()
    assert "refuses the password" in said.getvalue().splitlines()[-1], "after its end it begins anew"


def test_a_reason_has_some_lines_and_no_more(store: Store, said: io.StringIO) -> None:
    site = Site(store)
    for letter in "abcdefghijklmnopqrstuvwxyz":
        site.mailbox.tell(CameraState("north", "down", letter, True, "down"))
        site.turn()
    assert len([line for line in said.getvalue().splitlines() if "camera_down: " in line]) == MOST_LINES


def test_a_worker_says_what_it_looked_at_and_what_it_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.serving.gate_worker.PACE_EVERY_S", 0.0)
    film = Film(frames(6), {"overrun": 3, "still": 50, "stale": 1, "behind": 2, "frozen": 9})
    told: list[Looked] = []
    worker = GateWorker(
        "north", film, Attention(40), PaintedDetector(), JUDGE, lambda view, stop: True,
        lambda event: told.append(event) if isinstance(event, Looked) else None, Metrics(),
    )  # fmt: skip
    metrics = worker._metrics
    worker._work()
    assert b'ostiary_frames_dropped_total{gate="north",reason="still"} 50.0' in generate_latest(metrics._registry)
    assert sum(one.frames for one in told) == 6 and sum(one.lost for one in told) == 6, "a still picture is no loss"


@pytest.mark.parametrize("ids", [False, True])
def test_the_text_of_an_error_may_name_people(store: Store, said: io.StringIO, ids: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(store, dataclasses.replace(CONFIG, log=LogConfig(people=ids)))

    person = "E1042"

    def fails(*_: object, **__: object) -> None:
        raise LookupError(f"template 1 of {person} is odd")

    monkeypatch.setattr(type(site.desk), "handle", fails)
    site.asks(command("revoke", "E1042", issued=101))
    text = said.getvalue()
    assert "a command failed" in text and "LookupError" in text and "in fails" in text
    assert ("E1042" in text) is ids
