"""How the bench of the wire adds up what it measured."""

from bench.wire import Measured, Rush


def test_rounds_of_one_kind_are_added_and_the_middle_counts() -> None:
    found = Measured()
    found.add("ping", [0.001, 0.009], 0.004, 0.002)
    found.add("ping", [0.002], 0.002, 0.001)
    found.add("bare", [0.001], 0.003)
    assert found.of("ping") == 0.002 and found.used("ping") == "2000, 1000" and found.used("bare") == "3000"


def test_a_rate_is_the_count_over_its_time() -> None:
    assert Rush(500, 2.0, 0.1).rate == 250
