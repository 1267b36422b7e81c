"""Whether a face needs a vector in this frame, or still shows what the last embedded frame showed.

A vector costs more than all else about a frame. Once a passage has its answer, a further vector only serves to notice a change: the next
look, the person's absence, another face on the track. So a face that surely is the one embedded a moment ago is not embedded again before
REFRESH_S are over: the gate then is one with a camera of five frames a second, and the thresholds of a card are measured at four.

Surely means by its place (`Tracker.sure`) and by its picture. The picture is compared with that of the last *embedded* frame, so a slow
change of one face into another does not creep by. At 16×16 grey pixels, of 800,000 pairs of crops of different val people and 570,000 of
different people before one camera none is more alike than 0.937, and of 140 million pairs of different fit people one in a million is more
alike than ALIKE. Of one person's crops on the gate clips, 98 % are in neighbouring frames (30 a second), and three of four 0.2 s apart.
"""

from dataclasses import dataclass
from math import sqrt

import cv2
import numpy as np
import numpy.typing as npt

from daemon.core.values import Image

REFRESH_S = 0.18
"""A fifth of a second, less what a camera's clock jitters."""
ALIKE = 0.95
"""The least correlation of two crops that still show the same."""
SIDE_PX = 16

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """What the last embedded frame of a face showed, and when (the clock of the frames). `picture` is float32 [SIDE_PX²], see `picture`.
    `settled`: it showed the same as the embedded frame before it. While it does not, something is under way, as when one face fades into
    another, and the next frame may not go without a vector."""

    at_s: float
    picture: Floats
    settled: bool = True

    def still(self, crop: Image, at_s: float) -> bool:
        """Whether a crop of that time shows the same. Written so that NaN, a picture without contrast and a clock that stepped do not."""
        return self.settled and 0 <= at_s - self.at_s < REFRESH_S and _alike(self.picture, picture(crop))


def shown_by(crop: Image, at_s: float, before: Shown | None) -> Shown:
    """What an embedded frame shows; `before` is what the last one showed."""
    seen = picture(crop)
    return Shown(at_s, seen, before is not None and _alike(before.picture, seen))


def _alike(a: Floats, b: Floats) -> bool:
    return bool(float(a @ b) >= ALIKE)


def picture(crop: Image) -> Floats:
    """A crop, uint8 [H, W, 3] RGB, as a small grey picture of mean 0 and length 1, float32 [SIDE_PX²]: the product of two is their
    correlation. Zero for a crop without contrast."""
    grey = cv2.resize(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA)
    small = grey.ravel().astype(np.float32)
    small -= small.sum() / small.size
    length = sqrt(float(small @ small))
    return np.asarray(small / length if length > 0 else small, np.float32)
