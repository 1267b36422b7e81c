"""Attacks on a roster record: by somebody at the broker, who has no key, and by a box that was stolen, which has all of them."""

import hashlib
import struct
import time
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.core import signing
from daemon.core.people import roster_wire as wire
from daemon.core.people.roster import Card, Face, Stamp
from tests.fixtures.paper_box import face

SITE = "acme"
KEYS = wire.SiteKeys(b"i" * 32, {1: b"a" * 32, 2: b"b" * 32})
NORTH, SOUTH, STRANGER = (signing.private_key(bytes([n]) * 32) for n in (1, 2, 3))
WRITERS = {"north": NORTH.public_key(), "south": SOUTH.public_key()}
CARD = Card(
    person="E1042", name="Ada", valid_until=1_900_000_000.0, gates=("n", "s"), schedule="day", consent="file 7",
    enrolled_at=1_800_000_000.0, faces={**face(b"one"), hashlib.sha256(b"two").hexdigest(): Face(b"two", {"model": bytes(512)})},
)  # fmt: skip
NONCE = bytes(range(12))


def record(card: Card = CARD, seen: dict[str, int] | None = None, **other: Any) -> tuple[str, bytes]:
    given: dict[str, Any] = {
        "site": SITE,
        "keys": KEYS,
        "stamp": Stamp("north", seen or {"north": 3, "south": 1}),
        "signer": NORTH,
        "nonce": NONCE,
    }
    return wire.written(card=card, **(given | other))


def refused(on: str, payload: bytes, keys: wire.SiteKeys = KEYS) -> str:
    with pytest.raises(wire.RosterError) as caught:
        wire.read(on, payload, keys, WRITERS)
    return caught.value.reason


def test_a_record_is_read_as_it_was_written_and_nothing_of_it_can_be_read_at_the_broker() -> None:
    on, payload = record()
    found = wire.read(on, payload, KEYS, WRITERS)
    assert found.card == CARD and found.stamp == Stamp("north", {"north": 3, "south": 1})
    assert found.digest == hashlib.sha256(payload).digest() and wire.key_number(payload) == 2
    ident = KEYS.ident_of("E1042")
    assert on == f"ostiary/v1/acme/roster/{ident[:2]}/{ident}/north" and wire.writer_of(on) == (ident, "north")
    for secret in (b"E1042", b"Ada", b"one", b"two", b"day", b"file 7", b"PNG"):
        assert secret not in payload and secret not in on.encode()


def test_every_changed_byte_and_every_cut_is_noticed() -> None:
    on, payload = record(Card(person="E1", faces=face(b"x")))
    for place in range(len(payload)):
        for bit in (1, 128):
            refused(on, payload[:place] + bytes([payload[place] ^ bit]) + payload[place + 1 :])
        refused(on, payload[:place])
    for longer in (payload + b"\0", payload + payload, b"\0" + payload):
        refused(on, longer)


def test_a_record_counts_on_its_own_topic_only() -> None:
    on, payload = record()
    other = wire.topic(SITE, KEYS.ident_of("E2"), "north")
    assert refused(other, payload) == "bad_signature"
    assert refused(on.replace("/north", "/south"), payload) == "bad_signature"
    assert refused(on.replace("acme", "other"), payload) == "bad_signature"
    assert refused(on.replace("/north", "/west"), payload) == "unknown_writer"
    for odd in ("", "a", "a/b/c/d/e/f", on + "/", on + "/north", "x/" + on, on.replace("/roster/", "/roster/0/"), on.upper(), "/" * 9):
        assert refused(odd, payload) == "malformed"


def test_only_its_writer_signs_it() -> None:
    assert refused(*record(signer=SOUTH)) == "bad_signature"
    assert refused(*record(signer=STRANGER)) == "bad_signature"
    on, payload = record()
    # Somebody who has taken the signature off and put one of their own there.
    body = payload[:-64]
    taken = on.replace("/north", "/south")
    assert refused(taken, body + SOUTH.sign(taken.encode() + b"\0" + body)) == "unreadable", "the seal names the topic too"


def test_who_has_no_key_reads_nothing_and_an_old_one_no_new_record() -> None:
    on, payload = record()
    assert refused(on, payload, replace(KEYS, sealing={1: b"a" * 32})) == "unknown_key"
    assert refused(on, payload, replace(KEYS, sealing={2: b"z" * 32})) == "unreadable"
    assert refused(on, payload, replace(KEYS, ident=b"j" * 32)) == "wrong_person"
    old = record(keys=replace(KEYS, sealing={1: b"a" * 32}))
    assert wire.key_number(old[1]) == 1 and wire.read(*old, KEYS, WRITERS).card == CARD
    assert refused(*old, replace(KEYS, sealing={2: b"b" * 32})) == "unknown_key"


def test_what_would_be_too_long_is_not_written_and_not_read() -> None:
    crop = bytes(wire.MOST_BYTES)
    with pytest.raises(wire.RosterError) as caught:
        record(Card(person="E1", faces=face(crop)))
    assert caught.value.reason == "too_large"
    body = b"OR1" + (2).to_bytes(4, "big") + NONCE + crop
    on = wire.topic(SITE, KEYS.ident_of("E1"), "north")
    assert refused(on, body + NORTH.sign(on.encode() + b"\0" + body)) == "malformed"
    assert len(record(Card(person="E1", faces=face(crop[:-400])))[1]) <= wire.MOST_BYTES


# ---- a stolen box, which signs and seals whatever it likes


def sealed(plain: bytes, person: str = "E1") -> tuple[str, bytes]:
    on = wire.topic(SITE, KEYS.ident_of(person), "north")
    body = b"OR1" + (2).to_bytes(4, "big") + NONCE + AESGCM(b"b" * 32).encrypt(NONCE, plain, on.encode())
    return on, body + NORTH.sign(on.encode() + b"\0" + body)


def said(seen: object = None, **card: object) -> bytes:
    return msgspec.msgpack.encode([{"north": 1} if seen is None else seen, {"person": "E1", **card}])


def test_the_stolen_box_of_these_attacks_can_write() -> None:
    assert wire.read(*sealed(said(name="x")), KEYS, WRITERS).card == Card(person="E1", name="x")
    assert wire.read(*sealed(said(of_a_later_version=[1])), KEYS, WRITERS).card == Card(person="E1")


def test_a_record_of_another_form_is_none() -> None:
    on, payload = sealed(said())
    body = b"OR2" + payload[3:-64]
    assert refused(on, body + NORTH.sign(on.encode() + b"\0" + body)) == "malformed"


DIGEST = hashlib.sha256(b"x").hexdigest()


@pytest.mark.parametrize(
    "plain",
    [
        b"",
        b"\xc1",
        b"\x90",
        b"\x91" * 100_000,  # nested as deep as it goes
        b"\x92\x80" + b"\x81\xa1a" * 100_000,
        b"\xdd\xff\xff\xff\xff",  # four thousand million members
        b"\x92\xdf\xff\xff\xff\xff",
        b"\x92\x81\xa5north\x01\xdf\xff\xff\xff\xff",
        b"\x92\x81\xdb\xff\xff\xff\xff",
        said({}),
        said({"north": 0}),
        said({"north": -1}),
        said({"north": 1 << 53}),
        said({"north": (1 << 64) - 1}),
        said({"north": 1.5}),
        said({"north": 1, "south": -1}),
        said({"north": 1, "south": 1 << 60}),
        said({"south": 1}),
        said({"north": 1, "a/b": 1}),
        said({"north": 1, "": 1}),
        said({"north": 1, "x" * 65: 1}),
        said({"north": 1, **{f"w{n}": 1 for n in range(100_000)}}),
        said(gates=[f"g{n}" for n in range(1_000_000 // 8)]),
        said(gates=["x" * 65]),
        said(gates=[""]),
        said(gates="n"),
        said(person="E2"),
        said(person=""),
        said(person="E1\n"),
        said(person="a/b"),
        said(person="x" * 65),
        said(state="king"),
        said(state=None),
        said(name="x" * 201),
        said(schedule=""),
        said(schedule="x" * 65),
        said(consent="x" * 501),
        *(said(**{name: value}) for name in ("valid_from", "valid_until", "enrolled_at")
          for value in (float("nan"), float("inf"), -float("inf"), -1.0, 1e300, "now", 10**18)),
        said(enrolled_at=None),
        said(faces={DIGEST: {"crop": b"y", "vectors": {}}}),
        said(faces={DIGEST.upper(): {"crop": b"x", "vectors": {}}}),
        said(faces={"0": {"crop": b"x", "vectors": {}}}),
        said(faces={hashlib.sha256(b"").hexdigest(): {"crop": b"", "vectors": {}}}),
        said(faces={DIGEST: {"crop": b"x", "vectors": {"m": bytes(65_537)}}}),
        said(faces={DIGEST: {"crop": b"x", "vectors": {str(n): b"" for n in range(9)}}}),
        said(faces={DIGEST: {"crop": b"x", "vectors": {"m" * 301: b""}}}),
        said(faces={DIGEST: {"crop": "x", "vectors": {}}}),
        said(faces={hashlib.sha256(bytes([n])).hexdigest(): {"crop": bytes([n]), "vectors": {}} for n in range(65)}),
        said(disputed=1),
    ],
)  # fmt: skip
def test_what_no_box_would_write_counts_for_nothing(plain: bytes) -> None:
    begun = time.process_time()
    assert refused(*sealed(plain)) in ("unreadable", "wrong_person", "malformed")
    assert time.process_time() - begun < 5, "it is refused at once"


@given(st.binary(max_size=300))
@settings(max_examples=300)
def test_any_bytes_are_a_record_or_are_refused(plain: bytes) -> None:
    for on, payload in (sealed(plain), (sealed(b"")[0], plain)):
        try:
            found = wire.read(on, payload, KEYS, WRITERS)
        except wire.RosterError:
            continue
        assert found.card.person == "E1"


TIMES = st.none() | st.floats(0, 3e10)
CARDS = st.builds(
    Card,
    person=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}", fullmatch=True),
    state=st.sampled_from(["active", "unconfirmed", "suspended", "revoked"]),
    name=st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=200),
    valid_from=TIMES,
    valid_until=TIMES,
    gates=st.none() | st.lists(st.text("ab", min_size=1, max_size=64), max_size=5).map(tuple),
    schedule=st.none() | st.text("ab", min_size=1, max_size=64),
    enrolled_at=st.floats(0, 3e10),
    faces=st.lists(st.binary(min_size=1, max_size=50), max_size=3, unique=True).map(
        lambda crops: {hashlib.sha256(crop).hexdigest(): Face(crop, {"m": struct.pack("<f", 1.5)}) for crop in crops}
    ),
    disputed=st.booleans(),
)


@given(CARDS, st.integers(1, wire.MOST_CHANGES))
@settings(max_examples=200)
def test_whatever_a_box_holds_of_a_person_travels(card: Card, number: int) -> None:
    found = wire.read(*record(card, {"north": number}), KEYS, WRITERS)
    assert found.card == card and found.stamp.number == number


@pytest.mark.parametrize("records", [None, 0, 1, 10_000, 100_000, 10**9])
def test_the_groups_of_shards_have_every_record_once(records: int | None) -> None:
    groups = wire.groups(SITE, records)
    filters = [one for group in groups for one in group]
    assert len(set(filters)) == len(filters) == wire.SHARDS
    assert wire.topic(SITE, KEYS.ident_of("E1"), "north").rsplit("/", 2)[0] + "/+/+" in filters
    if records is not None and records <= 100_000:
        assert len(groups) <= max(1, records // 390 + 2)
