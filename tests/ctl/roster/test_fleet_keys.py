"""Stories about the administrator of a fleet: new keys, boxes that get them, and keys that change."""

import base64
import io
import json
import stat
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from daemon.client.broker import Address, Broker, Heard
from daemon.core import messages as m
from daemon.core import signing
from daemon.core.people import site_keys
from daemon.core.people.fleet_file import Fleet, from_text
from daemon.core.people.roster import Card
from tests.ctl.conftest import Ctl
from tests.fixtures.fake_gate import FakeGate
from tests.fixtures.paper_box import SITE, PaperBox, face

pytestmark = pytest.mark.broker


@pytest.fixture
def admin(tmp_path: Path, run: Ctl) -> Path:
    path = tmp_path / "admin.key"
    assert run("keygen", "--out", str(path))[0] == 0
    return path


@pytest.fixture
def keys(tmp_path: Path, run: Ctl, admin: Path) -> Path:
    path = tmp_path / "fleet.toml"
    assert run("roster", "init", "--out", str(path), "--key", str(admin))[0] == 0
    return path


def fleet(keys: Path) -> Fleet:
    return from_text(keys.read_text())


def public_of(admin: Path) -> Ed25519PublicKey:
    return signing.private_key(base64.b64decode(admin.read_text().split()[1])).public_key()


Gates = Callable[..., FakeGate]


@pytest.fixture
def gates(broker: int) -> Iterator[Gates]:
    """Starts the gate of a box, which says who it is."""
    with ExitStack() as stack:

        def start(box: PaperBox, **said: object) -> FakeGate:
            gate = stack.enter_context(FakeGate(broker, f"gate-{box.name}"))
            gate.key = box.key
            gate.status(public_key=box.public, roster=box.status(**said))
            return gate

        yield start


def retained(gate: FakeGate, topic: str, broker: int) -> list[bytes]:
    with Broker(Address("127.0.0.1", broker, "5"), [topic]) as link:
        heard = link.next(0.5)
        return [heard.payload] if isinstance(heard, Heard) else []


def test_a_new_fleet_and_its_first_box(run: Ctl, admin: Path, keys: Path, gates: Gates, broker: int) -> None:
    assert stat.S_IMODE(keys.stat().st_mode) == 0o600
    assert run("roster", "init", "--out", str(keys), "--key", str(admin))[0] == 2, "it is never written over"
    north = PaperBox("north", fleet(keys).edition.keys)
    gate = gates(north, standing="no_key")
    code, out, _ = run("roster", "admit", "north", "--keys", str(keys), "--key", str(admin), "--gate-key", north.public)
    assert code == 0 and f'[roster.writers."north"]\npublic = "{north.public}"' in out
    after = fleet(keys)
    assert list(after.boxes) == ["north"] and after.boxes["north"].public == north.public
    (payload,) = retained(gate, site_keys.key_topic(SITE, "north"), broker)
    assert site_keys.opened(SITE, "north", payload, north.exchange, public_of(admin)) == after.edition
    assert "key" in run("roster", "status", "--keys", str(keys))[1]
    assert run("roster", "status", "--keys", str(keys))[0] == 1, "the box has not said yet that it has all"
    gate.status(public_key=north.public, roster=north.status())
    assert run("roster", "status", "--keys", str(keys))[0] == 0


def test_only_a_box_that_is_known_is_admitted(
    run: Ctl, admin: Path, keys: Path, gates: Gates, monkeypatch: pytest.MonkeyPatch, broker: int
) -> None:
    north, thief = PaperBox("north", fleet(keys).edition.keys), PaperBox("north", fleet(keys).edition.keys, seed=1)
    ask = ("roster", "admit", "north", "--keys", str(keys), "--key", str(admin))
    code, _, err = run(*ask, "--gate-key", north.public)
    assert code == 3 and "no gate has said that it belongs to the box north" in err
    gate = gates(thief, standing="no_key")
    code, _, err = run(*ask, "--gate-key", north.public)
    assert code == 3 and "not signed with --gate-key" in err
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    code, _, err = run(*ask)
    assert code == 2 and "--gate-key" in err, "nobody is asked where nobody sits"
    gate.status(public_key=north.public, roster=thief.status())
    code, _, err = run(*ask)
    assert code == 1 and "not signed with the key that it names" in err
    assert not fleet(keys).boxes and not retained(gate, "ostiary/v1/acme/roster/key/+", broker)


@pytest.mark.parametrize(("answer", "code"), [("yes", 0), ("no", 1), ("", 1)])
def test_at_a_terminal_a_person_compares_the_key(
    run: Ctl, admin: Path, keys: Path, gates: Gates, monkeypatch: pytest.MonkeyPatch, answer: str, code: int
) -> None:
    north = PaperBox("north", fleet(keys).edition.keys)
    gates(north)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda question: answer)
    found, out, _ = run("roster", "admit", "north", "--keys", str(keys), "--key", str(admin))
    assert found == code and north.public in out and (list(fleet(keys).boxes) == ["north"]) is (code == 0)


def test_a_box_that_lost_its_store_needs_another_name(run: Ctl, admin: Path, keys: Path, gates: Gates) -> None:
    north, wiped = PaperBox("north", fleet(keys).edition.keys), PaperBox("north", fleet(keys).edition.keys, seed=1)
    gates(north)
    ask = ("roster", "admit", "north", "--keys", str(keys), "--key", str(admin), "--gate-key")
    assert run(*ask, north.public)[0] == 0
    gates(wiped)
    code, _, err = run(*ask, wiped.public)
    assert code == 1 and "give it another name" in err and fleet(keys).boxes["north"].public == north.public


def test_keys_change_and_a_stolen_box_gets_none(run: Ctl, admin: Path, keys: Path, gates: Gates, broker: int) -> None:
    boxes = [PaperBox(name, fleet(keys).edition.keys) for name in ("north", "south", "west")]
    speaking = {box.name: gates(box) for box in boxes}
    for box in boxes:
        assert run("roster", "admit", box.name, "--keys", str(keys), "--key", str(admin), "--gate-key", box.public)[0] == 0
    before = fleet(keys).edition
    code, out, _ = run("roster", "rotate-key", "--keys", str(keys), "--key", str(admin), "--retire", "west")
    assert code == 0 and "retired = true" in out and "north, south" in out
    after = fleet(keys)
    assert after.boxes["west"].retired and after.edition.keys.newest == before.keys.newest + 1 and after.edition.number > before.number
    for box in boxes[:2]:
        (payload,) = retained(speaking["north"], site_keys.key_topic(SITE, box.name), broker)
        assert site_keys.opened(SITE, box.name, payload, box.exchange, public_of(admin)) == after.edition
    assert not retained(speaking["north"], site_keys.key_topic(SITE, "west"), broker)
    code, _, err = run("roster", "admit", "west", "--keys", str(keys), "--key", str(admin), "--gate-key", boxes[2].public)
    assert code == 1 and "retired" in err
    code, out, _ = run("roster", "config", "south", "--keys", str(keys), "--key", str(admin))
    roster = tomllib.loads(out)["roster"]
    assert code == 0 and roster["name"] == "south" and signing.public_key(roster["admin"]) == public_of(admin)
    assert roster["writers"] == {"north": {"public": boxes[0].public}, "west": {"public": boxes[2].public, "retired": True}}
    code, out, _ = run("roster", "status", "--keys", str(keys))
    assert code == 0 and "west" not in out, out
    # The stolen box speaks in the name of another one.
    speaking["west"].status(public_key=boxes[0].public, roster=boxes[0].status())
    code, out, _ = run("roster", "status", "--keys", str(keys))
    assert code == 1 and "gate-west: its status is not signed" in out, out
    assert run("roster", "rotate-key", "--keys", str(keys), "--key", str(admin), "--retire", "east")[0] == 2
    assert fleet(keys) == after


def test_old_keys_are_forgotten_when_nothing_needs_them(run: Ctl, admin: Path, keys: Path, gates: Gates, broker: int) -> None:
    north = PaperBox("north", fleet(keys).edition.keys)
    gate = gates(north)
    args = ("--keys", str(keys), "--key", str(admin))
    assert run("roster", "admit", "north", *args, "--gate-key", north.public)[0] == 0
    say(gate, *north.writes(Card(person="E1", faces=face(b"1"))))
    assert run("roster", "rotate-key", *args)[0] == 0
    gate.status(public_key=north.public, roster=north.status(old_key=1, waiting=1))
    code, _, err = run("roster", "rotate-key", *args, "--forget")
    assert code == 1 and "not sent yet" in err
    gate.status(public_key=north.public, roster=north.status(old_key=1))
    say(gate, *north.says_head(1))
    code, _, err = run("roster", "rotate-key", *args, "--forget")
    assert code == 1 and "1 record of north under key 1" in err
    north.keys = fleet(keys).edition.keys
    say(gate, *north.writes(Card(person="E1", faces=face(b"1"))))
    say(gate, *north.says_head(2))
    assert run("roster", "rotate-key", *args, "--forget")[0] == 0
    assert set(fleet(keys).edition.keys.sealing) == {2}
    code, _, err = run("roster", "rotate-key", *args, "--forget")
    assert code == 1 and "no key to forget" in err


def test_rebuild_asks_a_gate_of_the_box(run: Ctl, keys: Path, gates: Gates) -> None:
    north, south = (PaperBox(name, fleet(keys).edition.keys) for name in ("north", "south"))
    gates(north)
    other = gates(south)
    code, out, _ = run("roster", "rebuild", "south")
    assert code == 0 and "gate-south" in out and [type(command) for command in other.commands] == [m.Resync]
    assert run("roster", "rebuild", "east")[0] == 3


@pytest.mark.parametrize(
    ("do", "says"),
    [
        (lambda path: path.chmod(0o644), "others may read the key"),
        (lambda path: path.unlink(), "No such file"),
        (lambda path: path.write_text(""), "does not hold the keys of a fleet"),
        (lambda path: path.write_text(path.read_text().replace('"acme"', '"other"')), "site other"),
        (lambda path: path.write_text(path.read_text()[:200]), "does not hold the keys of a fleet"),
        (lambda path: path.write_bytes(b"\xff" * 10), "does not hold the keys of a fleet"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(
    run: Ctl, admin: Path, keys: Path, do: Callable[[Path], object], says: str, broker: int
) -> None:
    do(keys)
    for step in (("admit", "north"), ("status",), ("verify",), ("rotate-key",)):
        code, _, err = run("roster", *step, "--keys", str(keys), "--key", str(admin))
        assert code == 2 and says in err and "hint" in err


def test_without_the_administrators_key_nothing_is_given(run: Ctl, keys: Path, tmp_path: Path) -> None:
    for step in (("admit", "north", "--keys", str(keys)), ("rotate-key", "--keys", str(keys)), ("init", "--out", str(tmp_path / "new"))):
        code, _, err = run("roster", *step)
        assert code == 2 and "--key" in err
    assert not (tmp_path / "new").exists()


def test_status_tells_the_boxes_apart(run: Ctl, keys: Path, gates: Gates) -> None:
    assert run("roster", "status")[0] == 3
    shared = fleet(keys).edition.keys
    north, south, west = (PaperBox(name, shared) for name in ("north", "south", "west"))
    for box in (north, south):
        gates(box)
    assert run("roster", "status")[0] == 0
    west.writes(Card(person="E1"))
    gates(west, standing="stale", head_age_s=700.0, disputed=2, keeper=True)
    code, out, _ = run("roster", "status")
    assert code == 1 and "west *" in out and "stale" in out and "12 min ago" in out and "other records than most boxes" in out
    code, out, _ = run("roster", "status", "--json")
    said = {line["box"]: line for line in map(json.loads, out.splitlines())}
    assert code == 1 and said["west"]["same"] is False and said["north"]["well"] is True and said["west"]["roster"]["disputed"] == 2


def say(gate: FakeGate, topic: str, payload: bytes) -> None:
    gate.client.publish(topic, payload, qos=1, retain=True).wait_for_publish(5)


def test_verify_finds_what_is_wrong(run: Ctl, admin: Path, keys: Path, gates: Gates) -> None:
    shared = fleet(keys).edition.keys
    north, south, stranger = (PaperBox(name, shared) for name in ("north", "south", "stranger"))
    gate = gates(north)
    gates(south)
    for box in (north, south):
        assert run("roster", "admit", box.name, "--keys", str(keys), "--key", str(admin), "--gate-key", box.public)[0] == 0
    ask = ("roster", "verify", "--keys", str(keys))
    code, out, _ = run(*ask)
    assert code == 1 and "no head" in out
    for person in ("E1", "E2", "E3"):
        say(gate, *north.writes(Card(person=person, faces=face(person.encode()))))
    say(gate, *north.says_head(1))
    code, out, _ = run(*ask)
    assert code == 0 and "3 records of 3 people (3 active)" in out and "everything that the head counts" in out
    # Two desks that did not hear each other, a record of somebody unknown, and one on another's topic.
    say(gate, *(disputed := south.writes(Card(person="E1", faces=face(b"other")))))
    north.hears(*disputed, [south])
    say(gate, *north.says_head(2))
    code, out, _ = run(*ask, "--json")
    said = json.loads(out)
    assert (
        code == 0
        and said["disputed"] == ["E1"]
        and said["states"] == {"active": 2, "suspended": 1}
        and said["sum"] == north.coverage.sum.text
    )
    say(gate, *stranger.writes(Card(person="E4")))
    say(gate, north.ident_topic("E9"), north.payloads[north.ident_topic("E2")])
    code, out, _ = run(*ask)
    assert code == 1 and "unknown_writer" in out and "bad_signature" in out
    say(gate, stranger.ident_topic("E4"), b"")
    say(gate, north.ident_topic("E9"), b"")
    # A record that the head counts is gone; then it comes back in an older form.
    say(gate, north.ident_topic("E3"), b"")
    code, out, _ = run(*ask)
    assert code == 1 and "lacks records" in out and "north" in out
    old = north.payloads[north.ident_topic("E3")]
    revoked = north.writes(Card(person="E3", state="revoked"))
    say(gate, *revoked)
    say(gate, *north.says_head(3))
    assert run(*ask)[0] == 0
    say(gate, north.ident_topic("E3"), old)
    assert run(*ask)[0] == 1
    say(gate, *revoked)
    say(gate, *north.says_head(4, now=time.time() - 400))
    code, out, _ = run(*ask)
    assert code == 1 and "no head that is fresh" in out
