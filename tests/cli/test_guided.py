"""`ostiaryd calibrate --live` without recordings: people walk past the gate's camera, here a recorded one."""

import io
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from daemon.__main__ import main
from daemon.config import load, read_site_calibration
from daemon.core.values import Image, Person
from daemon.edges.detector import open_detector
from daemon.edges.store import open_store
from daemon.pipeline import opening, photos

skimage_data = pytest.importorskip("skimage.data")
matplotlib = pytest.importorskip("matplotlib")

Calibrate = Callable[..., tuple[int, str]]
"""Runs the command with these lines as answers; gives exit status and what was said."""


def astronaut() -> Image:
    return np.asarray(cv2.resize(skimage_data.astronaut()[:, :, ::-1], (480, 480)), np.uint8)


def admiral() -> Image:
    image = cv2.imread(str(Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"))
    assert image is not None
    return np.asarray(cv2.resize(image, (400, 480)), np.uint8)


def record(folder: Path, *walks: tuple[Image, ...]) -> None:
    """Pictures of 10 a second: those people side by side for 1.5 s, and then nobody."""
    folder.mkdir()
    number = 0
    for faces in walks:
        for frame in range(29):
            canvas = np.full((480, 960, 3), 150, np.uint8)
            for place, face in enumerate(faces if frame < 15 else ()):
                canvas[:, 480 * place : 480 * place + face.shape[1]] = face
            noise = np.random.default_rng(number).normal(0, 3, canvas.shape)
            cv2.imwrite(str(folder / f"{number:04}.jpg"), np.clip(canvas + noise, 0, 255).astype(np.uint8))
            number += 1


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A gate that knows the astronaut as E1, and three people who look like nobody."""
    path = tmp_path / "config.toml"
    path.write_text(f'site = "t"\nstate_dir = "{tmp_path / "state"}"\n[gates.north]\nsource = "day"\nfps = 10\n')
    loaded = load(path)
    model, store = opening.open_model(loaded), open_store(tmp_path / "state")
    crop = photos.enrolment_crop(
        cv2.imencode(".jpg", astronaut())[1].tobytes(), 1, open_detector("haar", 40), opening.open_judge(loaded, 40)
    )
    vectors = [model.embedder.embed(crop[None])[0]]
    for seed in range(3):
        drawn = np.random.default_rng(seed).normal(size=model.dimension)
        vectors.append(np.asarray(drawn / np.linalg.norm(drawn), np.float32))
    png = cv2.imencode(".png", crop[:, :, ::-1])[1].tobytes()
    with store.transaction():
        for number, vector in enumerate(vectors, 1):
            store.put_person(Person(f"E{number}"), store.pseudonym(f"E{number}"))
            store.add_template(f"E{number}", model.id, vector, png, 1.0)
    store.close()
    return path


@pytest.fixture
def calibrate(config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Calibrate:
    def call(*answers: str, options: tuple[str, ...] = ()) -> tuple[int, str]:
        monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{answer}\n" for answer in answers)))
        status = main(["calibrate", "--live", "--gate", "north", "--config", str(config), *options])
        said = capsys.readouterr()
        return status, said.out + said.err

    return call


def test_people_are_called_watched_and_counted_and_the_file_is_written(tmp_path: Path, calibrate: Calibrate) -> None:
    record(tmp_path / "day", (astronaut(),), (admiral(),), (astronaut(),))
    status, said = calibrate("", "s", "E1", "l", "w")
    assert status == 0, said
    assert "Who walks past now? [E1]" in said and "✓ E1: 1" in said and "✓ stranger 1: 1" in said
    assert "3 walks of 2 people" in said and "Not enough yet: the threshold would be" in said
    assert "[gates.north.decision]" in said and f'site_calibration = "{tmp_path / "calibration-north.toml"}"' in said
    text = (tmp_path / "calibration-north.toml").read_text()
    assert "# 3 passages of 5 people." in text and "one after the other" in text
    found = read_site_calibration(str(tmp_path / "calibration-north.toml"))
    assert found.gates == ("north",) and len(found.thresholds) == 1
    assert not (tmp_path / "state" / "calibration" / "north.walks").exists(), "what is known of faces is not kept longer than it serves"


def test_it_is_stopped_and_gone_on_with(tmp_path: Path, calibrate: Calibrate, config: Path) -> None:
    record(tmp_path / "day", (astronaut(),), (admiral(),))
    status, said = calibrate("", "q")
    assert status == 0 and "the same command goes on with it" in said and not (tmp_path / "calibration-north.toml").exists()
    status, said = calibrate("l")
    assert "Going on with 1 walk" in said and "[E2]" in said, "E1 has walked already"
    loaded = load(config)
    store = open_store(Path(loaded.state_dir))
    with store.transaction():
        store.remove_person("E1")
    store.close()
    assert "Going on with 0 walks" in calibrate("q")[1], "who was revoked is not looked at any more"
    assert "Going on" not in calibrate("q", options=("--restart",))[1]


def test_a_walk_under_a_wrong_name_or_of_two_people_is_left_out(tmp_path: Path, calibrate: Calibrate) -> None:
    record(tmp_path / "day", (astronaut(),), (astronaut(),), (astronaut(), admiral()), (astronaut(),))
    status, said = calibrate("E2", "n", "s", "n", "E1", "E9", "E1", "w")
    assert "Was it E2?" in said and "Was it a stranger?" in said and said.count("left out.") == 2
    assert "two people were in view" in said and "nobody is enrolled as E9" in said
    assert status == 0 and "# 1 passage of 4 people." in (tmp_path / "calibration-north.toml").read_text()


def test_nobody_in_view_and_too_little_are_said(tmp_path: Path, calibrate: Calibrate) -> None:
    record(tmp_path / "day", ())
    status, said = calibrate("", "w", "")
    assert status == 0 and "no face was seen well" in said and "The recording is over" in said
    assert "not yet: nobody has walked past yet" in said


def test_what_cannot_be_is_one_line_and_a_hint(
    tmp_path: Path, calibrate: Calibrate, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "calibration-north.toml").write_text("mine")
    status, said = calibrate("w")
    assert status == 1 and "there is a file already" in said and "Who walks" not in said
    for command, says in (
        ([], "there is nobody to look at"),
        (["--restart", "E1=x.mkv"], "--restart is about"),
        (["--live", "--gate", "south"], "there is no gate south"),
    ):
        assert main(["calibrate", "--config", str(config), *command]) == 78
        assert says in capsys.readouterr().err
