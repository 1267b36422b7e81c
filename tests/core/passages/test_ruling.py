"""What is said about a face."""

import pytest

from daemon.core.passages.ruling import AMBIGUOUS, NO_MATCH, UNSCORABLE, Ruling, mismatch, permitted
from daemon.core.values import Reason, Verdict


@pytest.mark.parametrize("reason", [Reason.MATCHED, Reason.VERIFIED])
def test_somebody_recognised_is_accepted_unless_a_rule_forbids_it(reason: Reason) -> None:
    asked: list[tuple[str, float]] = []

    def permit(person: str, now: float) -> Reason | None:
        asked.append((person, now))
        return None if now < 5 else Reason.EXPIRED

    assert permitted("alice", reason, permit, 4.0) == Ruling(Verdict.ACCEPT, reason, "alice")
    assert permitted("alice", reason, permit, 5.0) == Ruling(Verdict.REJECT, Reason.EXPIRED, "alice")
    assert asked == [("alice", 4.0), ("alice", 5.0)]


def test_only_an_accept_of_exactly_that_person_lets_them_in() -> None:
    assert Ruling(Verdict.ACCEPT, Reason.MATCHED, "alice").accepts("alice")
    assert not Ruling(Verdict.ACCEPT, Reason.MATCHED, "bob").accepts("alice")
    for ruling in (AMBIGUOUS, NO_MATCH, UNSCORABLE, mismatch("alice"), Ruling(Verdict.REJECT, Reason.EXPIRED, "alice")):
        assert not ruling.accepts("alice")


def test_a_mismatch_names_whom_the_claim_names_and_nobody_else_is_named() -> None:
    assert mismatch("alice") == Ruling(Verdict.REJECT, Reason.CLAIM_MISMATCH, "alice")
    assert [ruling.person for ruling in (AMBIGUOUS, NO_MATCH, UNSCORABLE)] == [None, None, None]
