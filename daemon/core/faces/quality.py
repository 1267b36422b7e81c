"""Is this face good enough to be scored? Poor faces are counted by reason and decide nothing."""

from dataclasses import dataclass

import cv2
import numpy as np

from daemon.core.boxes import Box, overlap
from daemon.core.values import Face, Image, Quality

SHARPNESS_PX = 56
FLAT = 4.0
"""A crop whose grey levels spread by less than this (standard deviation) is fog or a wall: there is no detail to be sharp."""
MIN_INSIDE = 0.9
FACE_ROWS, FACE_COLUMNS = slice(28, 104), slice(24, 88)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a face must be. `min_face_px` is the side of its box in frame pixels; the rest as measured by the functions below."""

    min_face_px: float
    min_sharpness: float
    min_brightness: float
    max_brightness: float
    max_yaw: float


def judge(face: Face, frame_shape: tuple[int, int], crop: Image, limits: Limits) -> Quality:
    """The first reason why `face` cannot be scored, or OK.

    `frame_shape` is (height, width) of the frame, `crop` its aligned RGB crop, uint8 [112, 112, 3]. A measure that is not a number passes
    nothing.
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
    """The share of the face's box that lies in the frame, 0 to 1; 0 when a landmark lies outside."""
    height, width = frame_shape
    if face.landmarks is not None:
        x, y = face.landmarks[:, 0], face.landmarks[:, 1]
        if not bool(((x >= 0) & (x < width) & (y >= 0) & (y < height)).all()):
            return 0.0
    if not face.box.area > 0:
        return 0.0
    return overlap(face.box, Box(0, 0, width, height)) / face.box.area


def yaw(face: Face) -> float:
    """How far the nose lies from the middle between the eyes, along the line through them, in eye distances.

    0 is frontal, LFW's 95th percentile 0.34. 0 without landmarks (a frontal cascade does not find profiles); infinite when the eyes
    coincide or stand in the wrong order.
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
    """The mean grey level of the face itself, 0 to 255: the middle of the crop, because a bright window behind a dark face is no help."""
    return float(cv2.mean(cv2.cvtColor(crop[FACE_ROWS, FACE_COLUMNS], cv2.COLOR_RGB2GRAY))[0])


def sharpness(crop: Image) -> float:
    """Variance of the Laplacian over variance of the grey crop at 56×56: a number without unit that light and contrast do not change.

    At 56 px a face of 50 px is as sharp as one of 200: measured on the full crop, an enlarged small face looks blurred. Faces of LFW and
    of office clips, also shrunk to 45 px: above 0.044; blurred by a Gaussian of 4.5 % of the face's width: 95 % of them below 0.038.
    Motion in one direction leaves the detail across it, and is hardly seen.
    """
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
    small = np.asarray(cv2.resize(grey, (SHARPNESS_PX, SHARPNESS_PX), interpolation=cv2.INTER_AREA), np.float64)
    if not small.std() >= FLAT:
        return 0.0
    return float(cv2.Laplacian(small, cv2.CV_64F).var() / small.var())
