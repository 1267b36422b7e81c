"""One walk past a camera, looked at as a gate looks at somebody whom it does not know: what a calibration is made of."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from daemon.core.passages.gatekeeper import Gatekeeper
from daemon.core.passages.match import NOBODY
from daemon.core.passages.rules import Rules
from daemon.core.values import Quality, Vector, View

NOBODY_NEAR = 2.0
"""A threshold that no similarity reaches, so that a passage gets every look that a stranger's would get."""
CROWDED = 0.5
"""From this share of the longest passage's looks on, a second face makes it unclear whose walk it was."""


class Take:
    """Collects the fused vectors of every passage, by the gate's own rules. It reads no clock: the views carry the time."""

    def __init__(self, rules: Rules, lost_s: float) -> None:
        self._keeper = Gatekeeper("site", replace(rules, threshold=NOBODY_NEAR), lost_s)
        self._found: dict[int, list[npt.NDArray[np.float32]]] = {}
        self._last_face_s: float | None = None
        self._lost_s = lost_s
        self.faces = 0
        """How many faces the last view showed."""
        self.good = 0
        """How many good frames of a face there were."""

    def observe(self, view: View, vectors: Sequence[Vector | None]) -> None:
        """Take one view with its vectors, in order."""
        self.faces = len(view.probes)
        self.good += any(probe.quality is Quality.OK for probe in view.probes)
        if view.probes:
            self._last_face_s = view.at_s
        self._keeper.observe(view, vectors, lambda searched: [NOBODY] * len(searched), lambda person, now: None)
        for number, passage in self._keeper.passages.items():
            if passage.looked_s == view.at_s:
                self._found.setdefault(number, []).append(passage.evidence.fused)

    def left(self, now_s: float) -> bool:
        """Whether somebody was looked at and has left by `now_s`, on the clock of the views."""
        return bool(self._found) and self._last_face_s is not None and now_s - self._last_face_s > self._lost_s

    @property
    def looks(self) -> npt.NDArray[np.float32]:
        """The fused vectors, float32 [looks, D], of the face that was looked at longest: what a gate would have searched for."""
        return np.array(max(self._found.values(), key=len, default=[]), np.float32)

    @property
    def crowded(self) -> bool:
        """Whether a second face was looked at nearly as long."""
        lengths = sorted(map(len, self._found.values()), reverse=True)
        return len(lengths) > 1 and lengths[1] >= CROWDED * lengths[0]
