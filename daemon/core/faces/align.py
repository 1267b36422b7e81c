"""Cuts faces out as aligned crops. The daemon and the trainer share this one copy.

A detector without landmarks gives only a box, and then the crop follows the box: against landmarks, the centre of the box that the cascade
`frontalface_alt2` draws lies at (56, 63) of the crop, and the crop is 1.13 times as wide as the box (medians over LFW pictures and office
clips).
"""

from dataclasses import dataclass

import cv2
import numpy as np

from daemon.core.boxes import Box
from daemon.core.values import Face, Image


@dataclass(frozen=True, slots=True)
class Alignment:
    """Where a face lies in its crop. `id` names the numbers below it: a bundle's card carries it, so other numbers need another `id`.

    Crops are `crop_px` wide and high. `landmarks` are in pixels of the crop, in the order of `Face.landmarks`.
    """

    id: str
    crop_px: int
    landmarks: tuple[tuple[float, float], ...]


ALIGNMENT = Alignment(
    id="arcface-112-v1",
    crop_px=112,
    landmarks=((38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041)),
)
"""The five-point template of ArcFace (Deng et al. 2019), which most public face models use."""

CROP_PX = ALIGNMENT.crop_px
TEMPLATE = np.array(ALIGNMENT.landmarks, np.float64)
TEMPLATE.flags.writeable = False

BOX_CENTRE = (56.0, 63.0)
CROP_PER_BOX = 1.13


def similarity_transform(points: np.ndarray) -> np.ndarray:
    """The rotation, scale and shift that bring five landmarks [5, 2] onto the template by least squares, float64 [2, 3] (Umeyama 1991).
    Raises ValueError if the landmarks coincide or are not finite.

    All five points count: a robust estimator would leave out the nose of a turned head and tilt the crop.
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
    """The scale and shift that bring a face box into the crop, float64 [2, 3]. Raises ValueError on an empty box."""
    if not (box.width > 0 and box.height > 0):
        raise ValueError("the face box is empty")
    scale = CROP_PX / (CROP_PER_BOX * (box.width + box.height) / 2)
    x, y = box.centre
    return np.array([[scale, 0.0, BOX_CENTRE[0] - scale * x], [0.0, scale, BOX_CENTRE[1] - scale * y]])


def align(image: Image, face: Face) -> Image:
    """Cut `face` out of a BGR picture as an aligned RGB crop, uint8 [112, 112, 3]. Raises ValueError as the two transforms do.

    Only here does the colour order change. Pixels outside the picture become black.
    """
    return np.ascontiguousarray(warped(image, placing(face), CROP_PX)[:, :, ::-1], np.uint8)


def placing(face: Face) -> np.ndarray:
    """The transform that brings a face of a frame into its crop, float64 [2, 3]: by the aligner's anchors, else by its landmarks, else by
    its box. Raises ValueError as the two transforms do."""
    points = face.anchors if face.anchors is not None else face.landmarks
    return box_transform(face.box) if points is None else similarity_transform(points)


def warped(image: Image, matrix: np.ndarray, side: int, border: int = cv2.BORDER_CONSTANT) -> Image:
    """What a transform [2, 3] brings into a square of `side` pixels, uint8 [side, side, 3]; by default black where the picture ends."""
    # Warping a large face to few pixels in one step skips pixels, so shrink the picture to about the right scale first: only the part that
    # is shown, because shrinking a whole frame for one face would take longer than the rest.
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    if scale < 0.5:
        part, left, top = _shown(image, matrix, side, 1 / scale)
        size = max(1, round(2 * scale * part.shape[1])), max(1, round(2 * scale * part.shape[0]))
        shrunk = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
        # `resize` keeps pixel centres at half coordinates, so the shift needs half a pixel.
        kx, ky = part.shape[1] / shrunk.shape[1], part.shape[0] / shrunk.shape[0]
        matrix = matrix @ np.array([[kx, 0, kx / 2 - 0.5 + left], [0, ky, ky / 2 - 0.5 + top], [0, 0, 1]])
        image = np.asarray(shrunk, np.uint8)
    return np.asarray(cv2.warpAffine(image, matrix, (side, side), flags=cv2.INTER_LINEAR, borderMode=border), np.uint8)


def _shown(image: Image, matrix: np.ndarray, side: int, room: float) -> tuple[Image, int, int]:
    """The part of a picture that the transform shows with `room` pixels around it, and where it begins. It is never empty."""
    back = np.linalg.inv(matrix[:, :2])
    corners = (np.array([[x, y] for x in (0, side) for y in (0, side)]) - matrix[:, 2]) @ back.T
    height, width = image.shape[:2]
    left, top = (int(np.clip(corners[:, axis].min() - 2 * room, 0, end - 1)) for axis, end in ((0, width), (1, height)))
    right, bottom = (int(np.clip(corners[:, axis].max() + 2 * room + 1, 1, end)) for axis, end in ((0, width), (1, height)))
    return image[top : max(bottom, top + 1), left : max(right, left + 1)], left, top
