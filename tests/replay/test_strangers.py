"""Each person of the gate clips as a stranger to a gate that knows the others, and people who are enrolled nowhere: nobody is let in."""

import csv
from dataclasses import replace
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

from bench.gate_clips import enrolment_frame
from daemon import app
from daemon.config import Config, GateConfig
from daemon.core.values import Person
from daemon.edges.detector import open_detector
from daemon.edges.gallery import Gallery
from daemon.enrolment import enrolment_crop
from daemon.pipeline import limits
from daemon.replays import Scene

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
    model, detector = app.open_model(config), open_detector("haar")
    gallery = Gallery(model.dimension)
    for number, (person, own) in enumerate(clips.items(), 1):
        crop = enrolment_crop(enrolment_frame(own[0], detector), 1, detector, limits(config, config.enrolment.min_face_px))
        gallery.add(number, person, model.embedder.embed(np.stack([crop]))[0])
    return Scene(config, "test", model, gallery, {person: Person(person) for person in clips})


def without(scene: Scene, person: str) -> Scene:
    gallery = Gallery(scene.gallery.dimension)
    for number, other in enumerate(p for p in scene.people if p != person):
        gallery.add(number, other, scene.gallery.vectors_of(other)[0])
    return replace(scene, gallery=gallery)


def decided(scene: Scene, clip: Path) -> list[tuple[str, str | None]]:
    lines = [msgspec.json.decode(line) for line in scene.lines(str(clip), 25.0)]
    return [(line["decision"], line["person"]) for line in lines]


def test_who_is_left_out_is_unknown(scene: Scene, clips: dict[str, list[Path]]) -> None:
    told = {clip.name: decided(without(scene, person), clip) for person, own in clips.items() for clip in own[1:] or own}
    assert {name: said for name, said in told.items() if any(decision == "accept" for decision, _ in said)} == {}
    assert sum(("unknown", None) in said for said in told.values()) == len(told), told


def test_people_who_walk_by_are_not_accepted(scene: Scene, data_dir: Path) -> None:
    assert cv2.VideoCapture(str(data_dir / "clips/walking-and-pause.gif")).read()[0]
    assert all(decision != "accept" for decision, _ in decided(scene, data_dir / "clips/walking-and-pause.gif"))
