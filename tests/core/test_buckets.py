"""Token buckets: so many at once, so many in the long run, and no sender at another's cost."""

from daemon.core.buckets import MOST_SENDERS, Bucket, Refusals


def test_a_bucket_allows_a_burst_and_then_its_rate() -> None:
    bucket = Bucket(2.0, 5.0)
    assert [bucket.allows(100.0) for _ in range(7)] == [True] * 5 + [False] * 2
    assert [bucket.allows(100.0 + i / 10) for i in range(1, 11)].count(True) == 2
    assert [bucket.allows(1e6) for _ in range(7)].count(True) == 5, "rest does not add up beyond the burst"


def test_time_that_stands_still_or_runs_back_gives_nothing() -> None:
    bucket = Bucket(1.0, 1.0)
    assert bucket.allows(100.0)
    assert not bucket.allows(50.0)
    assert not bucket.allows(50.5)


def test_who_floods_uses_up_their_own_answers_first() -> None:
    refusals = Refusals(gate=(0.0, 30.0), sender=(0.0, 10.0))
    assert [refusals.answered("north", "a", 0.0) for _ in range(100)].count(True) == 10
    assert refusals.answered("north", "b", 0.0)
    assert refusals.answered("south", "a", 0.0)
    assert [refusals.answered("north", f"k{i}", 0.0) for i in range(3 * MOST_SENDERS)].count(True) == 19, "the gate has a bucket too"
    assert len(refusals._senders) <= MOST_SENDERS + 1
