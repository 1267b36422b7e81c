"""A run folder that somebody has edited, and what a run began with."""

from pathlib import Path

import numpy as np
import pytest

from trainer.runs import Run, RunError


def test_what_is_damaged_is_named(tmp_path: Path) -> None:
    run = Run(tmp_path)
    with pytest.raises(RunError, match=r"run\.json"):
        run.facts()
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(RunError, match=r"run\.json"):
        run.facts()
    (tmp_path / "history.jsonl").write_text('{"stage": 1}\n{"stage":\n')
    with pytest.raises(RunError, match=r"history\.jsonl is damaged") as told:
        run.history()
    assert "\n" not in told.value.message
    (tmp_path / "history.jsonl").write_text('{"stage": 1}\n{"stage":')
    assert run.history() == [{"stage": 1}]


def test_what_a_run_began_with(tmp_path: Path) -> None:
    run = Run(tmp_path)
    assert run.start() is None
    run.start_from([np.ones((2, 3), np.float32), np.zeros(4, np.float32)])
    start = run.start()
    assert start is not None and [weight.shape for weight in start] == [(2, 3), (4,)]
