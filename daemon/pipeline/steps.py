"""The straight line from a frame to matches, as functions. The daemon and the replay walk the same ones."""

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from daemon.config import Config
from daemon.core.faces.align import align
from daemon.core.faces.quality import Judge, Limits
from daemon.core.passages import defaults
from daemon.core.passages.claims import Mode
from daemon.core.passages.liveness import LivenessRules, surroundings
from daemon.core.passages.rules import Rules
from daemon.core.timing import Stage
from daemon.core.values import Face, Frame, Image, Match, Probe, Quality, Vector, View


class Detector(Protocol):
    """Finds the faces of a BGR picture, largest first."""

    def detect(self, image: Image) -> list[Face]: ...


class Embeds(Protocol):
    """Turns crops, uint8 [N, 112, 112, 3] RGB, into unit vectors, float32 [N, D]."""

    def embed(self, crops: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]: ...


class Searches(Protocol):
    """Finds the nearest person to each of float32 [N, D]."""

    def search(self, vectors: npt.NDArray[np.float32]) -> list[Match]: ...


class Liveness(Protocol):
    """Judges faces with their surroundings, uint8 [N, 80, 80, 3] BGR: the probability that each is living, [N], or NaN.

    `fault` says why the last faces could not be judged; None if they were.
    """

    @property
    def fault(self) -> str | None: ...

    def lives(self, faces: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]: ...


class Thresholds(Protocol):
    """A card's calibration: thresholds for a gallery size and a rate, for pairs, and for claims; None if the data could not resolve one."""

    def threshold(self, gallery_size: int, target_fpir: float) -> float | None: ...

    def pair_threshold(self, fmr: float) -> float | None: ...

    def claim_threshold(self, target_fmr: float) -> float | None: ...



Observe = Callable[[Stage, float], None]
"""Takes the name of a stage, and the seconds that it took."""


def unobserved(stage: Stage, seconds: float) -> None:
    """Measures nothing."""


@contextmanager
def timed(observe: Observe, stage: Stage) -> Iterator[None]:
    """Measure one stage of the line."""
    start = time.perf_counter()
    yield
    observe(stage, time.perf_counter() - start)


def limits(config: Config, min_face_px: int) -> Limits:
    """The quality limits of the configuration, for faces of at least `min_face_px`."""
    q = config.quality
    return Limits(
        min_face_px=min_face_px,
        min_sharpness=q.min_sharpness,
        min_brightness=q.min_brightness,
        max_brightness=q.max_brightness,
        max_yaw=q.max_yaw,
        min_upright=q.min_upright,
        max_covered=q.max_covered,
    )


def look(frame: Frame, detector: Detector, judge: Judge, observe: Observe = unobserved, *, liveness: bool = False) -> View:
    """Frame to View: find, cut out and judge every face. With `liveness`, good faces are cut out with their surroundings too."""
    with timed(observe, "detect"):
        found = detector.detect(frame.image)
    with timed(observe, "align"):
        faces, crops = [], []
        for face in found:
            try:
                crops.append(align(frame.image, face))
            except ValueError:  # an empty box or landmarks in one point: nothing that could be a face
                continue
            faces.append(face)
        qualities = judge.judge(faces, (frame.image.shape[0], frame.image.shape[1]), crops)
        probes = [
            Probe(face, crop, quality, surroundings(frame.image, face) if liveness and quality is Quality.OK else None)
            for face, crop, quality in zip(faces, crops, qualities, strict=True)
        ]
    return View(frame.gate, frame.number, frame.at_s, frame.captured_at, tuple(probes))


def embed(views: Sequence[View], embedder: Embeds, observe: Observe = unobserved) -> list[list[Vector | None]]:
    """The vector of every probe of every view, embedded in one batch; None for a face too poor to be scored."""
    scorable = [(i, j) for i, view in enumerate(views) for j, probe in enumerate(view.probes) if probe.quality is Quality.OK]
    vectors: list[list[Vector | None]] = [[None] * len(view.probes) for view in views]
    if scorable:
        with timed(observe, "embed"):
            embedded = embedder.embed(np.stack([views[i].probes[j].crop for i, j in scorable]))
        for (i, j), vector in zip(scorable, embedded, strict=True):
            vectors[i][j] = vector
    return vectors


def rules(config: Config, calibration: Thresholds, templates: int, mode: Mode = "identify") -> Rules:
    """The rules of a gate of this mode with this many templates.

    The threshold of a search among all is the operator's, or else the card's for that many templates. The threshold for claims is always
    the card's for pairs: the operator's says nothing about pairs.
    """
    d = config.decision
    threshold = d.threshold if d.threshold is not None else calibration.threshold(max(1, templates), d.target_fpir)
    same = calibration.pair_threshold(defaults.SAME_FACE_FMR)
    if same is None:  # the strictest that is known: better to cut one face in two than to take two faces for one
        same = threshold if threshold is not None else 1.0
    return Rules(
        threshold=threshold if mode != "verify" else None,
        margin=d.margin,
        min_frames=d.min_frames,
        min_s=d.min_s,
        patience=d.patience,
        recheck_s=d.recheck_s,
        tries=d.tries,
        memory=d.memory,
        same=same,
        liveness=LivenessRules(frames=config.liveness.frames, threshold=config.liveness.threshold, require=config.liveness.require),
        pair=calibration.claim_threshold(d.target_fmr) if mode != "identify" else None,
    )


def policy_digest(config: Config, rules: Rules) -> str:
    """Names the policy behind a decision. Equal digests mean equal rules."""
    text = msgspec.json.encode([config.decision, config.quality, config.detector, config.liveness, config.schedules, config.clock, rules])
    return hashlib.sha256(text).hexdigest()[:12]
