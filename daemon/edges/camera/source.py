"""What every source of frames has in common, and the error for a source that cannot be used."""

from collections.abc import Mapping
from typing import Literal, Protocol

from daemon.core.faults import Fault
from daemon.core.values import CameraTrouble, Frame

SOURCES = "give a URL, a device (/dev/video0), a video file or a folder of pictures"

OPENING = "it is being opened", "its stream is open, and no whole picture has come yet"
"""What `detail` says of a source that may be well in a moment."""

State = Literal["up", "down", "ended"]


class CameraError(Fault):
    """The source cannot be used. `hint` says what to do about it."""


class Camera(Protocol):
    """One source of frames. One thread reads; any thread may close."""

    @property
    def live(self) -> bool:
        """Whether the frames show the present: then only the newest counts, and a source that is lost may come back."""
        ...

    @property
    def state(self) -> State:
        """`up`, `down` (nothing new within stale_s; see `detail`), or `ended` (the recording is over, or the camera closed)."""
        ...

    @property
    def trouble(self) -> CameraTrouble | None:
        """What kind of trouble a live source has, None while it has none. A source that is `behind` may be up."""
        ...

    @property
    def detail(self) -> str | None:
        """What the trouble is, in one line without credentials; None while there is none."""
        ...

    @property
    def dropped(self) -> Mapping[str, int]:
        """Frames that were dropped, by reason: overrun (a newer one came), stale (too old), frozen (the same bytes again), corrupt."""
        ...

    def read(self, timeout_s: float) -> Frame | None:
        """The next frame, or None when there is nothing new within `timeout_s`."""
        ...

    def close(self) -> None:
        """Close the source within 2 s, even when the video library hangs."""
        ...
