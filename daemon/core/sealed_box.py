"""A box that only the holder of one key opens: X25519 with a key of its own, HKDF-SHA256 and ChaCha20-Poly1305, as in HPKE (RFC 9180).

    box = ephemeral public key (32 bytes) | ciphertext and tag
    key (32 bytes) | nonce (12 bytes) = HKDF-SHA256(X25519(ephemeral, recipient), salt = both public keys, info = PURPOSE)

The topic is authenticated with it, so that a box cannot be moved to another topic. Nobody keeps the ephemeral secret: the sender itself
cannot open the box again.
"""

import base64
import hashlib

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES = 32
PURPOSE = b"ostiary box 1"
_NONCE_BYTES, _TAG_BYTES = 12, 16
_ANY = X25519PrivateKey.from_private_bytes(bytes(range(KEY_BYTES)))


class BoxError(ValueError):
    """A box that this key does not open on this topic."""


def private_key(secret: bytes) -> X25519PrivateKey:
    """The key of these 32 bytes. Raises ValueError for another number of bytes."""
    return X25519PrivateKey.from_private_bytes(secret)


def public_text(key: X25519PrivateKey) -> str:
    """The public half as configurations write it: 32 bytes in base64."""
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()


def public_key(text: str) -> X25519PublicKey:
    """The inverse of `public_text`. Raises ValueError, also for a weak key: anybody can open what is sealed to those."""
    raw = base64.b64decode(text, validate=True)
    if len(raw) != KEY_BYTES:
        raise ValueError(f"{len(raw)} bytes, and {KEY_BYTES} are needed")
    key = X25519PublicKey.from_public_bytes(raw)
    try:
        _ANY.exchange(key)
    except ValueError:
        raise ValueError("a weak key, and anybody can open what is sealed to it") from None
    return key


def fingerprint(key: X25519PublicKey) -> str:
    """What a public key is called: the first 16 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]


def seal(key: X25519PublicKey, topic: str, plain: bytes, secret: bytes) -> bytes:
    """A box with `plain` for the holder of `key`, on this topic. `secret` is 32 random bytes, new for every box."""
    ephemeral = X25519PrivateKey.from_private_bytes(secret)
    public = ephemeral.public_key().public_bytes_raw()
    cipher, nonce = _cipher(ephemeral.exchange(key), public, key.public_bytes_raw())
    return public + cipher.encrypt(nonce, plain, topic.encode())


def open_sealed(key: X25519PrivateKey, topic: str, box: bytes) -> bytes:
    """What was sealed to this key on this topic. Raises BoxError for anything else."""
    public, sealed = box[:KEY_BYTES], box[KEY_BYTES:]
    if len(sealed) < _TAG_BYTES:
        raise BoxError("the box is cut off")
    try:
        shared = key.exchange(X25519PublicKey.from_public_bytes(public))
        cipher, nonce = _cipher(shared, public, key.public_key().public_bytes_raw())
        return cipher.decrypt(nonce, sealed, topic.encode())
    except (InvalidTag, ValueError):
        raise BoxError("the box is not for this key, not for this topic, or was changed") from None


def _cipher(shared: bytes, ephemeral: bytes, recipient: bytes) -> tuple[ChaCha20Poly1305, bytes]:
    made = HKDF(SHA256(), KEY_BYTES + _NONCE_BYTES, ephemeral + recipient, PURPOSE).derive(shared)
    return ChaCha20Poly1305(made[:KEY_BYTES]), made[KEY_BYTES:]
