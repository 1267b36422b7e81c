"""The pictures that benches are made of show what they are said to show."""

from pathlib import Path

import numpy as np
import pytest

from bench import scenes
from bench.plain import Plain
from daemon.pipeline.opening import DEFAULT_BUNDLE


@pytest.mark.data
def test_a_sequence_shows_its_people_where_they_were_pasted(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OSTIARY_DATA", str(data_dir))
    plain = Plain(data_dir / "models/yunet.onnx", DEFAULT_BUNDLE, 0.672)
    people = scenes.portraits()[:5]
    crowd = scenes.sequence(640, 480, people, seconds=0.1)
    assert crowd.people == tuple(person.person for person in people) and len(crowd.jpegs) == 3
    assert [len(plain.find(image)) for image in crowd.images()] == [5, 5, 5]
    assert [len(plain.find(image)) for image in scenes.sequence(640, 480, (), seconds=0.1).images()] == [0, 0, 0]
    canvas = scenes.office(640, 480).copy()
    matrix = scenes.paste(canvas, people[0], (300.0, 200.0), 80.0)
    (row,) = plain.find(canvas)
    expected = people[0].landmarks @ matrix[:, :2].T + matrix[:, 2]
    assert np.abs(row[4:14].reshape(5, 2) - expected).max() < 8


def test_somebody_who_walks_up_becomes_larger() -> None:
    sides = [scenes.nearing(number, 72, 480) for number in (0, 20, 40, 60)]
    assert sides == sorted(sides) and sides[0] < 40 < sides[-1]


def test_without_data_a_bench_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OSTIARY_DATA", str(tmp_path))
    with pytest.raises(SystemExit, match="set OSTIARY_DATA to the data folder"):
        scenes.data_folder()
