"""Is this a living face or a picture of one? A second model says, over several frames, and what it says can only deny.

The model sees each good frame's face with what is around it: the edge of a sheet or of a screen tells more than the skin. A passage is
judged by the mean over its newest frames, and only when it is about to be accepted: nobody else's answer depends on it. What was taken for
a spoof once stays one until the face has left.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from daemon.core.boxes import Box
from daemon.core.values import Face, Image, Liveness, Reason

SURROUNDINGS_PX = 80
PER_BOX = 2.7
"""The layout of MiniFASNetV2 (Silent-Face-Anti-Spoofing): 80×80 pixels of 2.7 times the face's box."""
CASCADE_BOX = (0.82, 1.09)
"""A cascade draws a square; the box of a detector with landmarks, such as the model was trained with, is so much as wide and as high
(medians over office clips; the centres agree within 2 %)."""

Lives = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float64]]
"""Faces with their surroundings, uint8 [N, 80, 80, 3] BGR, to the probability that each is living, [N]; NaN where it cannot be told."""


@dataclass(frozen=True, slots=True)
class LivenessRules:
    """The mean over the newest `frames` is judged, and is live from `threshold` on. With `require` an accept needs that."""

    frames: int
    threshold: float
    require: bool


NOT_REQUIRED = LivenessRules(frames=1, threshold=0.5, require=False)


def surroundings(image: Image, face: Face) -> Image:
    """Cut a face and what is around it out of a BGR frame: uint8 [80, 80, 3], BGR. Raises ValueError on an empty box.

    The window is moved into the frame where it does not lie in it, and shrunk where the frame is too small for it: nothing is filled in,
    because a black edge looks like a screen's.
    """
    height, width = image.shape[:2]
    box = _face_box(face)
    if not (box.width > 0 and box.height > 0 and np.isfinite([*box.centre, box.width, box.height]).all()):
        raise ValueError("the face box is empty")
    scale = min(PER_BOX, width / box.width, height / box.height)
    columns, rows = _span(box.centre[0], box.width * scale, width), _span(box.centre[1], box.height * scale, height)
    # Linear, as the model was trained, although it skips pixels of a large face.
    return np.asarray(cv2.resize(image[rows, columns], (SURROUNDINGS_PX, SURROUNDINGS_PX), interpolation=cv2.INTER_LINEAR), np.uint8)


def _face_box(face: Face) -> Box:
    if face.landmarks is not None:
        return face.box
    (x, y), width, height = face.box.centre, face.box.width * CASCADE_BOX[0], face.box.height * CASCADE_BOX[1]
    return Box(x - width / 2, y - height / 2, width, height)


def _span(centre: float, length: float, end: int) -> slice:
    """So many pixels around a centre, moved into 0..end; at least one."""
    whole = min(max(1, round(length)), end)
    start = min(max(round(centre - length / 2), 0), end - whole)
    return slice(start, start + whole)


def judge(probabilities: npt.NDArray[np.float64], rules: LivenessRules) -> Liveness:
    """What the newest frames say. Fewer than `rules.frames` of them, or one that is no probability, say nothing."""
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
    """What a passage's frames say of its being alive. `verdict` is of the last time it was asked."""

    verdict: Liveness = Liveness.NOT_EVALUATED
    _newest: deque[_Vote] = field(default_factory=deque, repr=False)

    def take(self, picture: Image | None, rules: LivenessRules) -> None:
        """A further good frame: uint8 [80, 80, 3] BGR. None is a frame that shows nothing of it, and the votes begin anew."""
        if picture is None:
            self._newest.clear()
            return
        self._newest.append(_Vote(picture))
        while len(self._newest) > rules.frames:
            self._newest.popleft()

    def ask(self, lives: Lives | None, rules: LivenessRules) -> Liveness:
        """The verdict now. Each frame is shown to the model once. A spoof stays one."""
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
        """Why somebody who would be accepted is not. There is no answer that lets anybody in."""
        verdict = self.ask(lives, rules)
        if verdict is Liveness.LIVE or (verdict is Liveness.NOT_EVALUATED and not rules.require):
            return None
        return Reason.SPOOF_SUSPECTED
