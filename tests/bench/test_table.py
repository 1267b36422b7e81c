"""What `make bench` says about figures that were measured."""

from pathlib import Path

from bench.__main__ import last, record, worse


def test_what_is_recorded_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    assert last(path) == {}
    record({"a frame: ours / plain": [0.5, 0.9, 0.4]}, path)
    assert last(path) == {"a frame: ours / plain": 0.5}


def test_a_row_that_takes_a_tenth_longer_in_the_middle_of_its_runs_is_named() -> None:
    before = {"same": 1.0, "slower": 1.0, "once slow": 1.0, "faster": 1.0}
    now = {"same": [1.0, 1.1, 1.05], "slower": [1.2, 1.0, 1.15], "once slow": [1.0, 3.0, 1.0], "faster": [0.5] * 3, "new": [9.0] * 3}
    (line,) = worse(now, before)
    assert line == "slower: 1.15, 1.00 in the last release (1.00 to 1.20)"
