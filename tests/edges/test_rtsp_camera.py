"""Cameras that speak RTSP, on a real server: what they send, how old it is, and what they refuse."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daemon.config import GateConfig
from daemon.core.values import Frame
from daemon.edges.camera import Camera, open_camera
from tests.fixtures.mjpeg import wait_for
from tests.fixtures.rtsp import RtspCamera, time_in
from tests.fixtures.tcp_proxy import TcpProxy

pytestmark = pytest.mark.rtsp
Cameras = Callable[..., RtspCamera]
NASTY = "p#s?w/o[r]d@:%41 ü"
ENCODER_S = 1.5
"""A picture's age is counted from its time stamp. How long drawing and encoding took on a loaded machine is not in it."""


def opened(camera: RtspCamera, port: int = 0, **options: Any) -> Camera:
    return open_camera("north", GateConfig(source=camera.url.replace(str(camera.port), str(port or camera.port)), **options))


def error_s(frame: Frame) -> float:
    """How much younger than it is a frame is said to be."""
    return frame.at_s - time_in(frame.image)


@pytest.mark.parametrize(
    ("codec", "options"),
    [
        ("h264", {}),
        ("h264", {"b_frames": 2}),
        ("h264", {"deep": True}),
        ("h264", {"gop": 150}),
        ("h265", {"fps": 5}),
        ("mjpeg", {}),
        ("vp8", {}),
    ],
)  # fmt: skip
def test_pictures_come_with_their_age(rtsp_camera: Cameras, codec: str, options: dict[str, object]) -> None:
    camera = opened(rtsp_camera(codec, **{"fps": 10, "size": (544, 304), **options}))
    try:
        frames = wait_for(lambda: camera.state == "up", camera, 60)
        while len(frames) < 20:
            if (frame := camera.read(10.0)) is not None:
                frames.append(frame)
        assert all(frame.image.shape == (304, 544, 3) for frame in frames)
        assert all(-0.1 < error_s(frame) < ENCODER_S for frame in frames)
        times = [(frame.number, frame.at_s) for frame in frames]
        assert times == sorted(set(times)) and frames[-1].at_s > frames[0].at_s + 1
    finally:
        camera.close()


@pytest.mark.parametrize("gop", [5, 100])
def test_what_the_network_held_is_never_handed_out_as_new(rtsp_camera: Cameras, gop: int) -> None:
    source = rtsp_camera("h264", fps=10, gop=gop)
    with TcpProxy(source.port) as proxy:
        camera = opened(source, proxy.port)
        try:
            wait_for(lambda: camera.state == "up", camera, 60)
            for _ in range(2):
                proxy.freeze()
                wait_for(lambda: camera.state == "down", camera)
                time.sleep(1.0)
                proxy.freeze(False)
                frames, until = list[Frame](), time.monotonic() + 4
                while time.monotonic() < until:
                    if (frame := camera.read(0.5)) is not None:
                        assert time.monotonic() - frame.at_s < 2.5
                        frames.append(frame)
                assert frames and all(error_s(frame) < ENCODER_S for frame in frames)
        finally:
            camera.close()


@pytest.mark.parametrize("digest", [False, True])
def test_a_login_with_a_password_of_any_characters(rtsp_camera: Cameras, tmp_path: Path, digest: bool) -> None:
    source = rtsp_camera("h264", login=("guard", NASTY), digest=digest)
    (tmp_path / "right").write_text(NASTY + "\n", "utf-8")
    (tmp_path / "wrong").write_text("wrong\n")
    tries: list[tuple[dict[str, Any], str]] = [
        ({"username": "guard", "password_file": str(tmp_path / "wrong")}, "refuses user name and password"),
        ({}, "asks for user name and password"),
    ]
    for options, says in tries:
        camera = opened(source, **options)
        wait_for(lambda: says in (camera.detail or ""), camera)  # noqa: B023
        assert "next try in 1 min, at " in (camera.detail or "") and camera.trouble == "down"
        camera.close()
    with_place = source.url.replace("//", "//guard:{password}@")
    for config in (
        GateConfig(source=source.url, username="guard", password_file=str(tmp_path / "right")),
        GateConfig(source=with_place, password_file=str(tmp_path / "right")),
    ):
        camera = open_camera("north", config)
        wait_for(lambda: camera.state == "up", camera)  # noqa: B023
        camera.close()


def test_the_cause_has_a_name(rtsp_camera: Cameras) -> None:
    source, sound = rtsp_camera("h264"), rtsp_camera("sound")
    for url, says in (
        (source.url + "s", "does not know the path"),
        (source.url.replace("rtsp:", "http:"), "speaks RTSP"),
        (source.url.replace("rtsp:", "rtsps:"), "encryption cannot be agreed on"),
        (sound.url, "has no video"),
    ):
        camera = open_camera("north", GateConfig(source=url))
        wait_for(lambda: "next try" in (camera.detail or ""), camera)  # noqa: B023
        assert says in (camera.detail or ""), camera.detail
        camera.close()


def test_a_camera_changes_its_size_and_its_codec(rtsp_camera: Cameras) -> None:
    source = rtsp_camera("h264", fps=10, gop=10)
    camera = opened(source)
    try:
        wait_for(lambda: camera.state == "up", camera)
        source.size = (544, 304)
        wait_for(lambda: (frame := camera.read(1.0)) is not None and frame.image.shape == (304, 544, 3), camera)
        source.change(codec="mjpeg")
        wait_for(lambda: "next try" in (camera.detail or ""), camera)
        frames = wait_for(lambda: camera.state == "up", camera)
        assert all(error_s(frame) < ENCODER_S for frame in frames)
    finally:
        camera.close()


def test_a_camera_that_was_switched_off_comes_back(rtsp_camera: Cameras) -> None:
    source = rtsp_camera("h264", fps=10)
    camera = opened(source)
    try:
        wait_for(lambda: camera.state == "up", camera)
        source.stop()
        wait_for(lambda: camera.trouble == "down" and "nothing listens" in (camera.detail or ""), camera)
        source.start()
        wait_for(lambda: camera.state == "up" and camera.trouble is None, camera)
    finally:
        camera.close()


def test_udp_carries_pictures_too(rtsp_camera: Cameras) -> None:
    camera = opened(rtsp_camera("h264", fps=10), transport="udp")
    wait_for(lambda: camera.state == "up", camera)
    assert camera.read(10.0) is not None
    camera.close()
