"""Real clips, drawn: the decisions are the same, the video has every frame, and the page shows who was seen."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.gate_clips import enrolment_frame
from daemon.cli.replay import Scene
from daemon.config import Config, GateConfig
from daemon.core.passages.rules import HOLD
from daemon.core.values import Person
from daemon.drawing.outputs import Annotator
from daemon.drawing.page import render
from daemon.drawing.trace import Tracer
from daemon.edges.camera import frames_of, open_camera
from daemon.edges.detector import open_detector
from daemon.edges.gallery import Gallery
from daemon.pipeline import opening
from daemon.pipeline.photos import enrolment_crop

pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def clips(data_dir: Path) -> dict[str, list[Path]]:
    """The clips of each person, in order."""
    with (data_dir / "clips/asl/identities.csv").open() as file:
        rows = list(csv.DictReader(file))
    people = sorted({row["person"] for row in rows})
    return {who: [data_dir / "clips/asl" / row["clip"] for row in rows if row["person"] == who] for who in people}


@pytest.fixture(scope="module")
def scene(clips: dict[str, list[Path]]) -> Scene:
    """A gate with the bundled model and detector that knows everybody from one frame of their first clip."""
    config = Config(site="test", gates={"test": GateConfig(source="none")})
    model, detector = opening.open_model(config), open_detector("haar")
    gallery = Gallery(model.dimension)
    for number, (person, own) in enumerate(clips.items(), 1):
        crop = enrolment_crop(enrolment_frame(own[0], detector), 1, detector, opening.open_judge(config, config.enrolment.min_face_px))
        gallery.add(number, person, model.embedder.embed(np.stack([crop]))[0])
    return Scene(config, "test", model, gallery, {person: Person(person) for person in clips})


def test_people_who_walk_by_are_drawn_and_decided_about_as_before(scene: Scene, data_dir: Path, tmp_path: Path) -> None:
    clip = str(data_dir / "clips/walking-and-pause.gif")
    tracer, annotator = Tracer(), Annotator(tmp_path / "out.webm", scene.rules())
    lines = list(scene.lines(clip, 25.0, [tracer, annotator]))
    assert lines == list(scene.lines(clip, 25.0)) != []
    film, times = annotator.finish(), [frame.at_s for frame in frames_of(open_camera("g", GateConfig(source=clip)))]
    assert film.frames >= tracer.frames == len(times)
    assert film.frames / film.fps == pytest.approx(times[-1] + 1 / film.fps, rel=0.02)
    page = render(tracer, scene.about(clip))
    rules = scene.rules()
    assert rules.threshold is not None and f"threshold τ {rules.threshold:.3f}" in page
    assert page.count('class="chip unknown"') >= len(lines) and "chip accept" not in page
    assert "<img" in page and len(page) < 200_000


def test_somebody_known_is_drawn_from_gathering_to_accepted(scene: Scene, clips: dict[str, list[Path]]) -> None:
    tracer = Tracer(faces=False)
    clip = str(clips["A"][1])
    told = list(scene.lines(clip, 25.0, [tracer]))
    page = render(tracer, replace(scene.about(clip), recording="clip"))
    assert any('"accept"' in line for line in told) and "✓ accepted: A" in page and "<img" not in page
    assert f"stays recognised down to {(scene.rules().threshold or 0) - HOLD:.3f}" in page
    assert 'class="state gathering"' in page and 'class="state accept"' in page
