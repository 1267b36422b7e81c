"""Server-sent events: what comes, to whom, and when the stream ends."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from daemon.console import streams, users
from daemon.core import messages as m
from tests.console.conftest import Rig, Rigs, until
from tests.fixtures.fake_gate import FakeGate, decision

pytestmark = pytest.mark.broker


class Reader:
    """Reads a stream in a thread."""

    def __init__(self, rig: Rig, user: str) -> None:
        self.events: list[tuple[str, Any]] = []
        self.ended = threading.Event()
        self.client = rig.browser()
        self.headers = rig.token(user)
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            with self.client.stream("GET", "/api/events", headers=self.headers, timeout=60) as answer:
                name = ""
                for line in answer.iter_lines():
                    key, _, value = line.partition(": ")
                    if key == "event":
                        name = value
                    if key == "data":
                        self.events.append((name, json.loads(value)))
        except httpx.HTTPError:
            pass
        self.ended.set()

    def of(self, name: str) -> list[Any]:
        return [what for one, what in self.events if one == name]

    def __enter__(self) -> "Reader":
        self._thread.start()
        until(lambda: self.of("hello"))
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()


@contextmanager
def reading(rig: Rig, *names: str) -> Iterator[list[Reader]]:
    readers = [Reader(rig, name).__enter__() for name in names]
    yield readers
    for reader in readers:
        reader.client.delete("/api/session", headers=reader.headers)
        assert reader.ended.wait(10)
        reader.__exit__()


def test_what_happens_comes_as_events_and_stays_to_be_asked_for(rig: Rig, gate: FakeGate) -> None:
    with reading(rig, "viewer", "guard") as (viewer, guard):
        gate.decide(
            [decision(event_id="a", sequence=1), decision(event_id="b", sequence=2, decision="unknown", reason="no_match", person=None)]
        )
        gate.decide([decision(event_id="a", sequence=1)])  # delivered again
        gap = m.GapMessage(gate="north", at=m.utc(0), reason="old", decisions=1, first=3, last=3, answers=0)
        gate.say("gap", m.encode(gap)).wait_for_publish(5)
        gate.status(
            state="degraded", reasons=["camera_down: no picture comes; check camera, cable and network; `ostiaryd check` tests the source"]
        )
        rig.logged_in("desk").post("/api/people/E1/resume")
        gate.say("result", m.encode(m.Result(
            command_id="6b1f6f0e-0000-4000-8000-000000000001", op="suspend", status="done", reason=None, detail=None, person="E1",
            gallery_revision=95, took_ms=1.0,
        ))).wait_for_publish(5)  # fmt: skip
        until(lambda: guard.of("people") and viewer.of("gate") and guard.of("gap"))
        assert [one["event_id"] for one in guard.of("decision")] == ["a", "b"]
        assert guard.of("people") == [{"person": "E1", "op": "suspend", "gate": "north", "status": "done"}] and not viewer.of("people")
        (advice,) = viewer.of("gate")[-1]["advice"]
        assert advice == {
            "word": "camera_down", "line": "no picture comes", "next": "check camera, cable and network; `ostiaryd check` tests the source"
        }  # fmt: skip
    said = rig.logged_in("viewer").get("/api/decisions", params={"decision": "unknown"}).json()
    assert [one["event_id"] for one in said["decisions"]] == ["b"] and said["gaps"][0]["first"] == 3


@pytest.mark.parametrize("how", ["logout", "password", "removed"])
def test_a_stream_ends_with_its_session(rig: Rig, how: str) -> None:
    with Reader(rig, "viewer") as reader:
        if how == "logout":
            rig.browser().delete("/api/session", headers=reader.headers)
        elif how == "password":
            users.change(rig.users, "viewer", password="another long password")
        else:
            users.remove(rig.users, "viewer")
        assert reader.ended.wait(10)


def test_a_session_cannot_outlive_its_minutes_whatever_it_is_used_for(rig: Rig) -> None:
    with Reader(rig, "viewer") as reader:
        (session,) = rig.console.sessions._open.values()
        session.until_s = 0.0
        assert reader.ended.wait(10)
        assert rig.browser().get("/api/session", headers=reader.headers).status_code == 401


def test_an_open_stream_keeps_a_session_in_use_and_an_idle_one_ends(rig: Rig) -> None:
    with Reader(rig, "viewer") as reader:
        idle = rig.token("guard")
        sessions = {one.user: one for one in rig.console.sessions._open.values()}
        long_ago_s = time.monotonic() - 3600
        for session in sessions.values():
            session.used_s = long_ago_s
        until(lambda: sessions["viewer"].used_s > long_ago_s)
        assert rig.browser().get("/api/session", headers=idle).status_code == 401
        rig.browser().delete("/api/session", headers=reader.headers)


def test_streams_have_a_number(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "MOST_OF_ONE", 1)
    with Reader(rig, "viewer") as reader:
        answer = rig.browser().get("/api/events", headers=reader.headers)
        assert (answer.status_code, answer.json()["code"]) == (429, "busy")
        monkeypatch.setattr(streams, "MOST", 1)
        assert rig.browser().get("/api/events", headers=rig.token("guard")).status_code == 503
        rig.browser().delete("/api/session", headers=reader.headers)


def test_the_console_stops_within_seconds_although_streams_are_open(rigs: Rigs) -> None:
    rig = rigs()
    with Reader(rig, "viewer") as reader:
        rig.served.stop()
        assert reader.ended.wait(5)
        until(lambda: not rig._thread.is_alive(), 6)


def test_a_slow_reader_is_sent_away_to_load_anew() -> None:
    import asyncio

    from daemon.console.roles import Role
    from daemon.console.sessions import Sessions

    async def story() -> list[bytes]:
        session = Sessions(1, 1, lambda name: None).begin("a", Role.VIEWER, None, 0.0, 0.0)
        every = streams.Streams()
        events = every.follow(session, [("hello", {})])
        await anext(events)
        for number in range(streams.WAITING + 5):
            every.tell("decision", {"number": number})
        return [event async for event in events]

    told = asyncio.run(story())
    assert len(told) == 1 and b"event: reload" in told[0]
