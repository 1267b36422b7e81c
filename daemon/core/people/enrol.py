"""May these pictures enrol this person, and which templates are kept? Pure judgement over what was found in them.

All vectors are float32 unit vectors, all similarities cosines. Every comparison is written so that NaN refuses.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from daemon.core.faces.quality import sharpness
from daemon.core.values import Face, Image, Quality

Vectors = npt.NDArray[np.float32]

BYSTANDER_AREA = 0.25
"""A second face smaller than this share of the first is a bystander (or a cascade's false alarm), not another candidate."""

USUAL_SHARPNESS = 0.3
LEAST_WORTH = 0.1


class EnrolError(ValueError):
    """The enrolment is refused. `reason` is a name of the MQTT contract, `detail` a line for people."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


@dataclass(frozen=True, slots=True)
class Standards:
    """The similarities an enrolment is held to, None where the model's card cannot say, and how many templates a person keeps.

    `alike` is what two pictures of one person must reach, `known` what a new picture must reach with the templates that are there: it is
    stricter, because a stranger's face on somebody's record opens the gate. From `same` on two people are taken for one.
    """

    alike: float | None
    known: float | None
    same: float | None
    max_templates: int


_ADVICE = {
    Quality.TOO_SMALL: "the face is too small; come nearer or send a larger photo",
    Quality.BLURRED: "the face is blurred; hold still or clean the lens",
    Quality.TOO_DARK: "the face is too dark; more light from the front helps",
    Quality.TOO_BRIGHT: "the face is overexposed; less direct light helps",
    Quality.PROFILE: "the face is turned aside; look at the camera",
    Quality.CUT: "the face is cut off at the border of the picture",
}


def the_face(faces: list[Face], photo: int) -> Face:
    """The one face of photo number `photo`. Raises EnrolError for none or several."""
    if not faces:
        raise EnrolError("no_face", f"image {photo}: no face was found; use an upright frontal photo")
    first, *rest = sorted(faces, key=lambda face: -face.box.area)
    if any(face.box.area >= BYSTANDER_AREA * first.box.area for face in rest):
        raise EnrolError("several_faces", f"image {photo}: more than one face was found; use a photo of one person")
    return first


def need_quality(quality: Quality, photo: int | None) -> None:
    """Raises EnrolError unless the face of photo number `photo`, or in the live picture, can be scored."""
    if quality is not Quality.OK:
        raise EnrolError(quality.value, f"image {photo}: {_ADVICE[quality]}" if photo is not None else _ADVICE[quality])


def need_consistency(new: Vectors, alike: float | None) -> None:
    """The pictures show one person: each is at least `alike` to half of the others.

    Half of them, not one: in two pictures each of two people every picture has its like. `new` is [N, D]; raises EnrolError.
    """
    if not np.isfinite(new).all():
        raise EnrolError("inconsistent", "the model gave no usable vector")
    if len(new) == 1:
        return
    if alike is None:
        raise EnrolError("inconsistent", "the model's card cannot say whether several images show one person; send one")
    near = new @ new.T >= alike
    np.fill_diagonal(near, False)
    friends = near.sum(1)
    worst = int(friends.argmin())
    if not friends[worst] >= (len(new) - 1) / 2:
        raise EnrolError("inconsistent", f"image {worst + 1} shows another person than the other images")


def need_acquaintance(new: Vectors, templates: Vectors, standards: Standards) -> None:
    """The pictures show the person these templates belong to: nobody's face is added to somebody else's record.

    Each of `new` [N, D] must reach `known` with the nearest of `templates` [K, D], K >= 0, and `alike` with half of them: the nearest one
    alone would let a record be walked away from its owner in small steps. Without templates to compare with, nothing can be added.
    """
    least, alike = standards.known, standards.alike
    if least is None or alike is None or not len(templates):
        raise EnrolError("inconsistent", "what is enrolled under this id cannot be compared with; replace it, or revoke first")
    similarities = new @ templates.T
    good = (similarities.max(1) >= least) & ((similarities >= alike).sum(1) >= len(templates) / 2)
    if not good.all():
        raise EnrolError(
            "inconsistent",
            f"image {int(good.argmin()) + 1} does not look like the person already enrolled under this id; replace, or revoke first",
        )


def need_stranger(person: str | None, similarity: float, threshold: float | None, same: float | None) -> None:
    """Nobody else is enrolled who looks like this. `person` is the nearest of all others, None where there is nobody else.

    Below the gate's own `threshold` it never takes one for the other, so there is nothing to refuse; from there on they are a
    `lookalike`, and as alike as one person is to themself (`same`) a `duplicate_of`. Where `same` lies below the threshold, as in large
    galleries, it does not count: among thousands of people one such pair is mere chance. Without a threshold the gate is closed, and
    `same` alone judges. Raises EnrolError.
    """
    bounds = [bound for bound in (threshold, same) if bound is not None]
    if person is None or not bounds:
        return
    if not similarity < max(bounds):
        raise EnrolError("duplicate_of", f"this face is already enrolled as {person}; force enrols it all the same")
    if threshold is not None and not similarity < threshold:
        raise EnrolError("lookalike", f"the gate could take this face for {person}; send better images, or force")


def worth(crop: Image) -> float:
    """How much a template made from this crop (uint8 [112, 112, 3] RGB) can be relied on, 0.1 to 1: its sharpness against the usual."""
    return min(1.0, max(LEAST_WORTH, sharpness(crop) / USUAL_SHARPNESS))


def best_templates(vectors: Vectors, worths: Sequence[float], keep: int, anchor: int | None = None) -> list[int]:
    """Which `keep` (at least 1) of `vectors` [N, D] to keep, as sorted indices: greedy k-centre, weighted by `worths` (0 to 1).

    The gallery scores somebody by their nearest template, so a template adds what no other one covers: its distance to the nearest that is
    kept, counted less where the picture was poor. `anchor` is always kept. Ties go to the earlier index.
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
