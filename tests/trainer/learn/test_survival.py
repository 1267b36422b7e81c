"""What a run survives: Ctrl-C, kills, divergence, a full disk, a damaged checkpoint, a second `fit`."""

import dataclasses
import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.trainer import faces
from trainer.__main__ import main
from trainer.learn import chance, fit, training
from trainer.learn.judge import merit
from trainer.learn.stage import FitError, Stage
from trainer.learn.stopping import Stopped
from trainer.learn.training import Diverged
from trainer.recipes import reading
from trainer.runs import Run, RunError, State

# TensorFlow uses things that its own dependencies have deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

# A network that is built in no time, with dropout: its random numbers have a state too.
TINY = """
name = "tiny"
validations = 3
[network]
kind = "article"
size = 16
widths = [4]
blocks = [1]
head = 8
embedding = 8
dropout = 0.3
compute = "float32"
"""
ONE = TINY + '[[stages]]\nkind = "identify"\nsteps = 6\nbatch = 16\nrate = 0.01\nema = 0.9\n'
TWO = ONE + '[[stages]]\nkind = "triplets"\nsteps = 3\npeople = 4\nimages = 3\nkeep = "always"\n'
OF_TIME = ("time", "elapsed_s", "cpu_s", "crops_per_s", "waited")


def begun(text: str, people: dict[str, Path], where: Path) -> tuple[Run, Callable[[], Any]]:
    """A run, and a function that trains it."""
    chosen, (learned, val), run = reading.parse(text), faces.parts_of(people), Run(where)
    run.begin(chosen, {"data_digest": learned.digest})
    return run, lambda: fit.fit(chosen, learned, val, run)


def told(run: Run) -> list[dict[str, Any]]:
    """The history without what differs from run to run."""
    return [{key: value for key, value in line.items() if key not in OF_TIME} for line in run.history()]


@pytest.fixture(scope="module")
def whole(people: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """TWO, trained without disturbance."""
    run, train = begun(TWO, people, tmp_path_factory.mktemp("whole") / "run")
    train()
    return run


def same(one: Run, two: Run) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one.weights(), two.weights(), strict=True)) and told(one) == told(two)


@pytest.mark.parametrize(("number", "at"), [(signal.SIGINT, 3), (signal.SIGTERM, 7)])
def test_a_stopped_run_goes_on_at_the_very_step(
    whole: Run, people: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, at: int
) -> None:
    """Bit by bit as if nothing had happened, dropout included; and no line of the history is written twice."""
    if signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip("this signal is ignored here, as in a shell's background")
    run, train = begun(TWO, people, tmp_path / "run")
    taken, step = [0], training._step

    def step_and_stop(*given: Any) -> float:
        loss = step(*given)
        taken[0] += 1
        if taken[0] == at:
            os.kill(os.getpid(), number)
        return loss

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs begin with Ctrl-C ignored
    handlers = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    with monkeypatch.context() as patched:
        patched.setattr(training, "_step", step_and_stop)
        with pytest.raises(Stopped) as stopped:
            train()
    assert stopped.value.args[1] == 128 + number and f"at step {at if at < 6 else at - 6} of" in stopped.value.args[0]
    assert taken[0] == at and [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)] == handlers
    train()
    assert same(run, whole)


class Killed(BaseException):
    """As after kill -9: nothing is tidied up that only an Exception would be."""


def test_a_kill_between_any_two_writes_changes_nothing(
    whole: Run, people: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process dies just before one of the calls that write; some of all such instants, drawn anew each time."""
    writes = [(Run, name) for name in ("note", "checkpoint", "keep", "finish")]

    def until(left: int, run_it: Callable[[], Any]) -> int:
        """Run until so many writes are done; returns how many were."""
        count = 0

        def counting(call: Callable[..., None]) -> Callable[..., None]:
            def write(*given: Any) -> None:
                nonlocal count
                if count == left:
                    raise Killed
                count += 1
                call(*given)

            return write

        with monkeypatch.context() as patched:
            for owner, name in writes:
                patched.setattr(owner, name, counting(getattr(owner, name)))
            try:
                run_it()
            except Killed:
                return count
        return count

    run, train = begun(TWO, people, tmp_path / "run")
    rng = random.Random()
    instants: list[int] = []
    while not run.finished and len(instants) < 12:
        left = rng.randint(3, 9) if len(instants) < 2 else 1000
        instants.append(until(left, train))
    assert run.finished and same(run, whole), instants


KILLED = """
import sys
from pathlib import Path
from trainer.learn import fit
from trainer.people import data
from trainer.recipes import reading
from trainer.runs import Run
crops, split, recipe, folder = sys.argv[1:]
crops = data.load(Path(crops))
parts = data.split(crops.people, Path(split))
chosen, run = reading.read(Path(recipe)), Run(Path(folder))
run.begin(chosen, {"data_digest": crops.of(parts["fit"]).digest})
print("ready", flush=True)
fit.fit(chosen, crops.of(parts["fit"]), crops.of(parts["val"]), run)
"""


def test_kill_9_at_random_instants(people: dict[str, Path], tmp_path: Path) -> None:
    """After each kill the folder can be read, and in the end each validation is noted once, at rising steps."""
    recipe, run = tmp_path / "recipe.toml", Run(tmp_path / "run")
    recipe.write_text(ONE.replace("steps = 6", "steps = 60").replace("validations = 3", "validations = 30"))
    script = [sys.executable, "-W", "ignore", "-c", KILLED, str(people["crops"]), str(people["split"]), str(recipe), str(run.folder)]
    with subprocess.Popen(script, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as child:
        assert child.stdout is not None and child.stdout.readline() == "ready\n"
        while child.poll() is None and len(run.history()) < 3:
            time.sleep(0.01)
        time.sleep(random.random() / 10)
        child.kill()
    state = run.state()
    assert child.returncode == -signal.SIGKILL and state is not None and state.course is not None
    begun(recipe.read_text(), people, run.folder)[1]()
    assert [line["step"] for line in run.history() if "epoch" in line] == list(range(0, 61, 2))
    assert len((run.folder / "history.csv").read_text().splitlines()) == 32


@pytest.mark.parametrize("halfway", [False, True])
def test_a_kill_after_surely_better_weights_were_kept(
    whole: Run, people: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, halfway: bool
) -> None:
    """The weights before are gone, so their gain cannot be measured again; `halfway`: before the figures were written."""

    def gain(before: np.ndarray, after: np.ndarray, person: np.ndarray) -> chance.Gain:
        return chance.Gain(20, *([0.0] * 3 if np.array_equal(before, after) else [0.2, 0.1, 0.3]))

    monkeypatch.setattr(chance, "gain", gain)
    run, train = begun(TWO.replace('"always"', '"surely"'), people, tmp_path / "run")
    keep, count = Run.keep, [0]

    def keep_and_die(self: Run, weights: list[np.ndarray], figures: dict[str, float]) -> None:
        count[0] += 1
        old = (self.folder / "kept.json").read_bytes() if self.kept else b""
        keep(self, weights, figures)
        if count[0] == 2:
            if halfway:
                (self.folder / "kept.json").write_bytes(old)
            raise Killed

    monkeypatch.setattr(Run, "keep", keep_and_die)
    with pytest.raises(Killed):
        train()
    train()
    assert [line["kept"] for line in run.history() if "kept" in line] == [True]
    assert all(np.array_equal(a, b) for a, b in zip(run.weights(), whole.weights(), strict=True))
    assert run.kept_figures() == pytest.approx(whole.kept_figures(), nan_ok=True)


@pytest.mark.parametrize(("low", "kept"), [(0.1, True), (-0.1, False)])
def test_a_diverging_stage_that_wants_to_be_sure_keeps_what_is_sure(
    people: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, low: float, kept: bool
) -> None:
    step = training._step

    def broken(stage: Stage, number: int, *given: Any) -> float:
        if stage.name == "triplets" and number == 2:
            raise training._divergence(stage, number, "the loss is nan")
        return step(stage, number, *given)

    monkeypatch.setattr(training, "_step", broken)
    monkeypatch.setattr(training, "merit", lambda figures: figures["same"])
    monkeypatch.setattr(chance, "gain", lambda before, after, person: chance.Gain(20, 0.2, low, 0.3))
    run, train = begun(TWO.replace('"always"', '"surely"'), people, tmp_path / "run")
    with pytest.raises(FitError, match=r"diverged at step 2.*" + ("step 2 are kept" if kept else "stays")):
        train()
    (line,) = (line for line in run.history() if "kept" in line)
    assert line["kept"] is kept and line["low"] == low
    assert (run.kept_figures()["same"] == pytest.approx(line["before"]["same"])) is not kept


DIVERGING = {
    "identify": 'kind = "identify"\nbatch = 16\n',
    "triplets": 'kind = "triplets"\npeople = 4\nimages = 3\nmin_images = 2\n',
    "pairs": 'kind = "pairs"\npairs = 8\n',
    "same": 'kind = "same"\npairs = 8\n',
}


def test_a_diverging_run_keeps_its_best_weights_and_says_so(
    people: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """NaN after some steps: by command, one line and a hint; what is kept can be evaluated; `fit` again has nothing to do."""
    step = training._step

    def broken(stage: Stage, number: int, *given: Any) -> float:
        if stage.name == "triplets" and number == 2:
            weights = stage.model.get_weights()
            stage.model.set_weights([np.full_like(weight, np.nan) for weight in weights])
        return step(stage, number, *given)

    monkeypatch.setattr(training, "_step", broken)
    (tmp_path / "two.toml").write_text(TWO)
    run = Run(tmp_path / "run")
    given = ["--data", str(people["crops"]), "--split", str(people["split"])]
    command = ["fit", *given, "--recipe", str(tmp_path / "two.toml"), "--run", str(run.folder)]
    assert main(command) == 2
    err = capsys.readouterr().err.splitlines()
    # A mining can lose sight of NaN in its loss; the next validation does not.
    assert len(err) == 2 and re.search(r"triplets diverged at step [23]: the (loss is nan|weights are not finite); what was", err[0])
    assert "lower the learning rate" in err[1]
    assert run.finished and merit(run.kept_figures()) > 0
    assert all(np.isfinite(weight).all() for weight in run.weights())
    assert any("diverged" in line.get("warning", "") for line in run.history())
    assert main(command) == 2
    err = capsys.readouterr().err.splitlines()
    assert len(err) == 2 and "is finished: triplets diverged" in err[0] and "--fresh" in err[1]
    assert main(["evaluate", str(run.folder), *given, "--part", "val"]) in (0, 2)
    assert "not finite" not in capsys.readouterr().err


@pytest.mark.parametrize("kind", DIVERGING)
def test_a_far_too_high_rate_ends_in_one_fault_or_in_weights_that_are_numbers(people: dict[str, Path], tmp_path: Path, kind: str) -> None:
    text = TINY.replace('compute = "float32"', 'compute = "mixed_float16"')
    run, train = begun(f"{text}[[stages]]\nsteps = 6\nrate = 1e30\n{DIVERGING[kind]}", people, tmp_path / "run")
    try:
        train()
    except Diverged as error:
        assert "\n" not in error.message
    except FitError as error:
        assert "diverged" in error.message
    assert run.finished
    if run.kept:
        assert all(np.isfinite(weight).all() for weight in run.weights())


def test_weights_that_are_no_numbers_are_not_started_from(whole: Run, people: dict[str, Path], tmp_path: Path) -> None:
    chosen, (learned, val), run = reading.parse(ONE), faces.parts_of(people), Run(tmp_path / "run")
    run.begin(chosen, {"data_digest": learned.digest})
    broken = [np.full_like(weight, np.nan) for weight in whole.weights()]
    with pytest.raises(RunError, match="not finite numbers"):
        fit.fit(chosen, learned, val, run, start=fit.Start(broken, None))
    assert not run.kept


def test_patience_ends_a_stage_and_best_gives_its_best_validation(people: dict[str, Path], tmp_path: Path) -> None:
    """At a rate that only harms, the first validation is the best one."""
    text = ONE.replace("steps = 6", "steps = 12\npatience = 2\nbest = true").replace("validations = 3", "validations = 12")
    run, train = begun(text.replace("rate = 0.01", "rate = 3.0"), people, tmp_path / "run")
    train()
    found = [line for line in run.history() if "loss" in line]
    merits = [merit({key: np.nan if value is None else value for key, value in line.items()}) for line in found]
    best = int(np.argmax(merits))
    assert len(found) == best + 3 <= 12 or len(found) == 12
    assert merit(run.kept_figures()) == max(merits)
    assert any("ends early" in line.get("ended", "") for line in run.history()) == (len(found) < 12)


def test_a_full_disk_names_the_file_and_leaves_the_last_checkpoint(whole: Run, people: dict[str, Path], tmp_path: Path) -> None:
    run, train = begun(TWO, people, tmp_path / "run")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    checkpoint, count = Run.checkpoint, [0]

    def shrinking(self: Run, state: State) -> None:
        count[0] += 1
        if count[0] == 3:
            resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
        checkpoint(self, state)

    with pytest.MonkeyPatch.context() as patched, pytest.raises(RunError, match=r"cannot write .*state\.npz") as full:
        patched.setattr(Run, "checkpoint", shrinking)
        try:
            train()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "make room" in full.value.hint and not list(run.folder.glob("*.tmp"))
    state = run.state()
    assert state is not None and state.step == 2
    train()
    assert same(run, whole)


def test_a_damaged_run_is_one_line(whole: Run, people: dict[str, Path], tmp_path: Path) -> None:
    run, train = begun(TWO, people, tmp_path / "run")
    content = (whole.folder / "state.npz").read_bytes()
    for damaged in (content[: len(content) // 2], b"", b"PK\x03\x04" + bytes(200), content[:3000] + bytes(3000) + content[6000:]):
        (run.folder / "state.npz").write_bytes(damaged)
        with pytest.raises(RunError, match=r"state\.npz is damaged") as fault:
            train()
        assert "\n" not in fault.value.message and "--fresh" in fault.value.hint
    (run.folder / "weights.npz").write_bytes(content[:500])
    with pytest.raises(RunError, match=r"weights\.npz is damaged"):
        run.weights()
    (run.folder / "run.json").write_text("{")
    with pytest.raises(RunError, match=r"run\.json is damaged"):
        run.facts()


def test_a_second_fit_is_refused_while_one_is_at_work(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    with run.alone(), pytest.raises(RunError, match=f"is being trained by process {os.getpid()}"), Run(tmp_path / "run").alone():
        pass
    # Nothing was begun, so nothing is left.
    assert not run.folder.exists()


def test_a_folder_that_was_cut_off_while_it_was_made_can_be_begun(tmp_path: Path) -> None:
    chosen, run = reading.parse(ONE), Run(tmp_path / "run")
    run.folder.mkdir()
    (run.folder / "recipe.toml.tmp").write_text("half")
    (run.folder / "lock").write_text("")
    run.begin(chosen, {"data_digest": ""})
    assert run.begun


def test_an_older_trainers_state_is_taken(whole: Run, people: dict[str, Path], tmp_path: Path) -> None:
    """It has no course, no seeds and no length of the history."""
    run, train = begun(TWO, people, tmp_path / "run")
    state = whole.state()
    assert state is not None
    run.note({"stage": "identify", "step": 6, "epoch": 1.0, "loss": 1.0})
    run.keep(whole.weights(), whole.kept_figures())
    run.checkpoint(dataclasses.replace(state, seeds=[], best=[], course=None))
    with np.load(run.folder / "state.npz") as file:
        arrays = {key: file[key] for key in file.files if key not in ("course", "history")}
    np.savez(run.folder / "state.npz", **arrays)
    train()
    assert run.finished and [line["step"] for line in run.history() if "loss" in line] == [6]
    assert json.loads((run.folder / "kept.json").read_text())["auc"] == whole.kept_figures()["auc"]
