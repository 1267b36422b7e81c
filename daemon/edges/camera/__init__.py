"""Where frames come from: a live camera (RTSP or HTTP URL, V4L2 device), or a recording (video file, folder of pictures)."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from daemon.config import GateConfig, read_secret
from daemon.core import camera_address
from daemon.core.values import Frame
from daemon.edges.camera.live import FROZEN_REOPEN_S, OPEN_S, LiveCamera
from daemon.edges.camera.recording import PICTURES, Recording, pictures
from daemon.edges.camera.source import Camera, CameraError
from daemon.edges.camera.turned import Turned
from daemon.edges.camera.video import video
from daemon.edges.camera.wire import Settings

__all__ = ["Camera", "CameraError", "frames_of", "open_camera"]


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
    if camera_address.is_address(source) or source.startswith("/dev/"):
        camera = LiveCamera(gate, settings(config), clock, wall)
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


def settings(config: GateConfig) -> Settings:
    """How a live source is read. Raises ConfigError for a password that cannot be read."""
    common = Settings(config.source, config.stale_s, OPEN_S, max(2 * config.stale_s, 5.0), FROZEN_REOPEN_S, quiet_s=config.quiet_s)
    if not camera_address.is_address(config.source):
        return replace(common, format="v4l2")
    password = read_secret(config.password_file, "password_file") if config.password_file else None
    return replace(
        common,
        source=camera_address.with_login(config.source, config.username, password),
        options=_options(config.source.partition("://")[0].lower(), config.transport),
        login=camera_address.has_login(config.source, config.username),
    )


PROTOCOLS = {
    "rtsp": "rtsp,rtp,udp,tcp",
    "rtsps": "rtsps,rtsp,rtp,udp,tls,tcp",
    "http": "http,tcp",
    "https": "https,tls,tcp",
    "rtmp": "rtmp,tcp",
    "rtmps": "rtmps,rtmp,tls,tcp",
    "srt": "srt,udp",
    "tcp": "tcp",
    "udp": "udp",
    "rtp": "rtp,udp",
}
"""What a URL of this scheme may lead to, also by a redirect or a list inside the stream: no file, and no weaker protocol."""


def _options(scheme: str, transport: str) -> dict[str, str]:
    """FFmpeg's options for a URL of this scheme."""
    # What is needed to begin is known soon. Not `nobuffer`: it would throw the first key frame away, and the next may be 10 s off.
    options = {"analyzeduration": "1000000", "fpsprobesize": "0", "protocol_whitelist": PROTOCOLS[scheme]}
    if scheme in ("rtsp", "rtsps"):
        options |= {"rtsp_transport": transport, "timeout": str(int(OPEN_S * 1e6))}
    return options
