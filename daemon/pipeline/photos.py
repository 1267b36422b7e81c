"""From an enrolment photo to the crop of its one face: the same function for the sandbox of the daemon and for an operator's own files."""

from contextlib import suppress

import numpy as np

from daemon.core.faces.align import align
from daemon.core.faces.photo import PhotoError, decode_jpeg
from daemon.core.faces.quality import Judge
from daemon.core.people.enrol import EnrolError, bad_photo, need_quality, the_face
from daemon.core.values import Image, Quality
from daemon.pipeline.steps import Detector

TURNED = frozenset({"no_face", Quality.NOT_UPRIGHT})
"""What is said of a picture that is turned: many detectors find only upright faces."""


def enrolment_crop(jpeg: bytes, photo: int, detector: Detector, judge: Judge) -> Image:
    """The aligned crop, uint8 [112, 112, 3] RGB, of the one face in a JPEG file. A picture on its side or head that does not say so (EXIF)
    is turned. Raises EnrolError with one of PHOTO_REASONS, which names the photo by its number."""
    try:
        image = decode_jpeg(jpeg)
    except PhotoError as error:
        raise EnrolError("bad_image", f"image {photo}: {error}") from None
    try:
        return _crop(image, photo, detector, judge)
    except EnrolError as error:
        if error.reason not in TURNED:
            raise
        for quarters in (2, 1, 3):
            with suppress(EnrolError):
                return _crop(np.ascontiguousarray(np.rot90(image, quarters)), photo, detector, judge)
        raise


def _crop(image: Image, photo: int, detector: Detector, judge: Judge) -> Image:
    face = the_face(detector.detect(image), photo)
    try:
        crop = align(image, face)
    except ValueError:
        raise bad_photo("no_face", photo) from None
    (quality,) = judge.judge([face], (image.shape[0], image.shape[1]), [crop])
    need_quality(quality, photo)
    return crop
