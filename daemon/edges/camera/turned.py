"""A camera that hangs on its side or upside down: its frames, turned upright."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from daemon.core.values import CameraTrouble, Frame
from daemon.edges.camera.source import Camera, State


@dataclass(frozen=True, slots=True)
class Turned:
    """The frames of `camera`, turned clockwise by this many quarters."""

    camera: Camera
    quarters: int

    @property
    def live(self) -> bool:
        return self.camera.live

    @property
    def state(self) -> State:
        return self.camera.state

    @property
    def trouble(self) -> CameraTrouble | None:
        return self.camera.trouble

    @property
    def detail(self) -> str | None:
        return self.camera.detail

    @property
    def dropped(self) -> Mapping[str, int]:
        return self.camera.dropped

    def read(self, timeout_s: float) -> Frame | None:
        frame = self.camera.read(timeout_s)
        return frame and replace(frame, image=np.ascontiguousarray(np.rot90(frame.image, -self.quarters)))

    def close(self) -> None:
        self.camera.close()
