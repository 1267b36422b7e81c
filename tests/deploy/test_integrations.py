"""The integrators' guide: every program that it shows, called as it shows it, at a broker with the shipped access list and a real gate."""

import base64
import csv
import json
import re
import runpy
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from daemon.client.settings import client_settings
from daemon.core import signing
from daemon.core.contract import SAYS, examples
from daemon.core.messages import GapMessage, encode, offline_status, utc
from tests.faults.rig import ALICE
from tests.fixtures.deployed import TEST, Visitor, deployed
from tests.fixtures.desk import command, painted
from tests.fixtures.gate_says import DECISION, KEY, OTHER, STATUS, decision, status
from tests.fixtures.home_assistant import HomeAssistant
from tests.fixtures.integrators import GUIDE, PLACE, Site, gate_running

PROGRAMS = sorted(path.name for path in (PLACE / "python").glob("*.py"))
GAP = "ostiary/v1/acme/north/gap"
DESK_KEY = signing.private_key(bytes([7]) * 32)


def test_the_guide_shows_every_program_and_the_tests_run_what_it_shows() -> None:
    assert sorted(set(re.findall(r"^    python3 (\S+)", GUIDE, re.M))) == PROGRAMS
    for program in PROGRAMS:
        assert f"(python/{program})" in GUIDE, f"the table names {program}"


def program(name: str) -> Any:
    """One of the programs as a module."""
    return SimpleNamespace(**runpy.run_path(str(PLACE / "python" / name)))


def test_the_lines_that_the_guide_shows_are_those_of_the_programs() -> None:
    (example,) = (one for one in examples() if one.name == "DecisionMessage")
    said = json.loads(example.payload)
    assert f"    {program('watch.py').line({}, example.topic, said)}\n" in GUIDE
    columns = program("time_tracking.py").COLUMNS
    row = ",".join(str(said[name] or "") for name in columns)
    assert f"    {','.join(columns)}\n    {row}\n" in GUIDE


@pytest.fixture(scope="module")
def broker_port(tmp_path_factory: pytest.TempPathFactory, mosquitto_installed: None) -> Iterator[int]:
    with deployed(tmp_path_factory.mktemp("broker")) as running:
        yield running.port


@pytest.fixture
def site(tmp_path: Path, broker_port: int) -> Site:
    return Site(tmp_path, broker_port)


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory, broker_port: int) -> Iterator[dict[str, Any]]:
    """A gate that takes unsigned commands, and claims."""
    with gate_running(tmp_path_factory.mktemp("gate"), broker_port, "--mode", "both") as status:
        yield status


# ---- each program, at a gate


def verified(site: Site) -> None:
    """Alice's badge is shown until she comes herself: the claim meets whoever comes next, and that may be a stranger."""
    for _ in range(10):
        shown_badge = site.run("badge.py")
        if shown_badge.returncode == 0:
            assert shown_badge.stdout == "accept: E1042 (verified)\n"
            return
        assert shown_badge.returncode == 1 and shown_badge.stdout.startswith(("reject: E1042 (", "accept: E1042 (matched")), shown_badge
    raise AssertionError("she never came")


@pytest.mark.broker
def test_enrol_watch_badge_and_signatures_at_a_real_gate(site: Site, gate: dict[str, Any]) -> None:
    done = site.run("enrol.py")
    assert (done.returncode, done.stdout.splitlines()) == (0, ["done: E1042, 1 template made"]), done
    site.add("display", f'gate_key = ["{gate["public_key"]}"]')
    with site.listening("watch.py") as watched, site.listening("verify_signature.py") as checked:
        lines = watched("accept E1042 (matched)")
        watched("unknown nobody (no_match)")
        assert not any("missing" in line for line in lines)
        checked("signed: ostiary/v1/acme/north/status serving")
        checked("signed: ostiary/v1/acme/north/decision accept")
        assert not any("FORGED" in line for line in checked("north/decision unknown"))
    verified(site)


@pytest.mark.broker
def test_a_refused_photo_is_said_with_its_reason(site: Site, gate: dict[str, Any]) -> None:
    (site.folder / "empty.jpg").write_bytes(painted())
    (site.folder / "two.jpg").write_bytes(painted(100, 200))
    for photo, reason in (("empty.jpg", "no_face"), ("two.jpg", "several_faces")):
        done = site.run("enrol.py", "hr.toml", "E7", photo)
        assert done.returncode == 1 and done.stdout.startswith(f"refused: E7, {reason}, "), done
    assert site.run("enrol.py", "hr.toml", "E8", "photo.jpg").returncode in (0, 1)
    twice = site.run("enrol.py", "hr.toml", "E9", "photo.jpg")
    assert twice.returncode == 1 and "duplicate_of" in twice.stdout, "the same face under another id"
    named = site.run("enrol.py", "hr.toml", "no id", "photo.jpg")
    assert named.returncode == 1 and "malformed" in named.stdout, named


@pytest.mark.broker
def test_a_signed_revocation_and_what_is_not_signed(tmp_path: Path, mosquitto_installed: None) -> None:
    (tmp_path / "broker").mkdir()
    with deployed(tmp_path / "broker") as broker:
        site = Site(tmp_path, broker.port)
        (tmp_path / "hr-1.key").write_text(f"hr-1 {base64.b64encode(bytes([7]) * 32).decode()}\n")
        with gate_running(tmp_path, broker.port, "--key", f"hr-1={signing.public_text(DESK_KEY)}", "--mode", "both") as status:
            assert status["commands"] == "signed"
            unsigned = site.run("enrol.py")
            assert unsigned.returncode == 1 and unsigned.stdout.startswith("refused: E1042, unsigned"), unsigned
            assert site.run("signed.py").returncode == 2, "there is no key in the settings yet"
            site.add("hr", 'key = "hr-1.key"')
            nobody = site.run("signed.py")
            assert nobody.returncode == 0 and nobody.stdout.startswith("done: revoke E1042, nobody_enrolled"), nobody
            desk, topic = Visitor(broker.port, TEST), "ostiary/v1/acme/north/command"
            enrol = command("enroll", "E1042", [painted(ALICE)], now=time.time())
            desk.say(topic, signing.sealed("hr-1", DESK_KEY, topic, enrol))
            desk.leave()
            site.add("badge-north", 'key = "hr-1.key"')
            verified(site)
            assert site.run("signed.py", "hr.toml", "get", "E1042").stdout.startswith("done: get E1042, [{'person': 'E1042'")
            erased = site.run("signed.py")
            assert (erased.returncode, erased.stdout) == (0, "done: revoke E1042\n"), erased
            unknown = site.run("signed.py", "hr.toml", "suspend", "E1042")
            assert unknown.returncode == 1 and "unknown_person" in unknown.stdout, unknown
            (tmp_path / "hr-1.key").write_text(f"hr-1 {base64.b64encode(bytes([8]) * 32).decode()}\n")
            forged = site.run("signed.py")
            assert forged.returncode == 1 and "bad_signature" in forged.stdout, forged


# ---- numbers, records and forgeries, from a gate that says what the test wants


@pytest.fixture
def quiet(tmp_path: Path, mosquitto_installed: None) -> Iterator[Site]:
    """A site whose broker nobody else uses."""
    (tmp_path / "broker").mkdir()
    with deployed(tmp_path / "broker") as broker:
        yield Site(tmp_path, broker.port)


def accept(sequence: int, **fields: Any) -> bytes:
    return decision(time.time(), sequence, **fields)


def say_until(until: Callable[..., list[str]], north: Visitor, payload: bytes, text: str) -> None:
    """Say it until the program prints the text: then it listens."""
    for _ in range(100):
        north.say(DECISION, payload)
        try:
            until(text, 0.3)
        except AssertionError:
            continue
        return
    raise AssertionError("it never listened")


@pytest.mark.broker
def test_watch_says_what_is_missing_and_what_came_late(quiet: Site) -> None:
    north = Visitor(quiet.port, "gate-north")
    with quiet.listening("watch.py") as until:
        say_until(until, north, accept(10), "accept E1")
        north.say(DECISION, accept(15))
        north.say(DECISION, accept(12, live=False))
        north.say(DECISION, accept(12, live=False))  # again
        dropped = GapMessage(gate="north", at=utc(time.time()), reason="full", decisions=2, first=13, last=14, answers=0)
        north.say(GAP, encode(dropped))
        north.say(DECISION, b"[]")
        north.say(DECISION, b"\xff")
        north.say(DECISION, accept(2_000_000_000_000, person="E2"))  # no gate counts so far, and nothing here may grow by it
        north.say(DECISION, accept(2_000_000_000_001, person="E3"))
        lines = [line.split(" ", 1)[1] for line in until("E3")]
    north.leave()
    assert lines == [
        "north: accept E1 (matched)",
        "north: accept E1 (matched) missing: 11 to 14",
        "north: accept E1 (matched, not live) late",
        "north: 2 decisions will never come: 13 to 14 (full)",
        *(line for line in lines if "understood" in line),
        "north: accept E2 (matched) missing: 16 to 1999999999999",
        "north: accept E3 (matched)",
    ]
    assert len(lines) == 8


@pytest.mark.broker
def test_a_forged_decision_is_named(quiet: Site) -> None:
    quiet.add("display", f'gate_key = ["{signing.public_text(KEY)}"]')
    north = Visitor(quiet.port, "gate-north")
    with quiet.listening("verify_signature.py") as until:
        say_until(until, north, accept(1), "signed: ostiary/v1/acme/north/decision accept")
        genuine = decision(time.time(), 2, decision="reject", reason="suspended")
        for forged in (
            decision(time.time(), 3, OTHER), genuine.replace(b'"reject"', b'"accept"'), genuine[:-92] + b"}", b"", b"{}", b',"sig":""}',
            genuine + b" ", decision(time.time(), 3, topic=STATUS),
        ):  # fmt: skip
            north.say(DECISION, forged)
        north.say(DECISION, genuine)
        lines = until("north/decision reject")
    north.leave()
    assert [line for line in lines if not line.startswith("signed:")] == ["FORGED, or of another gate: ostiary/v1/acme/north/decision"] * 8


def test_the_settings_are_those_of_ostiaryctl(site: Site) -> None:
    read = client_settings(site.folder / "hr.toml")
    assert (read["site"], read["gate"], read["username"]) == ("acme", "north", "hr")
    assert Path(read["password_file"]).read_text() == "secret of hr\n"


def test_no_changed_bit_and_no_cut_counts_as_signed() -> None:
    signed, public, right = program("verify_signature.py").signed, KEY.public_key(), accept(1)
    assert signed(public, DECISION, right) and not signed(OTHER.public_key(), DECISION, right) and not signed(public, STATUS, right)
    for place in range(len(right)):
        assert not signed(public, DECISION, right[:place] + bytes([right[place] ^ 1 << place % 8]) + right[place + 1 :])
        assert not signed(public, DECISION, right[:place])


@pytest.mark.broker
def test_time_tracking_loses_nothing_and_writes_nothing_twice(quiet: Site) -> None:
    north, table = Visitor(quiet.port, "gate-north"), quiet.folder / "passages.csv"

    def rows(least: int) -> Sequence[Mapping[str, str]]:
        deadline = time.monotonic() + 30
        while True:
            found = list(csv.DictReader(table.read_text().splitlines())) if table.exists() else []
            if len(found) >= least:
                return found
            assert time.monotonic() < deadline, found
            time.sleep(0.05)

    with quiet.listening("time_tracking.py"):
        deadline = time.monotonic() + 30
        while not (table.exists() and len(table.read_text().splitlines()) > 1):
            north.say(DECISION, accept(1))
            assert time.monotonic() < deadline
            time.sleep(0.1)
        north.say(DECISION, accept(2, decision="unknown", reason="no_match", person=None))
        north.say(DECISION, b"{")
        north.say(DECISION, accept(3))
        rows(2)
    north.say(DECISION, accept(4, live=False))  # nobody listens: the broker keeps it
    north.say(DECISION, accept(3))
    with table.open("a") as file:
        file.write("half a ro")  # a power cut
    with quiet.listening("time_tracking.py"):
        north.say(DECISION, accept(5, decision="reject", reason="ambiguous", supersedes="e4"))
        written = [(row["event_id"], row["decision"], row["supersedes"]) for row in rows(5)]
    north.leave()
    assert written == [
        ("e1", "accept", ""), ("e3", "accept", ""), ("half a ro", None, None), ("e4", "accept", ""), ("e5", "reject", "e4"),
    ]  # fmt: skip


# ---- Home Assistant


def package() -> str:
    return (PLACE / "home-assistant.yaml").read_text("utf-8")


def test_the_package_reads_the_topics_of_the_contract() -> None:
    leaves = set(re.findall(r"_topic: ostiary/v1/acme/north/(\S+)$", package(), re.M))
    assert leaves == {"decision", "status"} <= set(SAYS)


@pytest.mark.broker
def test_the_package_works_in_home_assistant(home_assistant: Callable[..., HomeAssistant], broker: int) -> None:
    ha = home_assistant(broker, ostiary=package().replace('for: "00:01:00"', 'for: "00:00:01"'))
    ha.start()
    north, now = "ostiary/v1/acme/north", time.time()
    ha.say(f"{north}/status", status(now), retain=True)
    ha.shows("sensor/gate_north_state", "serving")
    ha.shows("binary_sensor/gate_north_problem", "off")
    for number, name in enumerate(('O\'Brien "Bob"', "{{ 1 }}"), 1):
        ha.say(f"{north}/decision", accept(number, person=f"E{number}", name=name))
        ha.shows("sensor/gate_north_last_person", f"E{number}")
        ha.shows("event/gate_north_decision", '"accept"', "event_type")
        ha.shows("event/gate_north_decision", str(number), "sequence")
        ha.shows("event/gate_north_decision", "true", "live")
    ha.say(f"{north}/decision", accept(3, decision="unknown", reason="no_match", person=None))
    ha.shows("sensor/gate_north_last_person", "unknown")
    ha.shows("event/gate_north_decision", '"no_match"', "reason")
    ha.say(f"{north}/status", status(now, state="closed", reasons=["disk: the disk is full; make room"]), retain=True)
    ha.shows("sensor/gate_north_state", '["disk: the disk is full; make room"]', "reasons")
    ha.shows("binary_sensor/gate_north_problem", "on")
    ha.wait(
        lambda: (
            "automation/gate_north_needs_somebody/last_triggered" in ha.seen
            and ha.seen["automation/gate_north_needs_somebody/last_triggered"] != "null"
        )
    )
    ha.say(f"{north}/status", encode(offline_status("1")), retain=True)
    ha.shows("sensor/gate_north_state", "offline")
    assert ha.complaints() == []
