"""Stories about the site keys: who gets them, who can give them, and that nobody brings old ones back."""

import base64
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from daemon.core import sealed_box, signing
from daemon.core.people import site_keys
from daemon.core.people.fleet_file import Box, Fleet, from_text, to_text
from daemon.core.people.roster_wire import RosterError
from daemon.core.people.site_keys import Edition, advanced, from_bytes, issued, number_of, opened, to_bytes

SITE, BOX, NOW = "acme", "north", 1_800_000_000.0
ADMIN, STRANGER = (signing.private_key(bytes([n]) * 32) for n in (1, 2))
NORTH, SOUTH = (sealed_box.private_key(bytes([n]) * 32) for n in (3, 4))
FIRST = site_keys.first(b"i" * 32, b"a" * 32, NOW)
SECOND = FIRST.rotated(b"b" * 32, NOW)


def message(edition: Edition = FIRST, to: X25519PrivateKey = NORTH, **other: object) -> bytes:
    given = {"site": SITE, "box": BOX, "admin": ADMIN, "secret": b"s" * 32} | other
    return issued(edition, to=to.public_key(), **given)[1]  # type: ignore[arg-type]


def test_a_box_gets_the_keys_that_were_sealed_to_it() -> None:
    topic, payload = issued(SECOND, SITE, BOX, NORTH.public_key(), ADMIN, b"s" * 32)
    assert topic == "ostiary/v1/acme/roster/key/north"
    assert opened(SITE, BOX, payload, NORTH, ADMIN.public_key()) == SECOND
    assert number_of(topic, payload, ADMIN.public_key()) == SECOND.number
    assert not any(key in payload or base64.b64encode(key) in payload for key in (b"i" * 32, b"a" * 32, b"b" * 32))
    assert "aaaa" not in repr(SECOND) and "iiii" not in repr(SECOND), "keys would stand in logs"


def test_nobody_else_can_open_or_give_them() -> None:
    for payload, why in (
        (message(to=SOUTH), "sealed to another key"),
        (message(admin=STRANGER), "not signed by the roster's administrator"),
        (message(box="south"), "not signed"),  # moved from another box's topic
        (message(site="other"), "not signed"),
        (b"", "not signed"),
        (b"{}" * 20_000, "not signed"),
    ):
        with pytest.raises(RosterError, match=why):
            opened(SITE, BOX, payload, NORTH, ADMIN.public_key())


def test_every_changed_byte_and_every_cut_is_noticed() -> None:
    payload = message()
    for place in range(len(payload)):
        changed = payload[:place] + bytes([payload[place] ^ 1]) + payload[place + 1 :]
        for bad in (changed, payload[:place]):
            with pytest.raises(RosterError):
                opened(SITE, BOX, bad, NORTH, ADMIN.public_key())


def test_an_administrator_who_signs_nonsense_is_told_from_one_who_seals_it() -> None:
    topic = site_keys.key_topic(SITE, BOX)
    for number, plain, why in (
        (1, b"\xc1", "no site keys"),
        (1, b"", "no site keys"),
        (1, b"\x92\xc4\x01a\x80", "no site keys"),  # a short ident, no sealing key
        (0, b"\xc1", "does not know"),
        (1 << 53, b"\xc1", "does not know"),
    ):
        sealed = base64.b64encode(sealed_box.seal(NORTH.public_key(), topic, plain, b"s" * 32)).decode()
        payload = signing.signed(ADMIN, topic, f'{{"number":{number},"sealed":"{sealed}"}}'.encode())
        with pytest.raises(RosterError, match=why):
            opened(SITE, BOX, payload, NORTH, ADMIN.public_key())


def test_a_box_never_goes_back() -> None:
    assert set(SECOND.rotated(b"c" * 32, NOW).forgetting([1], NOW).keys.sealing) == {1, 3}
    third = SECOND.forgetting((), NOW + 5)
    assert advanced(None, FIRST) == FIRST and advanced(FIRST, SECOND) == SECOND and advanced(SECOND, SECOND) == SECOND
    assert advanced(SECOND, third) == third and set(third.keys.sealing) == {2} and third.keys.newest == 2
    assert advanced(FIRST, third) == third, "a box that was away for a while"
    for held, given, why in (
        (SECOND, FIRST, "edition"),
        (third, SECOND, "edition"),
        (SECOND, replace(FIRST, number=SECOND.number), "edition"),
        (SECOND, replace(FIRST, number=SECOND.number + 1), "newest key"),
        (FIRST, site_keys.first(b"j" * 32, b"a" * 32, NOW + 9), "another roster"),
        (FIRST, site_keys.first(b"i" * 32, b"c" * 32, NOW + 9), "another roster"),
    ):
        with pytest.raises(RosterError, match=why):
            advanced(held, given)


def test_numbers_grow_whatever_the_clock_says() -> None:
    edition = FIRST
    for number, now in enumerate((0.0, NOW - 9, NOW + 1e6, 5.0, NOW)):
        after = edition.rotated(bytes([number]) * 32, now)
        assert after.number > edition.number and after.keys.newest == edition.keys.newest + 1
        edition = after
    assert site_keys.first(b"i" * 32, b"a" * 32, -5.0).number == 1
    with pytest.raises(RosterError, match="16 sealing keys"):
        for _ in range(20):
            edition = edition.rotated(b"z" * 32, NOW)
    assert edition.forgetting([1, 3], NOW).rotated(b"z" * 32, NOW).keys.newest == edition.keys.newest + 1


def test_what_a_store_and_a_file_keep_is_read_as_it_was_written() -> None:
    assert from_bytes(to_bytes(SECOND)) == SECOND
    boxes = {
        "box.a-1": Box(signing.public_text(STRANGER), sealed_box.public_text(NORTH)),
        "B_2": Box(signing.public_text(ADMIN), sealed_box.public_text(SOUTH), keeper=True, retired=True),
    }
    for fleet in (Fleet(SITE, FIRST), Fleet("a.b", SECOND, boxes)):
        assert from_text(to_text(fleet)) == fleet


def test_a_damaged_store_or_file_gives_no_keys() -> None:
    stored = to_bytes(SECOND)
    for bad in (b"", stored[:-1], b"\xc1", b"\x92" * 100_000, b"\xdd\xff\xff\xff\xff"):
        with pytest.raises(RosterError, match="stored site keys"):
            from_bytes(bad)
    good = to_text(Fleet(SITE, FIRST, {"north": Box(signing.public_text(STRANGER), sealed_box.public_text(NORTH))}))
    weak = base64.b64encode(bytes(32)).decode()
    for old, new in (
        ('site = "acme"', 'site = "a/b"'),
        ('site = "acme"', ""),
        ("[sealing]", "[unsealing]"),
        ("number = 1", "number = -1"),
        ('1 = "', '0 = "'),
        ('1 = "', '4294967296 = "'),
        ('1 = "', '1 = "AA'),
        ('"north"', '"north/x"'),
        (signing.public_text(STRANGER), weak),
        (sealed_box.public_text(NORTH), weak),
        ("exchange", "change"),
        ("[boxes", "[[boxes"),
        ('ident = "', 'ident = "*'),
    ):
        assert old in good
        with pytest.raises(RosterError):
            from_text(good.replace(old, new, 1))
