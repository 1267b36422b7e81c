"""Whether a camera's pictures change: a picture that does not is no evidence that somebody is there now.

Bytes say little about that. An encoder makes other bytes of the same picture, and may make the same bytes of a quiet scene. So:

- Pictures are compared as 30 rows of cells, each the mean of 64 pixels. What an encoder does to a picture hardly changes such a mean.
- *Life* is a change of many grey levels, against the last picture that showed life, in cells that stand at least four rows high. People
  are that high; a line of text with the time of day is not, so that a clock drawn into a frozen picture is no life.
- A connection shows nothing `new` before life, nor when the last life is longer ago than `alive_s`. Doubt never opens the gate.
- Without life it is told apart whether the scene is quiet or the source frozen. A sensor's noise makes the ends of two groups of pictures
  (key frame to key frame) as different as an end and the key frame after it. A frozen source has no noise: its encoder repeats itself, or
  comes nearer to the picture up to each key frame and starts again there.
- Where noise is too weak to tell (denoised by the camera, lost at a low bitrate), `quiet_s` without life is an alarm, and no more: the
  source may be well.

A recording in a loop cannot be noticed here, nor a picture that something else than its encoder changes, such as lost packets.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

ALIVE_S = 2.0
"""A picture so long after the last life may be of the past: as long as any picture may be old (`stale_s`)."""
FROZEN_S = 10.0
"""Nobody is told sooner that a source is frozen."""
QUIET_S = 300.0
"""A source that has shown no life for so long is called frozen where its noise cannot say that it is not."""

ROWS = 30
SIDE = 8
"""A cell is the mean of 8 x 8 pixels, at every resolution: enough against a sensor's noise, and a tenth of a millisecond."""
TALL = 4
"""Rows of cells that a change must reach over. A line of text, with up to 1/15 of the picture's height, touches three at most."""
LEAST = 6.0
"""Grey levels of 255 that are life. Frozen sources reach 4.7 at 128 kbit/s and 640x480, and mostly 1; who sways at a gate 8 to 20."""
MEDIANS = 10.0
"""Or so many times the median change of all cells, where that is more: a starving encoder changes the whole picture (frozen: up to 8)."""
MOST = 30.0
"""Never more than this, so that a lamp that is switched on is life."""

GROUP_S = 1.0
"""Key frames that follow sooner are of the same group: MJPEG has nothing else."""
GROUPS = (4, 8)
"""From so many groups, and from so many of the last, it is judged whether nothing but an encoder is at work."""
REPEATS, IN_A_ROW = 0.005, 3
"""Grey levels between the ends of so many groups of a source that repeats itself. Cleanly denoised live scenes have 0.015 and more."""
NEARER = 0.7
"""The ends of groups are that much nearer to each other than to the key frames between them: frozen (0.3 to 0.7; live 0.75 to 1.5)."""
NOISE = 0.07
"""So much change between the ends of groups is noise for sure, if they are not nearer. Below it may also be an encoder at work."""

Look = Literal["new", "still", "frozen"]
Cells = npt.NDArray[np.float32]

_ASIDE, _UP = np.ones((1, 3), np.uint8), np.ones((TALL, 1), np.uint8)


@dataclass(slots=True)
class Stillness:
    """Fed with the pictures of one connection to a camera, in order. Pictures that the decoder calls damaged must not come here."""

    alive_s: float = ALIVE_S
    frozen_s: float = FROZEN_S
    quiet_s: float = QUIET_S
    """0: stillness alone is never an alarm."""
    _shape: tuple[int, ...] = ()
    _lively: Cells | None = None
    """The picture that showed life last, or the first one."""
    _last: Cells | None = None
    _began_s: float = 0.0
    _life_s: float | None = None
    _group_s: float = 0.0
    _end: Cells | None = None
    """The last picture before the last key frame."""
    _groups: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=GROUPS[1]))
    """How far the end of each group is from the end before, and from the key frame after it."""
    _why: str | None = None
    _by_quiet: bool = False

    def observe(self, grey: npt.NDArray[np.uint8], at_s: float, key: bool = True) -> Look:
        """What the grey picture uint8 [H, W] is, which was taken at `at_s` (seconds of a clock that never steps): `new` if the source has
        shown life within `alive_s`, `still` if it has not, `frozen` if it cannot be right. That stays so until there is life again.
        `key`: whether it is decoded without the pictures before it, as all of MJPEG are."""
        cells = _cells(grey)
        if self._lively is None or self._last is None or grey.shape != self._shape:
            self._shape, self._lively, self._began_s, self._life_s = grey.shape, cells, at_s, None
            self._rest(at_s)
        elif _alive(np.abs(cells - self._lively)):
            self._lively, self._life_s = cells, at_s
            self._rest(at_s)
        elif key and at_s - self._group_s >= GROUP_S:
            if self._end is not None:
                self._groups.append((_change(self._last - self._end), _change(cells - self._last)))
            self._end, self._group_s = self._last, at_s
        self._last = cells
        if self._life_s is not None and at_s - self._life_s <= self.alive_s:
            return "new"
        if self._why is None:
            self._why = self._judged(still_s := self.still_for(at_s))
            self._by_quiet = self._why is None and 0 < self.quiet_s < still_s and not self._is_noisy()
            if self._by_quiet:
                self._why = f"nothing has moved for {still_s:.0f} s"
        return "frozen" if self._why else "still"

    def still_for(self, at_s: float) -> float:
        """For how many seconds the source has shown no life."""
        return at_s - (self._began_s if self._life_s is None else self._life_s)

    @property
    def why(self) -> str | None:
        """Why the source is called frozen; None if it is not."""
        return self._why

    @property
    def by_quiet(self) -> bool:
        """Whether that is only because nothing has moved for long."""
        return self._by_quiet

    def _rest(self, at_s: float) -> None:
        """A still time may begin now."""
        self._groups.clear()
        self._end, self._group_s, self._why, self._by_quiet = None, at_s, None, False

    def _judged(self, still_s: float) -> str | None:
        if still_s <= self.frozen_s:
            return None
        last = list(self._groups)[-IN_A_ROW:]
        if len(last) == IN_A_ROW and max(end for end, _ in last) < REPEATS:
            return "the picture repeats itself"
        if len(self._groups) >= GROUPS[0]:
            ends, jumps = np.mean(self._groups, axis=0)
            if ends < NEARER * jumps:
                return "nothing but its encoding changes the picture"
        return None

    def _is_noisy(self) -> bool:
        """Whether the change between groups is a sensor's noise for sure."""
        return len(self._groups) >= GROUPS[0] and float(np.mean([end for end, _ in self._groups])) >= NOISE


def _cells(grey: npt.NDArray[np.uint8]) -> Cells:
    """Mean grey of each cell, of pixels that stand evenly over it."""
    columns = max(1, round(ROWS * grey.shape[1] / grey.shape[0]))
    pixels = cv2.resize(grey, (SIDE * columns, SIDE * ROWS), interpolation=cv2.INTER_NEAREST).astype(np.float32)
    return np.asarray(cv2.resize(pixels, (columns, ROWS), interpolation=cv2.INTER_AREA), np.float32)


def _alive(change: Cells) -> bool:
    """Whether cells one above the other, or slantwise, have changed by much, and not only as the whole picture has."""
    height = float(cv2.erode(cv2.dilate(change, _ASIDE), _UP, borderType=cv2.BORDER_CONSTANT, borderValue=0).max())
    return height > LEAST and height > min(MEDIANS * float(np.median(change)), MOST)


def _change(difference: Cells) -> float:
    """How much a row of cells changes at the median: a clock is in few rows. What moves a little counts no more than 2 grey levels."""
    return float(np.median(np.minimum(np.abs(difference), 2).mean(axis=1)))
