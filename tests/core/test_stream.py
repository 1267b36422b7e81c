"""The nonces of a file that is sealed in parts."""

from daemon.core.stream import NONCE_BYTES, PROOF_NONCE, nonce


def test_no_two_parts_have_one_nonce_and_none_has_the_proof_s() -> None:
    nonces = {nonce(number, last) for number in range(300) for last in (False, True)}
    assert len(nonces) == 600 and PROOF_NONCE not in nonces
    assert nonce(2**40, True) != nonce(2**40, False)
    assert {len(found) for found in (nonce(0, False), nonce(2**40, True), PROOF_NONCE)} == {NONCE_BYTES}
