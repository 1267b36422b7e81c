"""Is this a living face or a picture of one? A second model judges that over several frames, and its judgement can only deny.

The model sees the face of each good frame with what is around it: the edge of a sheet or a screen tells more than the skin. A passage is
judged by the mean over its newest frames, and only when it is about to be accepted: nobody else's answer depends on it. A face that was
once taken for a spoof stays one until it has left.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from daemon.core.boxes import Box
from daemon.core.passages.ruling import Permit
from daemon.core.values import Face, Image, Liveness, Reason

SURROUNDINGS_PX = 80
PER_BOX = 2.7
"""The input of MiniFASNetV2 (Silent-Face-Anti-Spoofing): 80×80 pixels that show 2.7 times the face's box."""
CASCADE_BOX = (0.82, 1.09)
"""A cascade draws a square. The model was trained with boxes of a detector with landmarks: these are this many times as wide and as high as
the square (medians over office clips; the centres agree within 2 %)."""

Lives = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float64]]
"""Faces with their surroundings, uint8 [N, 80, 80, 3] BGR, to the probability that each is living, [N]; NaN if the model cannot tell."""


@dataclass(frozen=True, slots=True)
class LivenessRules:
    """The mean over the newest `frames` frames is judged: at `threshold` or above the face is live. With `require` only a live face is
    accepted; without it a face that was not evaluated is accepted too."""

    frames: int
    threshold: float
    require: bool


NOT_REQUIRED = LivenessRules(frames=1, threshold=0.5, require=False)


def surroundings(image: Image, face: Face) -> Image:
    """Cut a face and what is around it out of a BGR frame: uint8 [80, 80, 3], BGR. Raises ValueError on an empty box.

    A window that reaches beyond the frame is moved into it, and shrunk if the frame is too small for it. Nothing is filled in, because a
    black edge looks like the edge of a screen.
    """
    height, width = image.shape[:2]
    box = _face_box(face)
    if not (box.width > 0 and box.height > 0 and np.isfinite([*box.centre, box.width, box.height]).all()):
        raise ValueError("the face box is empty")
    scale = min(PER_BOX, width / box.width, height / box.height)
    columns, rows = _span(box.centre[0], box.width * scale, width), _span(box.centre[1], box.height * scale, height)
    # Linear, because the model was trained so, although linear interpolation skips pixels of a large face.
    return np.asarray(cv2.resize(image[rows, columns], (SURROUNDINGS_PX, SURROUNDINGS_PX), interpolation=cv2.INTER_LINEAR), np.uint8)


def _face_box(face: Face) -> Box:
    if not face.square:
        return face.box
    (x, y), width, height = face.box.centre, face.box.width * CASCADE_BOX[0], face.box.height * CASCADE_BOX[1]
    return Box(x - width / 2, y - height / 2, width, height)


def _span(centre: float, length: float, end: int) -> slice:
    """`length` pixels around a centre, at least one, moved into 0..end."""
    whole = min(max(1, round(length)), end)
    start = min(max(round(centre - length / 2), 0), end - whole)
    return slice(start, start + whole)


def judge(probabilities: npt.NDArray[np.float64], rules: LivenessRules) -> Liveness:
    """What the newest of these probabilities say; float64 [N], oldest first. They say nothing if there are fewer than `rules.frames`, or if
    one of the newest is not a probability."""
    newest = probabilities[-rules.frames :]
    if len(newest) < rules.frames or not bool(((newest >= 0) & (newest <= 1)).all()):
        return Liveness.NOT_EVALUATED
    return Liveness.LIVE if float(newest.mean()) >= rules.threshold else Liveness.SPOOF


@dataclass(slots=True)
class _Vote:
    picture: Image
    probability: float | None = None


@dataclass(slots=True)
class Votes:
    """What the frames of a passage say about whether its face is living. `verdict` is the answer of the last time they were asked."""

    verdict: Liveness = Liveness.NOT_EVALUATED
    _newest: deque[_Vote] = field(default_factory=deque, repr=False)

    def take(self, picture: Image | None, rules: LivenessRules) -> None:
        """Take the picture of a further good frame, uint8 [80, 80, 3] BGR. None is a good frame without a picture: the votes begin anew."""
        if picture is None:
            self._newest.clear()
            return
        self._newest.append(_Vote(picture))
        while len(self._newest) > rules.frames:
            self._newest.popleft()

    def ask(self, lives: Lives | None, rules: LivenessRules) -> Liveness:
        """The verdict now. The model sees each frame once. A spoof stays a spoof."""
        if self.verdict is Liveness.SPOOF:
            return self.verdict
        new = [vote for vote in self._newest if vote.probability is None]
        if lives is None or len(self._newest) < rules.frames:
            self.verdict = Liveness.NOT_EVALUATED
            return self.verdict
        if new:
            for vote, probability in zip(new, lives(np.stack([vote.picture for vote in new])), strict=True):
                vote.probability = float(probability)
        self.verdict = judge(np.array([vote.probability for vote in self._newest], np.float64), rules)
        return self.verdict

    def forbids(self, lives: Lives | None, rules: LivenessRules) -> Reason | None:
        """The reason not to accept somebody who would be accepted otherwise, or None. No answer of this function lets anybody in."""
        verdict = self.ask(lives, rules)
        if verdict is Liveness.LIVE or (verdict is Liveness.NOT_EVALUATED and not rules.require):
            return None
        return Reason.SPOOF_SUSPECTED


def with_liveness(permit: Permit, votes: Votes, lives: Lives | None, rules: LivenessRules) -> Permit:
    """The same rules and one more: the face must not seem a picture. The model is asked only about those whom nothing else forbids."""

    def allowed(person: str, now: float) -> Reason | None:
        forbidden = permit(person, now)
        return forbidden if forbidden is not None else votes.forbids(lives, rules)

    return allowed
