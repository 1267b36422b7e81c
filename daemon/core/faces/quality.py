"""Whether a face is good enough to be scored. Poor faces are counted by reason and decide nothing."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from daemon.core.faces.align import CROP_PX, placing
from daemon.core.faces.visibility import MAX_COVERED, MIN_UPRIGHT, Sees
from daemon.core.faces.visibility import judge as visible
from daemon.core.values import Face, Image, Quality

SHARPNESS_PX = 56
FLAT = 4.0
"""If the grey levels of a crop spread by less than this (standard deviation), it shows fog or a wall, without any detail."""
MIN_INSIDE = 0.93
"""Measured on whole pictures (LFW) that were cut off: at the threshold of ten people strangers match in 0.05 % of pairs, and in 0.2, 0.4,
0.8 and 3.9 % if 10, 15, 20 and 35 % of the crop are missing above. At the sides, where the hair is, a missing fifth changes nothing."""
MIDDLE = (16, 96)
"""The columns of the crop that count."""
FACE_ROWS, FACE_COLUMNS = slice(28, 104), slice(24, 88)
MIN_ENROLMENT_PX = 50
MIN_SHARPNESS, MIN_BRIGHTNESS, MAX_BRIGHTNESS, MAX_YAW = 0.035, 30.0, 230.0, 0.45
"""What a face must be if the configuration says nothing else."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits for a face. `min_face_px` is the side of its box in frame pixels; the functions below measure the rest."""

    min_face_px: float
    min_sharpness: float
    min_brightness: float
    max_brightness: float
    max_yaw: float
    min_upright: float
    max_covered: float


ENROLMENT = Limits(MIN_ENROLMENT_PX, MIN_SHARPNESS, MIN_BRIGHTNESS, MAX_BRIGHTNESS, MAX_YAW, MIN_UPRIGHT, MAX_COVERED)
"""The limits for a photo that enrols somebody, if the configuration says nothing else. The trainer's photos must reach them too."""


@dataclass(frozen=True, slots=True)
class Judge:
    """Whether faces can be scored: by `limits` of what is measured here, and by a model that `sees` whether a face is upright and open."""

    limits: Limits
    sees: Sees

    def judge(self, faces: Sequence[Face], frame_shape: tuple[int, int], crops: Sequence[Image]) -> list[Quality]:
        """For each face of a frame the first reason why it cannot be scored, or OK. The model sees only those that nothing else speaks
        against, all in one batch."""
        found = [judge(face, frame_shape, crop, self.limits) for face, crop in zip(faces, crops, strict=True)]
        good = [index for index, quality in enumerate(found) if quality is Quality.OK]
        if good:
            answers = self.sees(np.stack([crops[index] for index in good]))
            for index, answer in zip(good, answers, strict=True):
                found[index] = visible(answer, self.limits.min_upright, self.limits.max_covered)
        return found


def judge(face: Face, frame_shape: tuple[int, int], crop: Image, limits: Limits) -> Quality:
    """The first reason among the measures why `face` cannot be scored, or OK.

    `frame_shape` is (height, width) of the frame, `crop` its aligned RGB crop, uint8 [112, 112, 3]. A measure that is NaN never
    passes.
    """
    if not face.box.side >= limits.min_face_px:
        return Quality.TOO_SMALL
    if not inside(face, frame_shape) >= MIN_INSIDE:
        return Quality.CUT
    if not yaw(face) <= limits.max_yaw:
        return Quality.PROFILE
    level = brightness(crop)
    if not level >= limits.min_brightness:
        return Quality.TOO_DARK
    if not level <= limits.max_brightness:
        return Quality.TOO_BRIGHT
    if not sharpness(crop) >= limits.min_sharpness:
        return Quality.BLURRED
    return Quality.OK


def inside(face: Face, frame_shape: tuple[int, int]) -> float:
    """The share of the face's crop, without its outer columns, that shows the frame, 0 to 1; 0 if a landmark is outside. The rest of the
    crop is black. Raises ValueError as `placing` does.

    A detector draws a smaller box around a head that is cut off, and the box is then inside the frame; the crop is not.
    """
    height, width = frame_shape
    if face.landmarks is not None:
        x, y = face.landmarks[:, 0], face.landmarks[:, 1]
        if not bool(((x >= 0) & (x < width) & (y >= 0) & (y < height)).all()):
            return 0.0
    back = np.asarray(cv2.invertAffineTransform(placing(face)), np.float64)
    seen = (_corners(MIDDLE[0], MIDDLE[1], CROP_PX) @ back[:, :2].T + back[:, 2]).astype(np.float32)
    area = abs(float(cv2.contourArea(seen)))
    return float(cv2.intersectConvexConvex(seen, _corners(0, width, height).astype(np.float32))[0]) / area if area > 0 else 0.0


def _corners(left: int, right: int, height: int) -> np.ndarray:
    """The corners of the columns `left` to `right` of a picture, float64 [4, 2]. Pixels lie around whole coordinates."""
    return np.array([(left, 0), (right, 0), (right, height), (left, height)], np.float64) - 0.5


def yaw(face: Face) -> float:
    """How far the nose is from the middle between the eyes, along the line through the eyes, in eye distances.

    0 is frontal; LFW's 95th percentile is 0.34. Without landmarks it is 0 (a frontal cascade does not find profiles). It is infinite if the
    eyes coincide or are in the wrong order.
    """
    if face.landmarks is None:
        return 0.0
    left, right, nose = np.asarray(face.landmarks[:3], np.float64)
    line = right - left
    distance = float(np.hypot(line[0], line[1]))
    if not (distance > 0 and line[0] > 0):
        return float("inf")
    return abs(float(np.dot(nose - (left + right) / 2, line))) / distance**2


def brightness(crop: Image) -> float:
    """The mean grey level of the face itself, 0 to 255: of the middle of the crop, because a bright window may be behind a dark face."""
    return float(cv2.mean(cv2.cvtColor(crop[FACE_ROWS, FACE_COLUMNS], cv2.COLOR_RGB2GRAY))[0])


def sharpness(crop: Image) -> float:
    """Variance of the Laplacian divided by variance of the grey crop at 56×56. It has no unit, and light and contrast do not change it.

    At 56 px a face of 50 px is as sharp as one of 200 px; on the full crop an enlarged small face would look blurred. Faces of LFW and of
    office clips, also shrunk to 45 px, are above 0.044. Blurred by a Gaussian of 4.5 % of the face's width, 95 % of them are below 0.038.
    Motion in one direction keeps the detail across it, so this measure hardly sees motion.
    """
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
    small = np.asarray(cv2.resize(grey, (SHARPNESS_PX, SHARPNESS_PX), interpolation=cv2.INTER_AREA), np.float64)
    if not small.std() >= FLAT:
        return 0.0
    return float(cv2.Laplacian(small, cv2.CV_64F).var() / small.var())
