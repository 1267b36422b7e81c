"""`fit --resume` and `--fresh`, and what is said about a run before it trains."""

import argparse
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from daemon.core.faults import Fault
from tests.trainer import faces
from trainer.__main__ import main
from trainer.commands import resuming
from trainer.learn import words
from trainer.learn.stopping import Stopped
from trainer.people.data import DataError
from trainer.recipes import reading
from trainer.runs import Run, RunError, State

RECIPE = faces.RECIPE


@pytest.fixture
def given(tmp_path: Path) -> Callable[..., argparse.Namespace]:
    (tmp_path / "tiny.toml").write_text(RECIPE)

    def options(**more: object) -> argparse.Namespace:
        usual = {"run": tmp_path / "run", "recipe": str(tmp_path / "tiny.toml"), "set": [], "data": Path("crops"), "minutes": math.inf}
        usual |= dict.fromkeys((*resuming.PATHS[1:], "teacher_order", "devices"))
        return argparse.Namespace(**{**usual, "resume": False, "fresh": False, **more})

    return options


@pytest.fixture
def run(tmp_path: Path) -> Run:
    begun = Run(tmp_path / "run")
    begun.begin(reading.parse(RECIPE), {"data_digest": "x", "data": "/crops", "split": "/split.csv"})
    return begun


def ready(options: argparse.Namespace) -> argparse.Namespace:
    with resuming.made_ready(options):
        return options


def test_resume_needs_only_the_run(run: Run, given: Callable[..., argparse.Namespace]) -> None:
    options = ready(given(resume=True, recipe=None, data=None))
    assert (options.data, options.split) == (Path("/crops"), Path("/split.csv"))
    assert reading.read(reading.find(options.recipe)) == reading.parse(RECIPE)


def test_resume_gives_every_option_of_the_run_that_is_not_given_anew(
    run: Run, given: Callable[..., argparse.Namespace], tmp_path: Path
) -> None:
    """Data that were moved are given anew, and the split is still the run's."""
    paths = {name: tmp_path / name for name in resuming.PATHS}
    first = given(**paths, teacher_order="bgr", devices=2, minutes=5.0)
    (run.folder / "run.json").write_text(json.dumps({**run.facts(), **resuming.remembered(first)}))
    options = ready(given(resume=True, recipe=None, data=Path("moved"), cache=tmp_path / "other"))
    assert {name: getattr(options, name) for name in paths} == {**paths, "data": Path("moved"), "cache": tmp_path / "other"}
    assert (options.teacher_order, options.devices, options.minutes) == ("bgr", 2, 5.0)
    assert ready(given()).devices == 1


def test_a_run_keeps_its_data_decisions_and_parts(run: Run) -> None:
    """Whoever was chosen by must not be learned from later, nor the other way round."""
    recipe, facts = reading.parse(RECIPE), {"data_digest": "x", "decided": "", "parts": "p"}
    run.begin(recipe, facts)  # a run of an older trainer has no parts
    (run.folder / "run.json").write_text(json.dumps({**run.facts(), "parts": "p"}))
    run.begin(recipe, facts)
    for key, said in (("data_digest", "other data"), ("decided", "other decisions"), ("parts", "another --split")):
        with pytest.raises(RunError, match=f"was begun with {said}") as fault:
            run.begin(recipe, {**facts, key: "y"})
        assert "--fresh" in fault.value.hint


def test_resume_of_nothing_is_an_error(given: Callable[..., argparse.Namespace], tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no run in"):
        ready(given(resume=True))
    with pytest.raises(DataError, match="no crops are given"):
        ready(given(data=None))
    assert not (tmp_path / "run").exists()


def test_another_recipe_is_refused_key_by_key(
    run: Run, given: Callable[..., argparse.Namespace], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(RunError, match="another recipe") as fault:
        ready(given(set=["stages.0.rate=0.5", "seed=2", "stages.1.optimizer=sgd"]))
    assert capsys.readouterr().out.splitlines() == [
        "seed: 1 there, 2 now", "stages.0.rate: 0.01 there, 0.5 now", "stages.1.optimizer: not set there, sgd now",
    ]  # fmt: skip
    assert "--resume" in fault.value.hint and "--fresh" in fault.value.hint


def test_a_finished_run_has_nothing_left_to_do(run: Run, given: Callable[..., argparse.Namespace]) -> None:
    run.finish()
    with pytest.raises(RunError, match=r"is finished$"):
        ready(given(resume=True))
    run.finish("triplets diverged at step 3")
    with pytest.raises(RunError, match=r"is finished: triplets diverged at step 3$"):
        ready(given())


def test_fresh_moves_the_old_run_aside_and_back_if_nothing_new_begins(run: Run, given: Callable[..., argparse.Namespace]) -> None:
    aside = run.folder.with_name("run-old1")
    with pytest.raises(Fault), resuming.made_ready(given(fresh=True)):
        assert not run.folder.exists() and Run(aside).begun
        raise DataError("no such crops", "")
    assert run.begun and not aside.exists()
    with resuming.made_ready(given(fresh=True, set=["seed=2"])):
        run.begin(reading.parse(RECIPE), {"data_digest": "y"})
    assert run.facts()["data_digest"] == "y" and Run(aside).facts()["data_digest"] == "x"


def test_a_run_says_where_it_is(run: Run) -> None:
    recipe = reading.parse(RECIPE)
    assert words.where(run, recipe).endswith("begins with 2 stages, identify, then triplets")
    arrays = [np.zeros(1, np.float32)]
    state = State(0, 1200, 7500.0, 1.0, arrays, arrays, arrays)
    run.checkpoint(state)
    assert "at step 1,200, from a checkpoint 0 s old; its time left is not known yet, then 1 further stage" in words.where(run, recipe)
    run.note({"stage": "identify", "step": 1200, "epoch": 2.5})
    run.checkpoint(state)
    # A quarter of the ten epochs took 7,500 s.
    assert "goes on with identify (stage 1 of 2) at step 1,200" in words.where(run, recipe)
    assert "about 6 h 15 min of it left, then 1 further stage" in words.where(run, recipe)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.4, "0 s"), (89, "89 s"), (91, "2 min"), (3600, "60 min"), (7260, "2 h 1 min"), (40000, "11 h"), (2e5, "2 days"), (1e6, "12 days")],
)
def test_durations(seconds: float, said: str) -> None:
    assert words.duration(seconds) == said


@pytest.mark.parametrize(
    ("stop", "line", "status"), [(Stopped("stopped at step 3", 143), "stopped at step 3", 143), (KeyboardInterrupt(), "goes on", 130)]
)
def test_a_stopped_fit_ends_with_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], stop: BaseException, line: str, status: int
) -> None:
    def stopped(options: argparse.Namespace) -> None:
        raise stop

    monkeypatch.setattr("trainer.commands.fit.run", stopped)
    assert main(["fit", "--run", "run"]) == status
    err = capsys.readouterr().err.splitlines()
    assert len(err) == 1 and line in err[0]


@pytest.mark.parametrize("command", [["prepare", "a", "b"], ["clean", "a", "b"], ["export", "a", "b"]])
def test_a_stop_while_libraries_are_loaded_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    def stopped(name: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("importlib.import_module", stopped)
    assert main(command) == 130
    err = capsys.readouterr().err.splitlines()
    assert len(err) == 1 and err[0].startswith("interrupted; give the same command again")


def test_memory_that_is_not_enough_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def full(options: argparse.Namespace) -> None:
        raise MemoryError("Unable to allocate 37.0 GiB")

    monkeypatch.setattr("trainer.commands.fit.run", full)
    assert main(["fit", "--run", "run"]) == 2
    err = capsys.readouterr().err.splitlines()
    assert len(err) == 2 and "memory is full: Unable to allocate 37.0 GiB" in err[0] and "--cache" in err[1]
