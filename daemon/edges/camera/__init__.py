"""Where frames come from: a live camera (RTSP or HTTP URL, V4L2 device), or a recording (video file, folder of pictures)."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

from daemon.config import GateConfig, read_secret
from daemon.core.values import Frame
from daemon.edges.camera.live import LiveCamera, open_device, open_url
from daemon.edges.camera.recording import PICTURES, Recording, pictures
from daemon.edges.camera.source import Camera, CameraError
from daemon.edges.camera.turned import Turned
from daemon.edges.camera.video import video

__all__ = ["Camera", "CameraError", "frames_of", "open_camera", "redacted"]


def open_camera(
    gate: str,
    config: GateConfig,
    clock: Callable[[], float] = time.monotonic,
    wall: Callable[[], float] = time.time,
    *,
    start_s: float = 0.0,
    start_wall: float = 0.0,
    paced: bool = False,
) -> Camera:
    """The source of `gate`. Raises CameraError for a recording that cannot be read, ConfigError for a password that cannot be read.

    A live source that is missing is not an error: it is tried again and again, and reported by `state` and `detail`.

    A recording gives every frame in order, as fast as they are read or, if `paced`, not before `clock` reaches the frame's time. Times
    begin at `start_s` and `start_wall`. Those of a video are its own; picture n of a folder comes n / fps later. A folder with a table of
    times (`ostiaryd record --plain`) takes frame numbers and distances from its table, and where it is not paced the UTC times too.
    """
    camera = _open(gate, config, clock, wall, start_s, start_wall, paced)
    return Turned(camera, config.rotate // 90) if config.rotate else camera


def _open(
    gate: str, config: GateConfig, clock: Callable[[], float], wall: Callable[[], float], start_s: float, start_wall: float, paced: bool
) -> Camera:
    source = config.source
    if "://" in source and urlsplit(source).scheme != "file":
        url = _with_password(source, config)
        camera = LiveCamera(gate, redacted(source), lambda: open_url(url, config.stale_s), config.stale_s, clock, wall)
        camera.start()
        return camera
    if source.startswith("/dev/"):
        camera = LiveCamera(gate, source, lambda: open_device(source), config.stale_s, clock, wall)
        camera.start()
        return camera
    path = Path(source.removeprefix("file://"))
    if path.is_dir() or path.suffix.lower() in PICTURES:
        shots, stamps = pictures(path, config.fps), None
    else:
        shots, stamps = video(path, config.fps)
    return Recording(gate, path.name, shots, start_s, start_wall, clock if paced else None, stamps)


def frames_of(recording: Camera) -> Iterator[Frame]:
    """Every frame of a recording, up to its end."""
    while (frame := recording.read(1.0)) is not None or recording.state != "ended":
        if frame is not None:
            yield frame


def redacted(url: str) -> str:
    """A URL without the parts that may be secret: user, password and query."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{'***@' if '@' in parts.netloc else ''}{host}{parts.path}{'?***' if parts.query else ''}"


def _with_password(url: str, config: GateConfig) -> str:
    if not config.password_file:
        return url
    return url.replace("{password}", quote(read_secret(config.password_file, "password_file"), safe=""))
