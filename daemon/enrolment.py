"""A photo to the one crop it enrols: the same judgement for a command over MQTT and for a replay's own gallery."""

from daemon.core.align import align
from daemon.core.enrol import EnrolError, need_quality, the_face
from daemon.core.photo import PhotoError, decode_jpeg
from daemon.core.quality import Limits, judge
from daemon.core.values import Image
from daemon.pipeline import Detector


def enrolment_crop(jpeg: bytes, photo: int, detector: Detector, limits: Limits) -> Image:
    """The aligned crop, uint8 [112, 112, 3] RGB, of the one face in a JPEG file. Raises EnrolError, which names the photo by its number."""
    try:
        image = decode_jpeg(jpeg)
    except PhotoError as error:
        raise EnrolError("bad_image", f"image {photo}: {error}") from None
    face = the_face(detector.detect(image), photo)
    try:
        crop = align(image, face)
    except ValueError:
        raise EnrolError("no_face", f"image {photo}: no usable face was found") from None
    need_quality(judge(face, (image.shape[0], image.shape[1]), crop, limits), photo)
    return crop
