"""The reasons why a gate is not serving: one closed list, one table."""

from typing import Any, get_args

import pytest

from daemon.core import status
from daemon.core.status import TABLE, Severity, Trouble, Word
from daemon.core.values import CameraTrouble, Incident, LinkName

TROUBLES: dict[Word, dict[str, Any]] = {
    Word.DISK: {"disk": "disk I/O error"},
    Word.UNSOUND: {"unsound": "2 templates in memory are not as in the store"},
    Word.THRESHOLD_UNRESOLVED: {"unresolved": True},
    Word.CLAIMS_UNRESOLVED: {"unverifiable": True},
    Word.OTHER_MODEL: {"left_out": 3},
    **{Word(f"camera_{word}"): {"camera": (word, "rtsp://…: 401")} for word in (*get_args(CameraTrouble), "ended")},
    Word.TOO_SLOW: {"slow": "1.3 frames a second of 15.0, and needs 2.5"},
    Word.BROKER_DOWN: {"down": {"out": "refused"}},
    Word.COMMANDS_DOWN: {"down": {"commands": "refused"}},
    Word.REVOCATIONS_DOWN: {"down": {"urgent": "refused"}},
    **{Word(word): {"incidents": {word: "2027-03-01T08:00:00.000Z"}} for word in get_args(Incident)},
    Word.PUBLISH_REFUSED: {"refused": "Not authorized"},
    Word.OUTBOX_DROPPED: {"dropped": 7},
    Word.ROSTER_DOWN: {"down": {"roster": "refused"}},
    Word.ROSTER_DISPUTED: {"disputed": ["E1042"]},
    **{
        word: {"roster": {word: ": 3 people"}}
        for word in Word
        if word.startswith("roster_") and word not in ("roster_down", "roster_disputed")
    },
    Word.STORE_DAMAGED: {"standing": {Word.STORE_DAMAGED: "1 template"}},
    Word.AUDIT_BROKEN: {"audit": 0},
    Word.ERASURE_WAITS: {"unerased": "60 s"},
    Word.DISK_LOW: {"low": "12 MB of 100 MB are"},
    Word.CLOCK_UNTRUSTED: {"untimed": 2},
    Word.CLOCK_STEPPED: {"stepped": True},
    Word.FACES_TURNED: {"turned": True},
    Word.TWO_FACES: {"two_faces": ["E1042"]},
    Word.LIVENESS_FAILED: {"liveness": "out of memory"},
    Word.EXACT_SEARCH: {"graph": "no room"},
    Word.RECORDING_STOPPED: {"recorder": {Word.RECORDING_STOPPED: "No space left on device"}},
    Word.FLIGHT_STOPPED: {"recorder": {Word.FLIGHT_STOPPED: "No space left on device"}},
    Word.METRICS_DOWN: {"metrics": "metrics cannot be served on 10.0.0.9:9464"},
    Word.UNSIGNED_COMMANDS: {"standing": {Word.UNSIGNED_COMMANDS: "broker.example"}},
    Word.UNCALIBRATED: {"uncalibrated": True},
}
"""What makes each word, alone."""


def test_every_word_has_a_row_with_all_that_people_need() -> None:
    assert set(TABLE) == set(TROUBLES) == set(Word)
    for word, row in TABLE.items():
        assert row.severity in get_args(Severity) and row.text and row.step and row.text.count("{}") <= 1, word
    assert {status._DOWN[name] for name in get_args(LinkName)} == {
        Word.BROKER_DOWN,
        Word.COMMANDS_DOWN,
        Word.REVOCATIONS_DOWN,
        Word.ROSTER_DOWN,
    }


@pytest.mark.parametrize("word", Word)
def test_each_trouble_is_one_reason_with_its_text_and_its_next_step(word: Word) -> None:
    (reason,) = Trouble(**TROUBLES[word]).reasons
    line = reason.line()
    assert reason.word is word and line.startswith(f"{word}: ") and line.endswith(TABLE[word].step) and "{}" not in line
    assert status.state([reason]) == ("closed" if word in (Word.DISK, Word.UNSOUND) else "degraded")
    assert status.summary({"north": [reason], "south": []}) == f"gate north {status.state([reason])} ({word}); gate south serving"


def test_what_closes_comes_first_and_a_gate_without_any_threshold_is_closed() -> None:
    trouble = Trouble(left_out=1, unresolved=True, unverifiable=True, idle=True, uncalibrated=True, camera=("down", None))
    assert [(reason.word, reason.severity == "closes") for reason in trouble.reasons] == [
        (Word.THRESHOLD_UNRESOLVED, True), (Word.CLAIMS_UNRESOLVED, True), (Word.OTHER_MODEL, False), (Word.CAMERA_DOWN, False),
    ]  # fmt: skip
    assert status.state(trouble.reasons) == "closed"
    assert status.state(Trouble(unresolved=True).reasons) == "degraded", "it still verifies"
    assert Trouble().reasons == () and status.state(()) == "serving"


def test_people_are_called_as_the_outlet_calls_them_and_a_text_may_hold_anything() -> None:
    (reason,) = Trouble(two_faces=[f"E{n}" for n in range(7)]).reasons
    assert "accepted as E0, E1, E2, E3, E4 and others;" in reason.line() and "E0" not in reason.line(lambda person: "somebody")
    (odd,) = Trouble(disk="{0} {} {x}").reasons
    assert odd.line().startswith("disk: {0} {} {x};")


def test_everything_at_once() -> None:
    everything: dict[str, Any] = {}
    for trouble in TROUBLES.values():
        for key, value in trouble.items():
            everything[key] = {**everything.get(key, {}), **value} if isinstance(value, dict) else value
    words = [reason.word for reason in Trouble(**everything).reasons]
    assert sorted(words) == sorted(set(Word) - {Word.CAMERA_DOWN, Word.CAMERA_FROZEN, Word.CAMERA_BEHIND})
