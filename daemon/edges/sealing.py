"""Sealing with AES-256-GCM: the keys for single purposes, and the parts of one file."""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from daemon.core.stream import PROOF_NONCE, TAG_BYTES, nonce

KEY_BYTES = 32


def derived_key(key: bytes, purpose: bytes, salt: bytes | None = None) -> bytes:
    """A key of KEY_BYTES for another purpose (HKDF, RFC 5869). It says nothing about this key or about that of a third purpose."""
    return HKDF(SHA256(), KEY_BYTES, salt, purpose).derive(key)


def opened(cipher: AESGCM, nonce: bytes, sealed: bytes, associated: bytes) -> bytes | None:
    """What was sealed, or None where a bit of anything differs."""
    try:
        return cipher.decrypt(nonce, sealed, associated) if len(sealed) >= TAG_BYTES else None
    except InvalidTag:
        return None


class PartSealer:
    """Seals and opens the numbered parts of one file. The file's header is authenticated with every part."""

    __slots__ = ("_cipher", "_header")

    def __init__(self, key: bytes, header: bytes) -> None:
        """`key` has KEY_BYTES and belongs to this file alone."""
        self._cipher, self._header = AESGCM(key), header

    def proof(self) -> bytes:
        """TAG_BYTES bytes that only this key and header give."""
        return self._cipher.encrypt(PROOF_NONCE, b"", self._header)

    def proves(self, proof: bytes) -> bool:
        """Whether the proof is of this key and header."""
        return opened(self._cipher, PROOF_NONCE, proof, self._header) is not None

    def seal(self, number: int, plain: bytes, *, last: bool) -> bytes:
        """Part `number`, TAG_BYTES longer. Never seal two parts with one number."""
        return self._cipher.encrypt(nonce(number, last), plain, self._header)

    def open(self, number: int, sealed: bytes, *, last: bool) -> bytes | None:
        """What was sealed as this part; None for anything else."""
        return opened(self._cipher, nonce(number, last), sealed, self._header)
