"""The gate's own key: what the gates of a box say is signed with it, so that a consumer can tell it from what others publish."""

import logging
import secrets
from collections.abc import Callable
from functools import partial

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from daemon.core import signing
from daemon.edges.store import Store, StoreError

log = logging.getLogger("ostiary")

Sign = Callable[[str, bytes], bytes]
"""Signs what a gate says on a topic: the same JSON object with its signature as the last member."""


def unsigned(topic: str, payload: bytes) -> bytes:
    """Signs nothing."""
    return payload


def signer(key: Ed25519PrivateKey) -> Sign:
    """Signs with this key."""
    return partial(signing.signed, key)


def box_key(store: Store) -> Ed25519PrivateKey:
    """The key that the box signs with. It is made at the first start, and kept in the store.

    While the disk takes no writes a new key serves until the next start only.
    """
    secret = store.signing_key()
    if secret is None:
        secret = secrets.token_bytes(signing.KEY_BYTES)
        try:
            with store.transaction():
                store.put_signing_key(secret)
        except StoreError as error:
            log.warning("the key that the gates sign with is not kept, and the next start makes another: %s; %s", error.message, error.hint)
    key = signing.private_key(secret)
    log.info("the gates sign with %s", signing.public_text(key))
    return key
