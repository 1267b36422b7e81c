"""What the daemon and its sandbox say to each other about enrolment photos, as bytes. Nothing that comes back has a length of its own."""

import struct
from dataclasses import dataclass

import msgspec
import numpy as np

from daemon.core.faces.align import CROP_PX
from daemon.core.faces.quality import Limits
from daemon.core.people.enrol import PHOTO_REASONS, EnrolError, bad_photo
from daemon.core.values import Image

LENGTH = struct.Struct(">I")
"""Stands before everything that goes in: first the settings, then one JPEG file after the other."""
READY, UNFILTERED = b"R", b"r"
"""The sandbox's first byte: it takes pictures. The second says that the kernel gave it no filter of system calls."""
GOOD, FAILED = 0, 255
"""The first byte of an answer: a crop follows, or the sandbox itself has failed. Any other is the reason with this number."""
CROP_BYTES = CROP_PX * CROP_PX * 3


@dataclass(frozen=True, slots=True)
class PhotoSettings:
    """How photos are looked at: the detector (`haar` or a YuNet file), the smallest side of a face in pixels that it reports, and the
    limits that a face must keep to."""

    detector: str
    min_face_px: int
    limits: Limits

    def encode(self) -> bytes:
        return msgspec.json.encode(self)


def read_settings(data: bytes) -> PhotoSettings:
    """What `encode` gave."""
    return msgspec.json.decode(data, type=PhotoSettings)


def refusal(error: EnrolError) -> int:
    """The first byte of the answer to a photo that is refused."""
    return 1 + PHOTO_REASONS.index(error.reason)


def refused(code: int, photo: int) -> EnrolError | None:
    """The error behind the first byte of an answer about photo number `photo`; None for a byte that means nothing."""
    return bad_photo(PHOTO_REASONS[code - 1], photo) if 1 <= code <= len(PHOTO_REASONS) else None


def crop_of(data: bytes) -> Image:
    """The crop, uint8 [112, 112, 3] RGB, in CROP_BYTES bytes."""
    return np.frombuffer(data, np.uint8).reshape(CROP_PX, CROP_PX, 3)
