"""What is heard, and how much of it may wait."""

import threading

import msgspec
import pytest

from daemon.client import said
from daemon.client.room import Room
from daemon.core import messages as m
from tests.fixtures.fake_gate import decision


@pytest.mark.parametrize(
    ("topic", "place"),
    [
        ("ostiary/v1/acme/north/status", ("north", "status")),
        ("ostiary/v1/acme/north/visitor/1f", ("north", "visitor")),
        ("ostiary/v1/acme/north/visitor", None),
        ("ostiary/v1/acme/north/status/x", None),
        ("ostiary/v1/acme/north/command", None),
        ("ostiary/v1/acme/all/status", None),
        ("ostiary/v1/acme//status", None),
        ("ostiary/v1/acme/no rth/status", None),
        ("ostiary/v1/acme/north/visitor/\u202e", None),
        ("ostiary", None),
        ("", None),
    ],
)
def test_only_the_topics_of_gates_have_a_place(topic: str, place: tuple[str, str] | None) -> None:
    assert said.place(topic) == place


@pytest.mark.parametrize("leaf", list(said.LONGEST))
def test_a_message_has_an_end(leaf: str) -> None:
    topic = f"ostiary/v1/acme/north/{leaf}" + ("/v" if leaf == "visitor" else "")
    found = said.read(topic, b" " * (said.LONGEST[leaf] + 1))
    assert isinstance(found, said.Odd) and "at most" in found.why


def test_a_page_of_the_longest_records_fits() -> None:
    most = {"person": "E" * 64, "name": "ü" * 200, "state": "suspended", "templates": 9, "enrolled_at": m.utc(0), "valid_from": m.utc(0),
            "valid_until": m.utc(4e9), "gates": ["g" * 64] * 64, "schedule": "s" * 64, "consent": "ü" * 500}  # fmt: skip
    entry = msgspec.convert(most, m.PersonEntry)
    assert len(m.encode(entry)) * 1000 < said.LONGEST["result"]
    assert len(decision(name="ü" * 200, model="m" * 200)) * 10 < said.LONGEST["decision"]


def test_who_finds_no_room_waits_and_a_closed_room_lets_everybody_through() -> None:
    room, through = Room(10), threading.Semaphore(0)

    def giver(much: int) -> None:
        room.take(much)
        through.release()

    room.take(50)  # larger than the room, but alone
    threads = [threading.Thread(target=giver, args=(much,)) for much in (6, 6)]
    for thread in threads:
        thread.start()
    assert not through.acquire(timeout=0.1)
    room.give(50)
    assert through.acquire(timeout=10) and not through.acquire(timeout=0.1)
    room.close()
    assert through.acquire(timeout=10)
    for thread in threads:
        thread.join()
