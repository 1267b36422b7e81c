"""The gate clips, processed up to the search, so that one detection serves many galleries, models and rules."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.gate_clips import enrolment_frame
from daemon.cli.calibrate import looks
from daemon.config import Config, GateConfig
from daemon.core.passages.gatekeeper import Decision, Gatekeeper
from daemon.core.passages.liveness import Lives
from daemon.core.passages.rules import Rules
from daemon.core.site import Passing, Site, judge
from daemon.core.values import Image, Vector, View
from daemon.edges.camera import frames_of, open_camera
from daemon.edges.detector import open_detector
from daemon.edges.gallery import Gallery
from daemon.pipeline import steps
from daemon.pipeline.opening import open_judge
from daemon.pipeline.photos import enrolment_crop


@dataclass(frozen=True, slots=True)
class Clip:
    """A recording. `person` walks in it, or None if nobody in it is enrolled anywhere. `first` says that it gave the enrolment frame."""

    name: str
    person: str | None
    first: bool
    views: list[View]


@dataclass(frozen=True, slots=True)
class Watched:
    """What one detector finds in the clips, and one aligned enrolment crop of each person."""

    clips: list[Clip]
    enrolment: dict[str, Image]


def watch(folder: Path, config: Config, others: Sequence[str] = ()) -> Watched:
    """Every clip of `folder`/asl, with everybody enrolled from one frame of their first clip; and the recordings `others` of `folder`."""
    with (folder / "asl/identities.csv").open() as file:
        people: dict[str, str | None] = {f"asl/{row['clip']}": row["person"] for row in csv.DictReader(file)}
    detector = open_detector(config.detector.kind, config.detector.min_face_px)
    faces = open_judge(config, config.detector.min_face_px)
    enrolment: dict[str, Image] = {}
    clips: list[Clip] = []
    for name, person in {**people, **dict.fromkeys(others)}.items():
        first = person is not None and person not in enrolment
        if person is not None and first:
            frame = enrolment_frame(folder / name, detector)
            enrolment[person] = enrolment_crop(frame, 1, detector, open_judge(config, config.enrolment.min_face_px))
        camera = open_camera("clips", GateConfig(source=str(folder / name)))
        try:
            attention, alive = detector.attention(), bool(config.liveness.model)
            views = [steps.look(frame, detector, faces, attention=attention, liveness=alive) for frame in frames_of(camera)]
        finally:
            camera.close()
        clips.append(Clip(name, person, first, views))
    return Watched(clips, enrolment)


@dataclass(frozen=True, slots=True)
class Seen:
    """The clips embedded by one model: the vectors of every view of every clip (by name), and everybody's template."""

    watched: Watched
    vectors: dict[str, list[list[Vector | None]]]
    templates: dict[str, Vector]


def embedded(watched: Watched, embedder: steps.Embeds) -> Seen:
    vectors = {clip.name: steps.embed(clip.views, embedder) for clip in watched.clips}
    return Seen(watched, vectors, {who: embedder.embed(np.stack([crop]))[0] for who, crop in watched.enrolment.items()})


def site_of(seen: Seen, without: str, rules: Rules, config: Config) -> Site:
    """The threshold of this gate from the rightful passages of everybody except one person. Raises SiteError."""
    templates = {person: vector[None] for person, vector in seen.templates.items() if person != without}
    passings = [
        Passing(clip.person, looks(zip(clip.views, seen.vectors[clip.name], strict=True), rules, config.decision.lost_s))
        for clip in seen.watched.clips
        if clip.person in templates and not clip.first
    ]
    return judge([passing for passing in passings if len(passing.looks)], templates, config.decision.target_fpir)


def gallery_of(templates: Mapping[str, Vector], others: Sequence[Vector] = ()) -> Gallery:
    """A gallery of these people, and of `others` whose names do not matter."""
    gallery = Gallery(len(next(iter(templates.values()))))
    for number, (person, vector) in enumerate([*templates.items(), *((f"other-{n}", v) for n, v in enumerate(others))], 1):
        gallery.add(number, person, vector)
    return gallery


def play(clip: Clip, seen: Seen, gallery: Gallery, rules: Rules, lost_s: float, lives: Lives | None = None) -> list[Decision]:
    """What the gate decides about a clip. Everybody may pass, unless `lives` takes them for a picture."""
    keeper = Gatekeeper("clips", rules, lost_s)
    return walk(clip, seen, gallery, keeper, lives) + keeper.finish()


def walk(clip: Clip, seen: Seen, gallery: Gallery, keeper: Gatekeeper, lives: Lives | None = None) -> list[Decision]:
    """Show a clip to a gate, which gets the vectors that it wants."""
    told = []
    for view, vectors in zip(clip.views, seen.vectors[clip.name], strict=True):
        given = [vector if wanted else None for vector, wanted in zip(vectors, keeper.wants(view), strict=True)]
        told += keeper.observe(view, given, gallery.search, lambda person, now: None, lives=lives, known=gallery)
    return told
