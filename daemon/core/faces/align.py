"""Faces to aligned crops: the one copy that the daemon and the trainer share.

The target is the five-point 112×112 template of ArcFace (Deng et al. 2019), which most public face models use. A detector without
landmarks is aligned by its box alone: against landmarks, the centre of the box that the cascade `frontalface_alt2` draws lies at (56, 63)
of the crop, and the crop is 1.13 times as wide as the box (medians over LFW pictures and office clips).
"""

import cv2
import numpy as np

from daemon.core.boxes import Box
from daemon.core.values import Face, Image

ALIGNMENT = "arcface-112-v1"
CROP_PX = 112

TEMPLATE = np.array([[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]], np.float64)
"""Where the landmarks of an aligned face lie, pixels of the crop, in the order of `Face.landmarks`."""

BOX_CENTRE = (56.0, 63.0)
CROP_PER_BOX = 1.13


def similarity_transform(points: np.ndarray) -> np.ndarray:
    """The least-squares rotation, scale and shift of five landmarks [5, 2] onto the template, float64 [2, 3] (Umeyama 1991).

    Solved over all five points: a robust estimator would drop the nose of a turned head and tilt the crop.
    """
    source = np.asarray(points, np.float64)
    source_mean, target_mean = source.mean(0), TEMPLATE.mean(0)
    a, b = source - source_mean, TEMPLATE - target_mean
    spread = float((a * a).sum())
    if not np.isfinite(spread) or spread < 1e-6:
        raise ValueError("the landmarks coincide")
    cosine = float((a * b).sum()) / spread
    sine = float((a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum()) / spread
    rotation = np.array([[cosine, -sine], [sine, cosine]])
    return np.hstack([rotation, (target_mean - rotation @ source_mean)[:, None]])


def box_transform(box: Box) -> np.ndarray:
    """Scale and shift of a face box into the crop, float64 [2, 3]. Raises ValueError on an empty box."""
    if not (box.width > 0 and box.height > 0):
        raise ValueError("the face box is empty")
    scale = CROP_PX / (CROP_PER_BOX * (box.width + box.height) / 2)
    x, y = box.centre
    return np.array([[scale, 0.0, BOX_CENTRE[0] - scale * x], [0.0, scale, BOX_CENTRE[1] - scale * y]])


def align(image: Image, face: Face) -> Image:
    """Cut `face` out of a BGR picture as an aligned RGB crop, uint8 [112, 112, 3].

    This is the only place where the colour order changes. What lies outside the picture is filled with black.
    """
    matrix = box_transform(face.box) if face.landmarks is None else similarity_transform(face.landmarks)
    # Warping a large face straight to 112 px skips pixels; bring the picture near the right scale first.
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    if scale < 0.5:
        shrunk = cv2.resize(image, None, fx=2 * scale, fy=2 * scale, interpolation=cv2.INTER_AREA)
        # Pixel centres lie at half coordinates: that is what `resize` keeps, so the shift carries half a pixel.
        kx, ky = image.shape[1] / shrunk.shape[1], image.shape[0] / shrunk.shape[0]
        matrix = matrix @ np.array([[kx, 0, kx / 2 - 0.5], [0, ky, ky / 2 - 0.5], [0, 0, 1]])
        image = np.asarray(shrunk, np.uint8)
    crop = cv2.warpAffine(image, matrix, (CROP_PX, CROP_PX), flags=cv2.INTER_LINEAR)
    return np.ascontiguousarray(crop[:, :, ::-1], np.uint8)
