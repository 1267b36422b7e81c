"""The one face of a photo: which of several it is, whether it is good enough, and its crop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from daemon.core.faces import visibility
from daemon.core.faces.align import align
from daemon.core.faces.quality import ENROLMENT, Judge
from daemon.core.faces.visibility import MIN_UPRIGHT, Sees
from daemon.core.values import Face, Image, Quality
from daemon.edges.detector import Detector, open_detector
from daemon.edges.visibility import open_visibility

Faces = Literal["main", "one"]
Standard = Literal["enrol", "any"]

CENTRAL = 0.5
CLEARLY = 3.0
"""Measured, with what other rules would refuse and take wrongly, by bench/bystanders.py."""

REASONS = {
    Quality.TOO_SMALL: "the face is too small",
    Quality.BLURRED: "the face is blurred",
    Quality.TOO_DARK: "the face is too dark",
    Quality.TOO_BRIGHT: "the face is overexposed",
    Quality.PROFILE: "the face is turned aside",
    Quality.CUT: "the face is cut off",
    Quality.NOT_UPRIGHT: "the face is not upright",
    Quality.COVERED: "the face is covered",
}
NO_FACE, UNCLEAR = "no face found", "none is clearly the main one"
TURNED = (NO_FACE, REASONS[Quality.NOT_UPRIGHT])
"""What is said of a picture that lies on its side or head: detectors find upright faces."""


@dataclass(frozen=True, slots=True)
class Found:
    """A crop, uint8 [112, 112, 3] RGB, and how many faces its photo shows."""

    crop: Image
    faces: int


@dataclass(frozen=True, slots=True)
class Cutter:
    """Cuts the face out of a photo. `faces`: `main` takes the main one of several, `one` refuses a photo with more than one. `standard`:
    `enrol` refuses what a gate's enrolment refuses, `any` only a face that is not upright."""

    detector: Detector
    sees: Sees
    faces: Faces
    standard: Standard

    def cut(self, image: Image) -> Found | str:
        """The face of a BGR picture, or the reason why there is none. As at enrolment, a picture that lies on its side or head, and does
        not say so, is turned. Raises DetectorError and VisibilityError if a model fails."""
        found = self._upright(image)
        if found in TURNED:
            for quarters in (2, 1, 3):
                turned = self._upright(np.ascontiguousarray(np.rot90(image, quarters)))
                if isinstance(turned, Found):
                    return turned
        return found

    def _upright(self, image: Image) -> Found | str:
        faces, shape = self.detector.detect(image), (image.shape[0], image.shape[1])
        if not faces:
            return NO_FACE
        if len(faces) > 1 and self.faces == "one":
            return f"{len(faces)} faces found"
        face = main_face(faces, shape)
        if face is None:
            return f"{len(faces)} faces found, and {UNCLEAR}"
        try:
            crop = align(image, face)
        except ValueError:
            return NO_FACE
        if self.standard == "enrol":
            (quality,) = Judge(ENROLMENT, self.sees).judge([face], shape, [crop])
        else:
            quality = visibility.judge(self.sees(crop[None])[0], MIN_UPRIGHT, max_covered=1.0)
        return Found(crop, len(faces)) if quality is Quality.OK else REASONS[quality]


def open_cutter(detector: str, faces: Faces, standard: Standard) -> Cutter:
    """`detector` is `haar` or the path of a YuNet file. Raises DetectorError and VisibilityError."""
    return Cutter(open_detector(detector), open_visibility(), faces, standard)


def main_face(faces: Sequence[Face], shape: tuple[int, int], clearly: float = CLEARLY) -> Face | None:
    """The face that a photo of `shape` (height, width) is of: the clearly largest and most central one, or None if no face is it.

    A face weighs its area times exp(-(d/CENTRAL)²), where d is how far its centre is from the picture's, 0 in the middle and 1 in a
    corner. The heaviest must weigh `clearly` times as much as every other.
    """
    first, *rest = sorted(faces, key=lambda face: -weight(face, shape))
    return first if all(weight(first, shape) >= clearly * weight(face, shape) for face in rest) else None


def weight(face: Face, shape: tuple[int, int]) -> float:
    """How much a face is the subject of its picture, in square pixels."""
    x, y = face.box.centre
    height, width = shape
    away = np.hypot(x - width / 2, y - height / 2) / np.hypot(width / 2, height / 2)
    return face.box.area * float(np.exp(-((away / CENTRAL) ** 2)))


def crop_of(image: Image, detector: Detector) -> Image | str:
    """The crop uint8 [112, 112, 3] RGB of a BGR picture's main face, however good it is, or the reason why there is none."""
    faces = detector.detect(image)
    face = main_face(faces, (image.shape[0], image.shape[1])) if faces else None
    if face is None:
        return f"{len(faces)} faces found, and {UNCLEAR}" if faces else NO_FACE
    try:
        return align(image, face)
    except ValueError:
        return NO_FACE
