"""Lake's runs: read rightly, counted rightly, and refused where damaged."""

import shutil
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from trainer.measure import metrics, oneshot


def _blank(folder: Path) -> Path:
    """Twenty runs in which a drawing's grey level says which character it shows."""
    for run in range(1, 21):
        rng = np.random.default_rng(run)
        lines = []
        for kind in ("test", "training"):
            (folder / f"run{run:02d}" / kind).mkdir(parents=True)
        for item, answer in enumerate(rng.permutation(20) + 1, start=1):
            test, training = f"run{run:02d}/test/item{item:02d}.png", f"run{run:02d}/training/class{answer:02d}.png"
            for path in (test, training):
                cv2.imwrite(str(folder / path), np.full((105, 105), 10 * answer, np.uint8))
            lines.append(f"{test} {training}\n")
        (folder / f"run{run:02d}" / "class_labels.txt").write_text("".join(lines))
    return folder


def _zipped(folder: Path) -> Path:
    target = folder.with_suffix(".zip")
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder).as_posix())
    return target


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _blank(tmp_path_factory.mktemp("runs"))


def test_a_folder_and_a_zip_say_the_same(runs: Path) -> None:
    trials = oneshot.read(runs)
    assert len(trials) == 20
    for trial, other in zip(trials, oneshot.read(_zipped(runs)), strict=True):
        assert trial.training.shape == (20, 105, 105) and trial.training.dtype == np.uint8
        assert np.array_equal(trial.test[:, 0, 0], trial.training[trial.answer, 0, 0])
        assert np.array_equal(trial.training[:, 0, 0], 10 * np.arange(1, 21))
        assert np.array_equal(trial.answer, other.answer) and np.array_equal(trial.test, other.test)
    assert any(not np.array_equal(trial.answer, np.arange(20)) for trial in trials)


def test_counting(runs: Path) -> None:
    trials = oneshot.read(runs)
    perfect = oneshot.measure(trials, lambda drawings: drawings[:, 0, :1] / 255.0, lambda a, b: -np.abs(a - b.T))
    assert (perfect.right, perfect.total, perfect.per_run) == (400, 400, (20,) * 20)
    assert (perfect.low, perfect.high) == metrics.wilson(400, 400)
    blind = oneshot.measure(trials, lambda drawings: np.ones((len(drawings), 3)))
    assert blind.share == 0 and blind.high == pytest.approx(0.0095, abs=1e-4)
    one_wrong = [np.eye(20)[trial.answer] for trial in trials]
    one_wrong[4][7] = np.roll(one_wrong[4][7], 1)
    found = oneshot.accuracy(trials, one_wrong)
    assert found.right == 399 and found.per_run[4] == 19


@pytest.mark.parametrize(
    ("path", "content", "message"),
    [
        ("run07/class_labels.txt", None, "run07/class_labels.txt is missing"),
        ("run07/class_labels.txt", b"run07/test/item01.png\n" * 20, "not 20 lines of two paths"),
        ("run07/class_labels.txt", b"\xff\x00", "not 20 lines of two paths"),
        ("run07/class_labels.txt", b"run07/test/item01.png run07/training/class01.png\n" * 20, "run07/training/class02.png"),
        ("run03/training/class05.png", None, "run03/training/class05.png"),
        ("run03/test/item05.png", None, "run03/test/item05.png is missing"),
        ("run03/test/item05.png", b"", "run03/test/item05.png is not a picture"),
        ("run03/test/item05.png", b"no picture", "run03/test/item05.png is not a picture"),
    ],
)
def test_damage_is_named(runs: Path, tmp_path: Path, path: str, content: bytes | None, message: str) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(runs, damaged)
    if content is None:
        (damaged / path).unlink()
    else:
        (damaged / path).write_bytes(content)
    with pytest.raises(oneshot.OneShotError, match=message) as caught:
        oneshot.read(damaged)
    assert "one_shot_runs.zip" in caught.value.hint


def test_a_zip_that_is_none(tmp_path: Path, runs: Path) -> None:
    with pytest.raises(oneshot.OneShotError, match="cannot read"):
        oneshot.read(tmp_path / "absent.zip")
    (tmp_path / "text.zip").write_text("not a zip")
    with pytest.raises(oneshot.OneShotError, match="cannot read"):
        oneshot.read(tmp_path / "text.zip")
    whole = _zipped(runs).read_bytes()
    place = whole.index(b"run09/test/item09.png") + 60
    (tmp_path / "bent.zip").write_bytes(whole[:place] + b"\0\0\0\0" + whole[place + 4 :])
    with pytest.raises(oneshot.OneShotError, match="cannot read"):
        oneshot.read(tmp_path / "bent.zip")


@pytest.mark.data
def test_the_published_baseline_comes_out(data_dir: Path) -> None:
    """The modified Hausdorff distance (Dubuisson and Jain 1994) of centred ink has 38.8 % errors in Lake's demonstration: an
    independent witness that the right drawings stand beside the right answers. Places rounded to half a pixel move a few of the 400
    answers; computed without rounding, which takes minutes, the share is 61.2 % to within 0.3."""
    trials = oneshot.read(data_dir / "omniglot" / "one_shot_runs.zip")
    assert set(np.unique(trials[0].test)) == {0, 255} and (trials[0].test == 255).mean() > 0.9
    score = oneshot.accuracy(trials, [_hausdorff(trial.test, trial.training) for trial in trials])
    assert score.total == 400
    assert score.share == pytest.approx(0.612, abs=0.015)


def _hausdorff(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    rows, columns = ([_ink(drawing) for drawing in drawings] for drawings in (a, b))
    return np.array([[-max(back[own].mean(), to[place].mean()) for place, back in columns] for own, to in rows])


def _ink(drawing: np.ndarray, fine: int = 2) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    """Where the ink is, its middle in the middle of a sheet of finer places, and how far each place of that sheet is from ink."""
    points = np.argwhere(drawing == 0)
    place = tuple(np.round(fine * (points - points.mean(axis=0) + 70)).astype(np.int64).T)
    sheet = np.ones((140 * fine, 140 * fine), np.uint8)
    sheet[place] = 0
    return place, cv2.distanceTransform(sheet, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
