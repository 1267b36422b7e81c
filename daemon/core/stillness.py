"""Whether a camera's pictures change: a picture that does not is no evidence that somebody is there now."""

import zlib
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

FROZEN_S = 10.0
"""A camera that shows nothing new for so long is frozen. Longer than for `down`: a still scene at night may come as equal pictures."""

Look = Literal["new", "still", "frozen"]


@dataclass(slots=True)
class Stillness:
    """Fed with the pictures of one connection to a camera, in order."""

    frozen_s: float = FROZEN_S
    _print: int | None = None
    _changed_s: float = 0.0

    def observe(self, grey: npt.NDArray[np.uint8], at_s: float) -> Look:
        """What the grey picture uint8 [H, W], taken at `at_s` (seconds of a clock that never steps), is: `new` if something has changed,
        `still` if nothing has, `frozen` if nothing has for so long that the camera cannot be right."""
        fingerprint = zlib.crc32(np.ascontiguousarray(grey[::4]).data)
        if fingerprint != self._print:
            self._print, self._changed_s = fingerprint, at_s
            return "new"
        return "frozen" if at_s - self._changed_s > self.frozen_s else "still"

    def still_for(self, at_s: float) -> float:
        """For how many seconds nothing has changed."""
        return at_s - self._changed_s
