"""Stories about keys: who may ask what, where, and about whom; and what a signature does not allow."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemon.commands.answers import Answer
from daemon.commands.deferred import Deferred
from daemon.commands.desk import Desk
from daemon.config import GateConfig
from daemon.core import signing
from daemon.core.audit import read
from daemon.core.messages import LANES, MAX_ENVELOPE_BYTES, MAX_PAYLOAD_BYTES
from daemon.core.values import Delivery
from daemon.edges.store import KEEP_RESULTS_S, Store, StoreError, open_store
from tests.fixtures.asking import done, refused, send, who
from tests.fixtures.desk import NOW, TOPIC, command, desk, painted, tables
from tests.fixtures.engine_site import CONFIG, Site
from tests.fixtures.signers import GRANTS, KEYS, SECRETS, key, keyed_desk, signed
from tests.fixtures.stored import outbox

ALICE, BOB = painted(100), painted(240)
VERIFY, REVOKE, ALL = f"{TOPIC}/verify", f"{TOPIC}/revoke", "ostiary/v1/hq/all/command"
UPDATES: dict[str, dict[str, Any]] = {"update": {"name": "x"}}
MONTH_S = 30 * 86_400.0


@pytest.fixture
def the_desk(store: Store) -> Desk:
    return keyed_desk(store)


def payloads(store: Store) -> list[bytes]:
    return [message.payload for message in outbox(store)]


# ---- who


def test_a_signed_command_is_done_and_its_key_is_in_the_answer_and_in_the_audit_chain(the_desk: Desk, store: Store) -> None:
    result = done(the_desk, signed("hr-1", command("enroll", "E1", [ALICE])))
    assert result.key == "hr-1" and the_desk.current.people["E1"].gates is None
    record = read(list(store.audit.rows())[-1][1])
    assert record is not None and (record.op, record.status, record.key) == ("enroll", "done", "hr-1")
    store.audit.verify()


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (command("enroll", "E1", [ALICE]), "unsigned"),
        (b"", "unsigned"),
        (b"\xff\xfe", "unsigned"),
        (b"[" * 100_000, "unsigned"),
        (b'{"key":' * 100_000, "unsigned"),
        (signed("stranger", command("enroll", "E1", [ALICE])), "unknown_key"),
        (signed("stranger", command("enroll", "E1", [ALICE]), claims="hr-1"), "bad_signature"),
        (signed("badge", command("enroll", "E1", [ALICE]), claims="hr-1"), "bad_signature"),
        (signed("hr-1", command("enroll", "E1", [ALICE])).replace(b"E1", b"E2"), "bad_signature"),
        (signed("hr-1", command("enroll", "E1", [ALICE])).replace(b'"sig":"', b'"sig":"A'), "bad_signature"),
        (signed("hr-1", b"{}"), "malformed"),
        (signed("hr-1", b""), "malformed"),
        (signed("hr-1", signed("hr-1", command("ping"))), "malformed"),
        (signed("hr-1", b"x" * (MAX_PAYLOAD_BYTES + 1)), "too_large"),
        (b"x" * (MAX_ENVELOPE_BYTES + 1), "too_large"),
    ],
)
def test_what_no_key_has_signed_changes_nothing(the_desk: Desk, store: Store, tmp_path: Path, payload: bytes, reason: str) -> None:
    before, records = tables(tmp_path), len(list(store.audit.rows()))
    refused(the_desk, payload, reason)
    assert tables(tmp_path) == before and the_desk.current.people == {}
    assert len(list(store.audit.rows())) == records, "a flood of them does not fill the disk"


@pytest.mark.parametrize("claims", [None, "hr-1"])
def test_who_is_refused_gets_an_answer_to_the_id_of_the_command(the_desk: Desk, claims: str | None) -> None:
    payload = command("enroll", "E1", [ALICE])
    ident = json.loads(payload)["command_id"]
    assert send(the_desk, payload).result.command_id == ident
    result = send(the_desk, signed("stranger", payload, claims=claims)).result
    assert (result.command_id, result.key, result.op) == (ident, None, None), "nothing unproved is repeated but the id"
    done(the_desk, signed("hr-1", payload))  # the true sender's command is carried out


def test_without_keys_a_signed_command_is_refused_because_nobody_can_check_it(store: Store) -> None:
    detail = refused(desk(store), signed("hr-1", command("enroll", "E1", [ALICE])), "unknown_key").detail
    assert detail is not None and "[commands.keys]" in detail


def test_as_large_a_command_as_can_be_sent_unsigned_can_be_sent_signed(the_desk: Desk) -> None:
    image = b"\xff\xd8\xff" + bytes(1_500_000)
    payload = command("enroll", "E1", [image], name='"' * 200, gates=[f'g"{n}' for n in range(64)], consent='"' * 500)
    payload += b" " * (MAX_PAYLOAD_BYTES - len(payload))
    envelope = signed("hr-1", payload)
    assert MAX_PAYLOAD_BYTES < len(envelope) <= MAX_ENVELOPE_BYTES
    refused(the_desk, envelope, "unknown_gate")


# ---- what, and on which topic


@pytest.mark.parametrize("lane", LANES)
def test_each_lane_takes_its_ops_and_no_others(store: Store, lane: str) -> None:
    topic = f"ostiary/v1/hq/north/{lane}"
    for the_desk, sign in ((desk(store, grants=GRANTS), False), (keyed_desk(store), True)):
        for op in LANES["command"]:
            person = None if op in ("list", "reembed", "resync", "ping") else "E9"
            payload = command(op, person, [ALICE] if op == "enroll" else None, **UPDATES.get(op, {}))
            answer = the_desk.handle("north", "t", signed("hr-1", payload, topic) if sign else payload, False, NOW + 1, topic)
            wrong = isinstance(answer, Answer) and answer.result.reason == "wrong_topic"
            assert wrong == (op not in LANES[lane]), (lane, op)


def test_a_topic_that_is_no_lane_takes_nothing(store: Store) -> None:
    for topic in ("ostiary/v1/hq/north/decision", "ostiary/v1/hq/north/command/", "command", ""):
        assert send(desk(store), command("ping"), topic=topic).result.reason == "wrong_topic"


@pytest.mark.parametrize("op", sorted(LANES["command"] - {"verify"}))
def test_a_badge_reader_may_only_say_who_comes_next(the_desk: Desk, tmp_path: Path, op: str) -> None:
    done(the_desk, signed("hr-1", command("enroll", "E1", [ALICE])))
    before = tables(tmp_path)
    person = None if op in ("list", "reembed", "resync", "ping") else "E1"
    payload = command(op, person, [ALICE] if op == "enroll" else None, issued=0.5, **UPDATES.get(op, {}))
    refused(the_desk, signed("badge", payload), "not_authorised")
    assert tables(tmp_path) == before and who(the_desk, 100) == "E1"


def test_a_badge_readers_claim_carries_its_authority_to_the_end(the_desk: Desk) -> None:
    waiting = the_desk.handle("north", "t", signed("badge", command("verify", "E1"), VERIFY), False, NOW + 1, VERIFY)
    assert isinstance(waiting, Deferred) and waiting.request.authority.name == "badge"
    assert the_desk.refuse(waiting, "no_camera", "", NOW + 1).result.key == "badge"


def test_a_grant_is_the_keys_own(store: Store) -> None:
    the_desk = keyed_desk(store, {"hr-1": key("hr-1", grants=frozenset({"replace"})), "north-desk": KEYS["north-desk"]})
    the_desk.grants = GRANTS  # of unsigned commands, which are not taken here
    for more in ({"force": True}, {"images": None, "capture": {"seconds": 2}}):
        payload = command("enroll", "E1", **{"images": [ALICE], **more})  # type: ignore[arg-type]
        detail = refused(the_desk, signed("hr-1", payload), "not_granted").detail
        assert detail is not None and "commands.keys.hr-1.grants" in detail
    done(the_desk, signed("hr-1", command("enroll", "E1", [ALICE], replace=True)))


def test_a_key_acts_at_its_gates_only(the_desk: Desk) -> None:
    south = "ostiary/v1/hq/south/command"
    result = send(the_desk, signed("north-desk", command("ping"), south), topic=south, gate="south").result
    assert result.reason == "wrong_gate"
    payload = signed("north-desk", command("enroll", "E1", [ALICE]), ALL)
    assert send(the_desk, payload, topic=ALL, gate="south").result.reason == "wrong_gate"
    assert send(the_desk, payload, topic=ALL).result.status == "done"
    assert the_desk.current.people["E1"].gates == ("north",)


def test_the_model_of_all_gates_is_not_changed_from_one(the_desk: Desk) -> None:
    refused(the_desk, signed("north-desk", command("reembed")), "wrong_gate")
    waiting = the_desk.handle("north", "t", signed("hr-1", command("reembed")), False, NOW + 1, TOPIC)
    assert isinstance(waiting, Deferred)


# ---- about whom: a key of one gate enrols for that gate only


def given_gates(gates: list[str] | None) -> dict[str, Any]:
    """The field of a command, absent for None."""
    return {} if gates is None else {"gates": gates}


@pytest.mark.parametrize("gates", [["vault"], ["north", "vault"], ["NORTH"]])
def test_a_desk_at_one_gate_enrols_nobody_for_another(the_desk: Desk, tmp_path: Path, gates: list[str]) -> None:
    before = tables(tmp_path)
    refused(the_desk, signed("north-desk", command("enroll", "E1", [ALICE], gates=gates)), "wrong_gate")
    assert tables(tmp_path) == before and who(the_desk, 100) is None


@pytest.mark.parametrize("gates", [None, ["north"]])
def test_whom_a_desk_at_one_gate_enrols_may_pass_there_only(the_desk: Desk, gates: list[str] | None) -> None:
    done(the_desk, signed("north-desk", command("enroll", "E1", [ALICE], **given_gates(gates))))
    assert the_desk.current.people["E1"].gates == ("north",)
    done(the_desk, signed("north-desk", command("enroll", "E1", [ALICE], issued=1)))
    done(the_desk, signed("north-desk", command("update", "E1", name="Alice", issued=2)))
    done(the_desk, signed("north-desk", command("suspend", "E1", issued=3)), now=NOW + 4)
    done(the_desk, signed("north-desk", command("resume", "E1", issued=4)), now=NOW + 5)
    done(the_desk, signed("north-desk", command("revoke", "E1", issued=5)), now=NOW + 6)
    assert the_desk.current.people == {}


@pytest.mark.parametrize("gates", [None, ["vault"], ["north", "vault"]])
def test_a_desk_at_one_gate_touches_nobody_who_may_pass_another(the_desk: Desk, tmp_path: Path, gates: list[str] | None) -> None:
    """A template added to somebody who may pass the vault would let a stranger into the vault."""
    done(the_desk, signed("hr-1", command("enroll", "E1", [ALICE], **given_gates(gates))))
    before = tables(tmp_path)
    tries: list[bytes] = [
        command("enroll", "E1", [ALICE], issued=1),
        command("enroll", "E1", [ALICE], issued=1, gates=["north"]),
        command("enroll", "E1", [BOB], issued=1, replace=True, gates=["north"]),
        command("enroll", "E1", [BOB], issued=1, replace=True, force=True),
        command("enroll", "E1", capture={"seconds": 2}, issued=1),
        command("update", "E1", issued=1, gates=["north"]),
        command("update", "E1", issued=1, gates=None),
        command("update", "E1", issued=1, name="x"),
        command("suspend", "E1", issued=1),
        command("resume", "E1", issued=1),
        command("revoke", "E1", issued=1),
        command("get", "E1", issued=1),
    ]
    for payload in tries:
        detail = refused(the_desk, signed("north-desk", payload), "wrong_gate", now=NOW + 2).detail
        assert detail is not None and "north-desk" in detail
    assert tables(tmp_path) == before and who(the_desk, 100) == "E1" and who(the_desk, 240) is None


@pytest.mark.parametrize("gates", [None, ["vault"], ["north", "vault"]])
def test_a_desk_at_one_gate_widens_no_record_of_its_own(the_desk: Desk, gates: list[str] | None) -> None:
    done(the_desk, signed("north-desk", command("enroll", "E1", [ALICE])))
    refused(the_desk, signed("north-desk", command("update", "E1", issued=1, gates=gates)), "wrong_gate")
    if gates is not None:
        refused(the_desk, signed("north-desk", command("enroll", "E1", [ALICE], issued=1, gates=gates)), "wrong_gate")
    assert the_desk.current.people["E1"].gates == ("north",)
    done(the_desk, signed("hr-1", command("update", "E1", issued=2, gates=gates)), now=NOW + 3)
    refused(the_desk, signed("north-desk", command("enroll", "E1", [ALICE], issued=4)), "wrong_gate", now=NOW + 5)


def test_a_desk_at_one_gate_lists_its_own_people(the_desk: Desk) -> None:
    done(the_desk, signed("hr-1", command("enroll", "E1", [ALICE])))
    done(the_desk, signed("north-desk", command("enroll", "E2", [BOB])))
    done(the_desk, signed("hr-1", command("enroll", "E3", [painted(170)], gates=["vault", "north"])))
    assert [one.person for one in done(the_desk, signed("north-desk", command("list"))).people or []] == ["E2"]
    assert [one.person for one in done(the_desk, signed("north-desk", command("get", "E2"))).people or []] == ["E2"]
    assert [one.person for one in done(the_desk, signed("hr-1", command("list"))).people or []] == ["E1", "E2", "E3"]


def test_a_capture_is_judged_by_the_record_that_stands_at_its_end(the_desk: Desk) -> None:
    done(the_desk, signed("north-desk", command("enroll", "E1", [ALICE])))
    payload = signed("north-desk", command("enroll", "E1", capture={"seconds": 2}, issued=2))
    waiting = the_desk.handle("north", "t", payload, False, NOW + 2, TOPIC)
    assert isinstance(waiting, Deferred)
    done(the_desk, signed("hr-1", command("update", "E1", issued=1, gates=["north", "vault"])), now=NOW + 3)
    answer = the_desk.finish(waiting, lambda: pytest.fail("nobody's picture is judged"), NOW + 4)
    assert (answer.result.reason, answer.result.key) == ("wrong_gate", "north-desk")


def test_a_capture_carries_its_authority_to_its_end(store: Store) -> None:
    site = Site(store, keys=KEYS)
    site.turn()
    site.asks(signed("north-desk", command("enroll", "E1", capture={"seconds": 2}, issued=100)))
    (answer,) = [told for told in site.sees(100, times=25) if "status" in told]
    assert (answer["status"], answer["key"]) == ("done", "north-desk") and site.current.people["E1"].gates == ("north",)


def test_a_capture_of_another_key_with_the_same_id_is_another_capture(store: Store) -> None:
    site, ident = Site(store, keys=KEYS), str(uuid4())
    site.turn()
    payload = command("enroll", "E1", capture={"seconds": 2}, issued=100, command_id=ident)
    assert site.asks(signed("hr-1", payload)) == []
    (busy,) = site.asks(signed("north-desk", payload))
    assert (busy["reason"], busy["key"]) == ("busy", "north-desk")
    assert site.asks(signed("hr-1", payload)) == [], "a repeated delivery joins the capture under way"
    assert [told["key"] for told in site.sees(100, times=25) if "status" in told] == ["hr-1"]
    assert len(site.wire.acknowledged) == 3


def test_a_claim_for_all_gates_is_refused_on_every_lane(store: Store) -> None:
    site = Site(store, config=replace(CONFIG, gates={"north": GateConfig(source="x", mode="both")}), keys=KEYS)
    site.turn()
    site.asks(signed("hr-1", command("enroll", "E1", [ALICE], issued=100)))
    for topic in (ALL, f"{ALL}/verify"):
        payload = signed("badge", command("verify", "E1", issued=100), topic)
        site.mailbox.deliver(Delivery("north", topic, payload, False, (1, 100, 1)))
        assert [told["reason"] for told in site.turn()] == ["not_for_all"]


def test_a_revocation_of_somebody_unknown_still_supersedes_what_comes_late(the_desk: Desk) -> None:
    """Revocations travel on a topic of their own, so they may overtake."""
    answer = send(the_desk, signed("north-desk", command("revoke", "E1", issued=1), REVOKE), now=NOW + 2, topic=REVOKE)
    assert answer.result.reason != "wrong_gate"
    refused(the_desk, signed("north-desk", command("enroll", "E1", [ALICE])), "superseded", now=NOW + 3)


def test_a_failing_disk_lets_no_key_shut_out_more_people(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    the_desk = keyed_desk(store)
    done(the_desk, signed("hr-1", command("enroll", "E1", [ALICE])))
    done(the_desk, signed("north-desk", command("enroll", "E2", [BOB])))

    def fails(*_: object) -> bytes:
        raise StoreError("the disk does not answer", "")

    monkeypatch.setattr(Store, "result", fails)
    beyond = send(the_desk, signed("north-desk", command("revoke", "E1", issued=1)))
    assert beyond.result.reason == "not_durable" and beyond.barred is None and "E1" in the_desk.current.people
    within = send(the_desk, signed("north-desk", command("revoke", "E2", issued=1)))
    assert within.barred == "E2" and "E2" not in the_desk.current.people


# ---- once: what a signature does not allow


def test_a_replayed_envelope_gets_its_answer_again_and_does_nothing(the_desk: Desk, store: Store, tmp_path: Path) -> None:
    enrol, revoke = signed("hr-1", command("enroll", "E1", [ALICE])), signed("hr-1", command("revoke", "E1", issued=1))
    first = [send(the_desk, enrol).encoded, send(the_desk, revoke).encoded]
    before = tables(tmp_path)
    for later in (2, 3000, 100_000):
        assert [send(the_desk, enrol, now=NOW + later).encoded, send(the_desk, revoke, now=NOW + later).encoded] == first
    assert tables(tmp_path) == before and the_desk.current.people == {}


def test_a_question_that_is_replayed_is_answered_while_it_is_fresh_and_not_later(the_desk: Desk) -> None:
    for op in ("list", "ping"):
        payload = signed("hr-1", command(op))
        done(the_desk, payload)
        done(the_desk, payload)
    question = signed("hr-1", command("list"))
    refused(the_desk, question, "expired", now=NOW + 61)


@pytest.mark.parametrize("topic", [ALL, "ostiary/v1/hq/south/command", "ostiary/v1/other/north/command", f"{TOPIC}/enrolment"])
def test_an_envelope_for_one_topic_says_nothing_on_another(the_desk: Desk, topic: str) -> None:
    envelope = signed("hr-1", command("enroll", "E1", [ALICE]))
    assert send(the_desk, envelope, topic=topic).result.reason == "bad_signature"
    assert send(the_desk, signed("hr-1", command("enroll", "E1", [ALICE]), topic)).result.reason == "bad_signature"
    assert the_desk.current.people == {}


def test_the_same_command_signed_anew_by_the_same_key_is_the_same_command(the_desk: Desk) -> None:
    payload = command("enroll", "E1", [ALICE])
    first = send(the_desk, signed("hr-1", payload))
    again = send(the_desk, signed("hr-1", payload, ALL), topic=ALL)
    assert first.encoded == again.encoded and the_desk.current.serving.gallery.templates == 1


def test_nobody_takes_the_id_of_another_keys_command(the_desk: Desk) -> None:
    """Else whoever sees a revocation pass could use up its id first, and it would never be carried out."""
    ident = str(uuid4())
    done(the_desk, signed("hr-1", command("enroll", "E1", [ALICE])))
    taken = send(the_desk, signed("north-desk", command("ping", command_id=ident)))
    assert taken.result.status == "done"
    result = done(the_desk, signed("hr-1", command("revoke", "E1", issued=1, command_id=ident)))
    assert (result.op, result.key) == ("revoke", "hr-1") and the_desk.current.people == {}
    again = send(the_desk, signed("north-desk", command("revoke", "E2", issued=1, command_id=ident)))
    assert again.encoded == taken.encoded, "and it gets no answer but its own"


def test_an_answer_is_kept_under_the_key_and_not_under_its_name(store: Store) -> None:
    payload = command("enroll", "E1", [ALICE])
    first = send(keyed_desk(store), signed("hr-1", payload))
    renamed = keyed_desk(store, {"personnel": KEYS["hr-1"]})
    again = send(renamed, signed("hr-1", payload, claims="personnel"), now=NOW + 10_000)
    assert first.encoded == again.encoded


def test_commands_that_are_expired_or_out_of_order_do_nothing_however_well_signed(the_desk: Desk) -> None:
    refused(the_desk, signed("hr-1", command("enroll", "E1", [ALICE])), "expired", now=NOW + 61)
    refused(the_desk, signed("hr-1", command("enroll", "E1", [ALICE], issued=100)), "from_the_future")
    refused(the_desk, signed("hr-1", command("enroll", "E1", [ALICE], life=601)), "expires_too_late")
    refused(the_desk, signed("hr-1", command("enroll", "E1", [ALICE])), "retained", retained=True)
    done(the_desk, signed("hr-1", command("revoke", "E1", issued=2)), now=NOW + 3)
    refused(the_desk, signed("hr-1", command("enroll", "E1", [ALICE], issued=1)), "superseded", now=NOW + 3)
    assert the_desk.current.people == {}


@pytest.mark.parametrize("op", ["revoke", "suspend"])
def test_a_shutting_out_that_is_replayed_after_its_answer_is_forgotten_does_nothing(the_desk: Desk, op: str) -> None:
    done(the_desk, signed("hr-1", command("enroll", "E1", [ALICE])))
    old = signed("hr-1", command(op, "E1", issued=1))
    done(the_desk, old, now=NOW + 2)
    later = NOW + MONTH_S + 100
    with the_desk.store.transaction():  # the answer is older than 30 days by then, and deleted
        the_desk.store.prune_results(later - KEEP_RESULTS_S, "", 500)
    back = command("resume", "E1", now=later) if op == "suspend" else command("enroll", "E1", [ALICE], now=later)
    done(the_desk, signed("hr-1", back), now=later + 1)
    refused(the_desk, old, "superseded", now=later + 2)
    assert not the_desk.current.people["E1"].suspended


@pytest.mark.parametrize("age_s", [0.0, 86_400.0, 28 * 86_400.0])
def test_a_shutting_out_that_comes_late_shuts_out(the_desk: Desk, age_s: float) -> None:
    done(the_desk, signed("hr-1", command("enroll", "E1", [ALICE], issued=1)), now=NOW + 2)
    done(the_desk, signed("hr-1", command("revoke", "E1", issued=0)), now=NOW + age_s + 3)
    assert the_desk.current.people == {}


def test_a_shutting_out_that_comes_very_late_shuts_out_unless_something_newer_was_done(the_desk: Desk) -> None:
    done(the_desk, signed("hr-1", command("enroll", "E1", [ALICE])))
    done(the_desk, signed("hr-1", command("revoke", "E1", issued=1)), now=NOW + 10 * MONTH_S)
    assert the_desk.current.people == {}


# ---- at which rate


def test_a_key_has_its_rate_and_shutting_out_is_not_counted(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    the_desk = keyed_desk(store, {"hr-1": key("hr-1", rate=3.0), "north-desk": KEYS["north-desk"]})
    now_s = 50.0
    monkeypatch.setattr("daemon.commands.desk.time.perf_counter", lambda: now_s)
    for _ in range(3):
        done(the_desk, signed("hr-1", command("ping")))
    records = len(list(store.audit.rows()))
    late = command("ping")
    result = refused(the_desk, signed("hr-1", late), "too_many")
    assert result.key == "hr-1" and result.command_id is not None and len(list(store.audit.rows())) == records
    done(the_desk, signed("north-desk", command("ping")))
    for op in ("revoke", "suspend"):
        assert send(the_desk, signed("hr-1", command(op, "E1"))).result.reason != "too_many"
    now_s += 20.0
    done(the_desk, signed("hr-1", late))
    refused(the_desk, signed("hr-1", command("ping")), "too_many")
    now_s += 3600.0
    for _ in range(3):
        done(the_desk, signed("hr-1", command("ping")))
    refused(the_desk, signed("hr-1", command("ping")), "too_many")


def test_a_dry_run_counts_as_the_enrolment_does(store: Store) -> None:
    """Whoever asks again and again whose face a picture shows is slowed down."""
    the_desk = keyed_desk(store, {"hr-1": key("hr-1", rate=3.0)})
    for number in range(3):
        done(the_desk, signed("hr-1", command("enroll", f"E{number}", [ALICE], dry_run=True)))
    refused(the_desk, signed("hr-1", command("enroll", "E9", [BOB], dry_run=True)), "too_many")
    refused(the_desk, signed("hr-1", command("enroll", "E9", [BOB])), "too_many")


@pytest.mark.parametrize("op", ["ping", "list"])
def test_a_command_that_comes_again_does_not_use_up_the_rate_of_its_key(store: Store, op: str) -> None:
    """Whoever may publish can record what a key has signed, and send it again."""
    the_desk = keyed_desk(store, {"hr-1": key("hr-1", rate=2.0)})
    recorded = signed("hr-1", command(op))
    for _ in range(50):
        send(the_desk, recorded)
    assert store.depth() < 30, "and gets an answer only now and then"
    done(the_desk, signed("hr-1", command("ping")))
    refused(the_desk, signed("hr-1", command("ping")), "too_many")


def test_nobody_else_uses_up_the_rate_of_a_key(store: Store) -> None:
    the_desk = keyed_desk(store, {"hr-1": key("hr-1", rate=1.0)})
    for _ in range(5):
        refused(the_desk, signed("stranger", command("ping"), claims="hr-1"), "bad_signature")
    done(the_desk, signed("hr-1", command("ping")))


# ---- any story

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["hr-1", "north-desk", "north-desk"]),
        st.sampled_from(["enroll", "enroll", "update", "revoke", "suspend", "resume"]),
        st.sampled_from(["E1", "E2"]),
        st.sampled_from([None, ["north"], ["vault"], ["north", "vault"]]),
        st.sampled_from([100, 170, 240]),
        st.booleans(),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_whatever_a_desk_at_one_gate_asks_nobody_beyond_it_changes(tmp_path: Path, steps: list[Any]) -> None:
    store = open_store(tmp_path / uuid4().hex)
    the_desk = keyed_desk(store)

    def beyond() -> dict[str, Any]:
        """Records and templates of all who may pass another gate than north."""
        people = the_desk.current.people.values()
        records = [record for record in people if record.gates is None or set(record.gates) != {"north"}]
        return {record.person: (record, [template.number for template in store.templates_of(record.person)]) for record in records}

    for second, (name, op, person, gates, brightness, more) in enumerate(steps):
        fields = given_gates(gates)
        if op == "update":
            fields = {"gates": gates} if more else {"name": str(second), **fields}
        elif op == "enroll":
            fields |= {"replace": True, "force": True} if more else {}
        else:
            fields = {}
        payload = command(op, person, [painted(brightness)] if op == "enroll" else None, issued=second, **fields)
        before = beyond()
        send(the_desk, signed(name, payload), now=NOW + second + 0.5)
        if name == "north-desk":
            assert beyond() == before
    store.close()


# ---- anything at all

ENVELOPES = st.fixed_dictionaries(
    {},
    optional={
        "key": st.one_of(st.sampled_from(["hr-1", "north-desk", "badge", "", "x" * 100]), st.text(), st.none(), st.integers()),
        "sig": st.one_of(st.text(), st.binary().map(lambda b: b.hex()), st.none(), st.lists(st.integers())),
        "body": st.one_of(st.text(), st.just(command("ping").decode()), st.none(), st.dictionaries(st.text(), st.integers())),
        "more": st.integers(),
    },
).map(lambda made: json.dumps(made).encode())


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(payload=st.one_of(st.binary(), ENVELOPES))
def test_nothing_that_is_sent_raises_or_is_done(the_desk: Desk, payload: bytes) -> None:
    assert send(the_desk, payload).result.status == "refused"


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), name=st.sampled_from(sorted(SECRETS)))
def test_a_flipped_or_cut_envelope_is_refused(the_desk: Desk, data: st.DataObject, name: str) -> None:
    whole = bytearray(signed(name, command("enroll", "E1", [ALICE], command_id=str(uuid4()))))
    place = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        whole[place] ^= 1 << data.draw(st.integers(0, 7))
    else:
        del whole[place:]
    result = send(the_desk, bytes(whole)).result
    assert result.status == "refused" and "E1" not in the_desk.current.people, whole


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.one_of(st.text(), st.recursive(st.none() | st.text() | st.floats(), lambda inner: st.lists(inner)).map(json.dumps)))
def test_what_a_key_signs_may_be_anything(the_desk: Desk, body: str) -> None:
    payload = msgspec.json.encode({"key": "hr-1", "sig": "", "body": body})
    found = signing.envelope(payload)
    assert found is not None
    assert send(the_desk, signed("hr-1", found.body.encode())).result.reason in ("malformed", "too_many")


def fields(result: Any) -> dict[str, Any]:
    return dict(msgspec.to_builtins(result))


def test_without_keys_an_answer_is_what_it_was(store: Store) -> None:
    result = fields(done(desk(store), command("enroll", "E1", [ALICE])))
    assert result["key"] is None and "sig" not in result
    record = read(list(store.audit.rows())[-1][1])
    assert record is not None and record.key is None and b'"key"' not in list(store.audit.rows())[-1][1]  # type: ignore[operator]
