"""The straight line from a frame to matches, as functions. The daemon and the replay walk the same ones."""

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from daemon.config import Config
from daemon.core.attention import Attention
from daemon.core.faces.align import align
from daemon.core.faces.quality import Judge, Limits
from daemon.core.passages import defaults
from daemon.core.passages.claims import Mode
from daemon.core.passages.cohort import Known
from daemon.core.passages.liveness import LivenessRules, surroundings
from daemon.core.passages.portrait import portrait
from daemon.core.passages.rules import Adapting, Rules
from daemon.core.region import Region
from daemon.core.timing import Stage
from daemon.core.values import Face, Frame, Image, Match, Probe, Quality, Spread, Vector, View


class Detector(Protocol):
    """Finds the faces of a BGR picture, largest first; or those of a camera's next picture, where `attention` looks for them."""

    def detect(self, image: Image) -> list[Face]: ...

    def follow(self, image: Image, at_s: float, attention: Attention) -> list[Face]: ...


class Embeds(Protocol):
    """Turns crops, uint8 [N, 112, 112, 3] RGB, into unit vectors, float32 [N, D]."""

    def embed(self, crops: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]: ...


class Searches(Known, Protocol):
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
    """A card's calibration: thresholds for a gallery size and a rate, for pairs, and for claims; None if the data could not resolve one.

    `strangers` is how alike two of the card's people are, None where the card does not tell. `measured_here` says whether the thresholds
    hold for the gate's own camera, because passages there were measured.
    """

    @property
    def strangers(self) -> Spread | None: ...

    @property
    def measured_here(self) -> bool: ...

    def threshold(self, gallery_size: int, target_fpir: float) -> float | None: ...

    def pair_threshold(self, fmr: float) -> float | None: ...

    def claim_threshold(self, target_fmr: float) -> float | None: ...


@dataclass(frozen=True, slots=True)
class Raised:
    """A card's calibration, raised by a gate's own one. `floor` None closes the gate: it was calibrated, but not with this model.

    `here`: it was measured at this very gate, as far as anybody can tell; `at` (UTC seconds) says when, None if the file does not.
    """

    card: Thresholds
    floor: float | None
    here: bool = True
    at: float | None = None

    @property
    def strangers(self) -> Spread | None:
        """Those of the card."""
        return self.card.strangers

    @property
    def measured_here(self) -> bool:
        """Whether passages were measured at this gate with this model."""
        return self.here and self.floor is not None

    def threshold(self, gallery_size: int, target_fpir: float) -> float | None:
        """The larger of the two, for this many templates; None if either is None."""
        threshold = self.card.threshold(gallery_size, target_fpir)
        return None if threshold is None or self.floor is None else max(threshold, self.floor)

    def pair_threshold(self, fmr: float) -> float | None:
        """The threshold of the card: enrolments and tracks are judged by it."""
        return self.card.pair_threshold(fmr)

    def claim_threshold(self, target_fmr: float) -> float | None:
        """The larger of the two; None if either is None: strangers who look alike at this gate do so with a badge in their hands too."""
        threshold = self.card.claim_threshold(target_fmr)
        return None if threshold is None or self.floor is None else max(threshold, self.floor)


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


def look(
    frame: Frame,
    detector: Detector,
    judge: Judge,
    observe: Observe = unobserved,
    *,
    attention: Attention | None = None,
    region: Region | None = None,
    liveness: bool = False,
    portraits_px: float | None = None,
) -> View:
    """Frame to View: find, cut out and judge every face in the region. With `liveness`, good faces are cut out with their surroundings too,
    and with `portraits_px` good faces of at least so many pixels as a desk would see them.

    `attention` is that of the frame's camera, which chooses the parts of the picture that are searched; without it, the whole is."""
    with timed(observe, "detect"):
        found = detector.detect(frame.image) if attention is None else detector.follow(frame.image, frame.at_s, attention)
    if region is not None:
        found = [face for face in found if region.holds(face.box, frame.image.shape[0], frame.image.shape[1])]
    with timed(observe, "align"):
        faces, crops = [], []
        for face in found:
            try:
                crops.append(align(frame.image, face))
            except ValueError:  # an empty box or landmarks in one point: nothing that could be a face
                continue
            faces.append(face)
        qualities = judge.judge(faces, (frame.image.shape[0], frame.image.shape[1]), crops)
        probes = []
        for face, crop, quality in zip(faces, crops, qualities, strict=True):
            good = quality is Quality.OK
            around = surroundings(frame.image, face) if liveness and good else None
            desk = portrait(frame.image, face, portraits_px) if portraits_px is not None and good else None
            probes.append(Probe(face, crop, quality, around, desk))
    thorough = attention is None or attention.thorough
    return View(frame.gate, frame.number, frame.at_s, frame.captured_at, tuple(probes), thorough)


def embed(
    views: Sequence[View], embedder: Embeds, observe: Observe = unobserved, wanted: Sequence[Sequence[bool]] | None = None
) -> list[list[Vector | None]]:
    """The vector of every probe of every view, embedded in one batch; None for a face too poor to be scored, and for one that is not
    `wanted` (`Gatekeeper.wants` of each view)."""
    asked = [
        (i, j)
        for i, view in enumerate(views)
        for j, probe in enumerate(view.probes)
        if probe.quality is Quality.OK and (wanted is None or wanted[i][j])
    ]
    vectors: list[list[Vector | None]] = [[None] * len(view.probes) for view in views]
    if asked:
        with timed(observe, "embed"):
            embedded = embedder.embed(np.stack([views[i].probes[j].crop for i, j in asked]))
        for (i, j), vector in zip(asked, embedded, strict=True):
            vectors[i][j] = vector
    return vectors


def rules(config: Config, calibration: Thresholds, templates: int, mode: Mode = "identify") -> Rules:
    """The rules of a gate of this mode with this many templates.

    The threshold of a search among all is the operator's, or else the card's for that many templates. The threshold for claims is always
    the card's for pairs: the operator's says nothing about pairs.
    """
    d, strangers = config.decision, calibration.strangers
    threshold = d.threshold if d.threshold is not None else calibration.threshold(max(1, templates), d.target_fpir)
    same = calibration.pair_threshold(defaults.SAME_FACE_FMR)
    if same is None:  # the strictest that is known: better to cut one face in two than to take two faces for one
        same = threshold if threshold is not None else 1.0
    return Rules(
        threshold=threshold if mode != "verify" else None,
        margin=d.margin * (strangers.deviation if strangers is not None else defaults.UNTOLD_DEVIATION),
        min_frames=d.min_frames,
        min_s=d.min_s,
        patience=d.patience,
        recheck_s=d.recheck_s,
        tries=d.tries,
        memory=d.memory,
        same=same,
        liveness=LivenessRules(frames=config.liveness.frames, threshold=config.liveness.threshold, require=config.liveness.require),
        pair=calibration.claim_threshold(d.target_fmr) if mode != "identify" else None,
        adapts=_adapting(calibration, templates, config) if d.threshold is None else None,  # the operator's is taken as it is
    )


def _adapting(calibration: Thresholds, templates: int, config: Config) -> Adapting | None:
    """The rules by which a gate takes its camera into account; None where the card does not tell how alike strangers are. Centred
    similarities are those of photos by many cameras, so the card's own thresholds are for them, also where passages raised the others."""
    d, card = config.decision, calibration.card if isinstance(calibration, Raised) else calibration
    if card.strangers is None:
        return None
    return Adapting(card.strangers, card.threshold(max(1, templates), d.target_fpir), card.claim_threshold(d.target_fmr))


SHARING = ("share_unknown", "share_unknown_to")
"""What a gate does with pictures of unknown people decides nothing."""


def policy_digest(config: Config, rules: Rules, region: Region | None = None) -> str:
    """Names the policy behind a gate's decision (`config` is `Config.at` the gate). Equal digests mean equal rules."""
    decision = {key: value for key, value in asdict(config.decision).items() if key not in SHARING}
    parts = [decision, config.quality, config.detector, config.liveness, config.schedules, config.clock, rules]
    text = msgspec.json.encode(parts if region is None else [*parts, region])
    return hashlib.sha256(text).hexdigest()[:12]
