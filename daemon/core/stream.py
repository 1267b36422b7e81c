"""How a file is sealed in parts, so that it can be written and read piece by piece (STREAM).

Hoang, Reyhanitabar, Rogaway, Vizár 2015: the nonce of a part is its number and whether it is the last one. So a part that was changed,
removed or moved does not open, and a file that was cut off differs from one that ends. The key must belong to this one file.
"""

NONCE_BYTES, TAG_BYTES = 12, 16
"""Of AES-GCM."""
PROOF_NONCE = b"\xff" * NONCE_BYTES
"""For the proof of the key. No part has this nonce: theirs end in 0 or 1."""


def nonce(number: int, last: bool) -> bytes:
    """The nonce of part `number`, which no other part of the file has: NONCE_BYTES."""
    return number.to_bytes(NONCE_BYTES - 1, "big") + bytes([last])
