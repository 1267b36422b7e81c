"""The picture of somebody whom the gate does not know, for a desk that enrols or dismisses them: the sharpest good frame of a passage."""

from dataclasses import dataclass
from math import ceil

import cv2
import numpy as np

from daemon.core.faces.quality import sharpness
from daemon.core.values import Face, Image, Probe

PER_BOX = 2.0
"""The picture shows this many times the face's box: enough for a detector and for somebody who knows the person, and little of others."""
LONGEST_PX = 400
ENOUGH = 1.15
"""A face is measured again when somebody enrols from the picture, and may come out smaller then."""
MOST_BYTES = 100_000
CHOICE_S = 1.0
QUALITIES = (92, 85, 75, 60, 40, 15)


def portrait(image: Image, face: Face, least_px: float) -> Image | None:
    """Cut a face with what is around it out of an upright BGR frame: uint8 [H, W, 3] BGR, LONGEST_PX at most unless `least_px` asks for
    more. None for a face that is too small for an enrolment, which takes faces from `least_px` pixels on."""
    height, width = image.shape[:2]
    box = face.box
    if not box.side >= ENOUGH * least_px or not np.isfinite([*box.centre, box.width, box.height]).all():
        return None
    (x, y), side = box.centre, PER_BOX * max(box.width, box.height)
    left, right = max(0, round(x - side / 2)), min(width, round(x + side / 2))
    top, bottom = max(0, round(y - side / 2)), min(height, round(y + side / 2))
    if right - left < least_px or bottom - top < least_px:
        return None
    cut = image[top:bottom, left:right]
    scale = max(LONGEST_PX, ceil(ENOUGH * least_px * side / box.side)) / max(cut.shape[:2])
    if scale >= 1:
        return cut.copy()  # a view would keep the whole frame
    size = max(1, round(cut.shape[1] * scale)), max(1, round(cut.shape[0] * scale))
    if scale >= 0.5:
        return np.asarray(cv2.resize(cut, size, interpolation=cv2.INTER_LINEAR), np.uint8)
    # Means over all pixels would take 10 ms for a face of 900 pixels, and this takes 2: the camera's frames do not wait for it.
    twice = cv2.resize(cut, (2 * size[0], 2 * size[1]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.resize(twice, size, interpolation=cv2.INTER_AREA), np.uint8)


@dataclass(slots=True)
class Best:
    """The sharpest portrait of a passage so far. `given`: it was handed over, and no further one is."""

    image: Image | None = None
    given: bool = False
    _since_s: float = 0.0
    _sharpness: float = -1.0

    def take(self, probe: Probe, at_s: float) -> None:
        """A further good frame of the face."""
        if self.given or probe.portrait is None:
            return
        if self.image is None:
            self._since_s = at_s
        if (sharp := sharpness(probe.crop)) > self._sharpness:
            self.image, self._sharpness = probe.portrait, sharp

    def settled(self, at_s: float) -> bool:
        """Whether there have been portraits for long enough to choose from. Whoever walks up is unknown before the face is large enough."""
        return self.image is not None and at_s - self._since_s >= CHOICE_S

    def give(self) -> Image | None:
        """The portrait, once."""
        image, self.image, self.given = self.image, None, True
        return image


def jpeg(image: Image) -> bytes:
    """A JPEG file of the picture, of at most MOST_BYTES bytes wherever a coarser one is enough for that."""
    data = b""
    for quality in QUALITIES:
        done, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
        if not done:
            raise RuntimeError("a picture could not be encoded")
        data = encoded.tobytes()
        if len(data) <= MOST_BYTES:
            break
    return data
