"""Whether these pictures may enrol this person, and which templates are kept. Pure rules over faces and vectors.

All vectors are float32 unit vectors, and all similarities are cosines. Every comparison is written so that NaN refuses.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from daemon.core.faces.quality import sharpness
from daemon.core.values import Face, Image, Quality

Vectors = npt.NDArray[np.float32]

BYSTANDER_AREA = 0.25
"""A second face whose area is below this share of the first is a bystander (or a cascade's false alarm), not a second candidate."""

USUAL_SHARPNESS = 0.3
LEAST_WORTH = 0.1


class EnrolError(ValueError):
    """The enrolment is refused. `reason` is a name of the MQTT contract, `detail` is one line for people."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


@dataclass(frozen=True, slots=True)
class Standards:
    """The similarities that an enrolment must reach, each None if the model's card has no such threshold; and how many templates a person
    keeps.

    alike: two pictures of one person must reach this.
    known: a new picture must reach this with an existing template. It is stricter, because a stranger's face on somebody's record opens the
        gate.
    same: from this similarity on, two people are taken for one.
    """

    alike: float | None
    known: float | None
    same: float | None
    max_templates: int


ADVICE: dict[str, str] = {
    "bad_image": "the JPEG file cannot be decoded; save it again as a usual photo",
    "no_face": "no face was found; use an upright frontal photo",
    "several_faces": "more than one face was found; use a photo of one person",
    Quality.TOO_SMALL: "the face is too small; come closer or send a larger photo",
    Quality.BLURRED: "the face is blurred; hold still or clean the lens",
    Quality.TOO_DARK: "the face is too dark; add light from the front",
    Quality.TOO_BRIGHT: "the face is overexposed; use less direct light",
    Quality.PROFILE: "the face is turned aside; look at the camera",
    Quality.CUT: "the face is cut off at the edge of the picture; move it to the middle",
    Quality.NOT_UPRIGHT: "the face is not upright; turn the picture, or hold the head upright",
    Quality.COVERED: "the face is covered; take off sunglasses, mask, scarf or helmet, and keep hands and hair out of the face",
}


PHOTO_REASONS = tuple(ADVICE)
"""Everything that can be wrong with one picture by itself."""


def bad_photo(reason: str, photo: int | None) -> EnrolError:
    """The error for one of PHOTO_REASONS. `photo` is the number of the photo, or None for the live camera."""
    return EnrolError(reason, f"image {photo}: {ADVICE[reason]}" if photo is not None else ADVICE[reason])


def the_face(faces: list[Face], photo: int) -> Face:
    """The only face of photo number `photo`. Raises EnrolError if there is none, or more than one."""
    if not faces:
        raise bad_photo("no_face", photo)
    first, *rest = sorted(faces, key=lambda face: -face.box.area)
    if any(face.box.area >= BYSTANDER_AREA * first.box.area for face in rest):
        raise bad_photo("several_faces", photo)
    return first


def need_quality(quality: Quality, photo: int | None) -> None:
    """Raises EnrolError unless the face can be scored. `photo` is the number of its photo, or None for the live camera."""
    if quality is not Quality.OK:
        raise bad_photo(quality.value, photo)


def need_consistency(new: Vectors, alike: float | None) -> None:
    """Raises EnrolError unless the pictures show one person: each of `new` [N, D] has at least the similarity `alike` to half of the
    others.

    One other picture would not be enough: with two pictures each of two people, every picture has a partner.
    """
    if not np.isfinite(new).all():
        raise EnrolError("inconsistent", "the model gave no usable vector")
    if len(new) == 1:
        return
    if alike is None:
        raise EnrolError("inconsistent", "the model's card cannot tell whether several images show one person; send one image")
    near = new @ new.T >= alike
    np.fill_diagonal(near, False)
    friends = near.sum(1)
    worst = int(friends.argmin())
    if not friends[worst] >= (len(new) - 1) / 2:
        raise EnrolError("inconsistent", f"image {worst + 1} shows another person than the other images")


def need_acquaintance(new: Vectors, templates: Vectors, standards: Standards) -> None:
    """Raises EnrolError unless the pictures show the owner of these templates, so that nobody's face is added to somebody else's record.

    Each of `new` [N, D] must reach `known` with the nearest of `templates` [K, D], K >= 0, and `alike` with the first one and with half of
    them. With the nearest alone, or half, small steps could lead a record away from its owner; the first one stays (`best_templates`).
    Without templates to compare with, nothing can be added.
    """
    least, alike = standards.known, standards.alike
    if least is None or alike is None or not len(templates):
        raise EnrolError("inconsistent", "the templates of this id cannot be compared; use replace, or revoke the person first")
    similarities = new @ templates.T
    near = similarities >= alike
    good = (similarities.max(1) >= least) & near[:, 0] & (near.sum(1) >= len(templates) / 2)
    if not good.all():
        raise EnrolError(
            "inconsistent",
            f"image {int(good.argmin()) + 1} does not look like the person enrolled under this id; use replace, or revoke first",
        )


def need_stranger(person: str | None, similarity: float, threshold: float | None, same: float | None) -> None:
    """Raises EnrolError if somebody else is enrolled who looks like this. `person` is the nearest of all others, or None.

    Below the gate's own `threshold` the gate never confuses the two, so there is nothing to refuse. From the threshold on the face is a
    `lookalike`, and from `same` on a `duplicate_of`. If `same` is below the threshold, as in large galleries, it does not count: among
    thousands of people such a pair occurs by chance. Without a threshold the gate is closed, and only `same` judges.
    """
    bounds = [bound for bound in (threshold, same) if bound is not None]
    if person is None or not bounds:
        return
    if not similarity < max(bounds):
        raise EnrolError("duplicate_of", f"this face is already enrolled as {person}; use force to enrol it anyway")
    if threshold is not None and not similarity < threshold:
        raise EnrolError("lookalike", f"the gate could take this face for {person}; send better images, or use force")


def worth(crop: Image) -> float:
    """How reliable a template from this crop (uint8 [112, 112, 3] RGB) is, 0.1 to 1: its sharpness relative to the usual one."""
    return min(1.0, max(LEAST_WORTH, sharpness(crop) / USUAL_SHARPNESS))


def best_templates(vectors: Vectors, worths: Sequence[float], keep: int, anchor: int | None = None) -> list[int]:
    """Choose `keep` (at least 1) of `vectors` [N, D], as sorted indices: greedy k-centre, weighted by `worths` (0 to 1).

    The gallery scores a person by their nearest template. So a template is worth its distance to the nearest one that is kept, reduced if
    its picture is poor. `anchor` is always kept. Ties go to the earlier index.
    """
    if len(vectors) <= keep:
        return list(range(len(vectors)))
    weights = np.asarray(worths, np.float64)
    chosen = [anchor if anchor is not None else int(weights.argmax())]
    nearest = np.asarray(vectors @ vectors[chosen[0]], np.float64)
    while len(chosen) < keep:
        gains = weights * np.maximum(1.0 - nearest, 0.0)
        gains[chosen] = -1.0
        best = int(gains.argmax())
        chosen.append(best)
        nearest = np.maximum(nearest, vectors @ vectors[best])
    return sorted(chosen)
