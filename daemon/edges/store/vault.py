"""The vault: bytes sealed with AES-256-GCM, bound to the place they belong to."""

import os

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from daemon.core.stream import NONCE_BYTES
from daemon.edges.sealing import KEY_BYTES, derived_key, opened
from daemon.edges.store.errors import VaultError


class Vault:
    """Seals and opens with one key of 32 bytes. Has no other state.

    Nonces are 96 random bits, which are safe for 2^32 sealings (NIST SP 800-38D). A box that seals ten messages a second takes 13 years
    for that; `ostiaryd rotate-key` starts the count again.
    """

    __slots__ = ("_cipher", "_key")

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise VaultError(f"the key has {len(key)} bytes", f"a key must have {KEY_BYTES} bytes")
        self._cipher, self._key = AESGCM(key), key

    def derived(self, purpose: str) -> bytes:
        """A key of 32 bytes for another purpose. It says nothing about this key or about that of a third purpose."""
        return derived_key(self._key, b"ostiary " + purpose.encode("ascii"))

    def seal(self, plain: bytes, *associated: str | int | bytes) -> bytes:
        """Nonce, ciphertext and tag. `associated` says where it belongs (table, row keys); it opens only with exactly the same."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, plain, _joined(associated))

    def open(self, sealed: object, *associated: str | int | bytes) -> bytes:
        """What was sealed. Raises VaultError where a bit of it, of the key or of `associated` differs, or where `sealed` is not bytes.

        Takes any object because a damaged database may return a number where bytes were stored.
        """
        plain = None
        if isinstance(sealed, bytes):
            plain = opened(self._cipher, sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _joined(associated))
        if plain is None:
            raise VaultError("a sealed record does not open", "it is damaged, or belongs to another place or another key")
        return plain


def _joined(parts: tuple[str | int | bytes, ...]) -> bytes:
    """Each part after its kind and length, so that no two different lists of parts give the same bytes."""
    return b"".join((b"ostiary", *map(_part, parts)))


def _part(part: str | int | bytes) -> bytes:
    # A start calls this for everything that it unseals; `match` takes twice as long.
    if isinstance(part, str):
        kind, data = b"s", part.encode("utf-8", "replace")
    elif isinstance(part, int):
        kind, data = b"i", b"%d" % part
    else:
        kind, data = b"b", part
    return kind + len(data).to_bytes(4, "big") + data
