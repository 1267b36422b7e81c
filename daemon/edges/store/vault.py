"""The vault: bytes sealed with AES-256-GCM, bound to the place they belong to."""

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from daemon.edges.store.errors import VaultError

KEY_BYTES = 32
_NONCE_BYTES, _TAG_BYTES = 12, 16


class Vault:
    """Seals and opens with one key of 32 bytes. Holds no other state.

    Nonces are 96 random bits: at the 2^32 sealings where they begin to wear thin (NIST SP 800-38D), a box that seals ten messages a
    second is 13 years old; `ostiaryd rotate-key` starts anew.
    """

    __slots__ = ("_cipher", "_key")

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise VaultError(f"a key of {len(key)} bytes", f"keys have {KEY_BYTES} bytes")
        self._cipher, self._key = AESGCM(key), key

    def derived(self, purpose: str) -> bytes:
        """A key of 32 bytes for another purpose (HKDF, RFC 5869), from which nobody learns this one or that of a third purpose."""
        return HKDF(SHA256(), KEY_BYTES, None, b"ostiary " + purpose.encode("ascii")).derive(self._key)

    def seal(self, plain: bytes, *associated: str | int | bytes) -> bytes:
        """Nonce, ciphertext and tag. `associated` says whose it is (table, row keys): it opens with exactly the same and nowhere else."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, plain, _joined(associated))

    def open(self, sealed: object, *associated: str | int | bytes) -> bytes:
        """What was sealed. Raises VaultError when a bit of it, of the key or of `associated` is another, or `sealed` are no bytes at all.

        Takes any object because a damaged database may hand out a number where bytes were stored.
        """
        if not isinstance(sealed, bytes) or len(sealed) < _NONCE_BYTES + _TAG_BYTES:
            raise _closed()
        try:
            return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], _joined(associated))
        except InvalidTag:
            raise _closed() from None


def _joined(parts: tuple[str | int | bytes, ...]) -> bytes:
    """Each part with its kind and length before it, so that no two lists of parts give the same bytes."""
    return b"".join((b"ostiary", *map(_part, parts)))


def _part(part: str | int | bytes) -> bytes:
    match part:
        case bytes():
            kind, data = b"b", part
        case int():
            kind, data = b"i", str(part).encode("ascii")
        case str():
            kind, data = b"s", part.encode("utf-8", "replace")
    return kind + len(data).to_bytes(4, "big") + data


def _closed() -> VaultError:
    return VaultError("a sealed record does not open", "it is damaged, of another place, or of another key")
