"""Stories about boxes that only one key opens."""

import base64

import pytest

from daemon.core import sealed_box

DESK, OTHER = (sealed_box.private_key(bytes([number]) * 32) for number in (7, 8))
TOPIC = "ostiary/v1/acme/north/visitor/a1"
PLAIN = b"\xff\xd8 a picture \xff\xd9"


def box(plain: bytes = PLAIN, secret: bytes = bytes(range(32))) -> bytes:
    return sealed_box.seal(DESK.public_key(), TOPIC, plain, secret)


@pytest.mark.parametrize("plain", [b"", PLAIN, bytes(100_000)])
def test_who_has_the_key_opens_it(plain: bytes) -> None:
    made = box(plain)
    assert sealed_box.open_sealed(DESK, TOPIC, made) == plain
    assert len(made) == 32 + len(plain) + 16 and (not plain or plain not in made)


def test_nobody_else_opens_it_nor_on_another_topic() -> None:
    for key, topic in ((OTHER, TOPIC), (DESK, TOPIC + "b"), (DESK, TOPIC.replace("north", "south")), (DESK, "")):
        with pytest.raises(sealed_box.BoxError, match="not for this key, not for this topic"):
            sealed_box.open_sealed(key, topic, box())
    # Nor does its own maker: the secret of the box is that of one side only.
    with pytest.raises(sealed_box.BoxError):
        sealed_box.open_sealed(sealed_box.private_key(bytes(range(32))), TOPIC, box())


def test_every_changed_bit_and_every_cut_is_noticed() -> None:
    made = box()
    for place in range(len(made)):
        with pytest.raises(sealed_box.BoxError):
            sealed_box.open_sealed(DESK, TOPIC, made[:place])
        # The last bit of a public key does not count (RFC 7748), and yet it is part of the salt.
        for bit in (1, 128):
            changed = made[:place] + bytes([made[place] ^ bit]) + made[place + 1 :]
            with pytest.raises(sealed_box.BoxError):
                sealed_box.open_sealed(DESK, TOPIC, changed)


def test_two_boxes_of_the_same_have_nothing_in_common() -> None:
    one, other = box(bytes(64)), box(bytes(64), secret=b"\x01" * 32)
    assert sum(a == b for a, b in zip(one, other, strict=True)) < 10


def test_the_form_of_a_box_stays() -> None:
    """Gates and consoles of different versions understand each other."""
    assert box(b"face").hex() == (
        "8f40c5adb68f25624ae5b214ea767a6ec94d829d3d7b5e1ad1ba6f3e2138285fd6fb993d1b4f7092715715446854fdfa96c16c90"
    )


def test_a_public_key_is_read_as_it_is_written_and_weak_ones_are_refused() -> None:
    text = sealed_box.public_text(DESK)
    assert sealed_box.public_key(text).public_bytes_raw() == DESK.public_key().public_bytes_raw()
    assert sealed_box.fingerprint(DESK.public_key()) == sealed_box.fingerprint(sealed_box.public_key(text)) and len(text) == 44
    weak = [bytes(32), b"\x01" + bytes(31), b"\xec" + b"\xff" * 30 + b"\x7f"]
    for raw, why in ((b"", "0 bytes"), (bytes(31), "31 bytes"), (bytes(33), "33 bytes"), *((key, "weak") for key in weak)):
        with pytest.raises(ValueError, match=why):
            sealed_box.public_key(base64.b64encode(raw).decode())
    for no_key in ("?", "é", text[:-1]):
        with pytest.raises(ValueError):
            sealed_box.public_key(no_key)
