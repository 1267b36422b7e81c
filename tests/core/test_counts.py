"""Numbers with their nouns."""

from daemon.core.counts import counted, persons


def test_one_is_one() -> None:
    assert [counted(count, "frame") for count in (0, 1, 2, 1000)] == ["0 frames", "1 frame", "2 frames", "1,000 frames"]
    assert [persons(count) for count in (0, 1, 2)] == ["0 people", "1 person", "2 people"]
    assert [persons(count, "val") for count in (1, 2)] == ["1 val person", "2 val people"]
