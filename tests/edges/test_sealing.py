"""Parts of one file: each opens as itself and as nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.stream import TAG_BYTES
from daemon.edges.sealing import KEY_BYTES, PartSealer, derived_key

KEY = bytes(range(32))


@given(st.binary(max_size=50), st.integers(0, 2**40), st.booleans())
def test_a_part_opens_only_as_what_it_was_sealed(plain: bytes, number: int, last: bool) -> None:
    sealer = PartSealer(KEY, b"header")
    sealed = sealer.seal(number, plain, last=last)
    assert len(sealed) == len(plain) + TAG_BYTES and sealer.open(number, sealed, last=last) == plain
    assert sealer.open(number + 1, sealed, last=last) is None and sealer.open(number, sealed, last=not last) is None
    assert PartSealer(KEY, b"another").open(number, sealed, last=last) is None
    assert PartSealer(KEY[::-1], b"header").open(number, sealed, last=last) is None
    assert sealer.open(number, sealed[:-1], last=last) is None and sealer.open(number, b"", last=last) is None


def test_a_proof_is_of_one_key_and_one_header_and_is_no_part() -> None:
    sealer = PartSealer(KEY, b"header")
    assert len(sealer.proof()) == TAG_BYTES and sealer.proves(sealer.proof())
    assert not PartSealer(KEY[::-1], b"header").proves(sealer.proof()) and not PartSealer(KEY, b"another").proves(sealer.proof())
    assert not sealer.proves(sealer.seal(0, b"", last=True)) and not sealer.proves(b"")


@pytest.mark.parametrize(("purpose", "salt"), [(b"a", None), (b"b", None), (b"a", bytes(16)), (b"a", b"x" * 16)])
def test_a_derived_key_depends_on_purpose_and_salt(purpose: bytes, salt: bytes | None) -> None:
    found = derived_key(KEY, purpose, salt)
    assert len(found) == KEY_BYTES and found != KEY and found == derived_key(KEY, purpose, salt)
    assert found != derived_key(KEY, purpose + b"!", salt) and found != derived_key(KEY[::-1], purpose, salt)
