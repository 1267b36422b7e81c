"""May this photo enrol somebody? Pure judgement over what was found in it."""

import numpy as np
import numpy.typing as npt

from daemon.core.values import Face, Quality

BYSTANDER_AREA = 0.25
"""A second face smaller than this share of the first is a bystander (or a cascade's false alarm), not another candidate."""


class EnrolError(ValueError):
    """The photo is refused. `reason` is a name of the MQTT contract, `detail` a line for people."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


_ADVICE = {
    Quality.TOO_SMALL: "the face is too small; come nearer or send a larger photo",
    Quality.BLURRED: "the face is blurred; hold still or clean the lens",
    Quality.TOO_DARK: "the face is too dark; more light from the front helps",
    Quality.TOO_BRIGHT: "the face is overexposed; less direct light helps",
    Quality.PROFILE: "the face is turned aside; look at the camera",
    Quality.CUT: "the face is cut off at the border of the photo",
}


def the_face(faces: list[Face], photo: int) -> Face:
    """The one face of photo number `photo`. Raises EnrolError for none or several."""
    if not faces:
        raise EnrolError("no_face", f"image {photo}: no face was found; use an upright frontal photo")
    first, *rest = sorted(faces, key=lambda face: -face.box.area)
    if any(face.box.area >= BYSTANDER_AREA * first.box.area for face in rest):
        raise EnrolError("several_faces", f"image {photo}: more than one face was found; use a photo of one person")
    return first


def need_quality(quality: Quality, photo: int) -> None:
    """Raises EnrolError unless the face of photo number `photo` can be scored."""
    if quality is not Quality.OK:
        raise EnrolError(quality.value, f"image {photo}: {_ADVICE[quality]}")


def need_consistency(new: npt.NDArray[np.float32], known: npt.NDArray[np.float32], least: float) -> None:
    """The photos must show one person, and the person who is already enrolled under that id.

    `new` float32 [N, D] and `known` float32 [K, D] are unit vectors; `least` is the similarity two photos of one person must reach.
    Raises EnrolError: nobody's face is added to somebody else's record.
    """
    if not np.isfinite(new).all():
        raise EnrolError("inconsistent", "the model gave no usable vector")
    if len(new) > 1:
        among = new @ new.T
        np.fill_diagonal(among, -1.0)
        worst = int(among.max(1).argmin())
        if not among.max(1)[worst] >= least:
            raise EnrolError("inconsistent", f"image {worst + 1} shows another person than the other images")
    if len(known):
        nearest = (new @ known.T).max(1)
        worst = int(nearest.argmin())
        if not nearest[worst] >= least:
            raise EnrolError(
                "inconsistent",
                f"image {worst + 1} does not look like the person already enrolled under this id; revoke first to start anew",
            )
