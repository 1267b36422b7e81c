"""A camera that fails, at a serving daemon with a real broker and a real RTSP server: the status, the metric and the log say the same, the
gate serves again by itself, and nobody is accepted."""

import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.gate_clips import heard
from tests.fixtures.mosquitto import free_port
from tests.fixtures.rtsp import RtspCamera
from tests.fixtures.running import configure, daemon_running

pytestmark = [pytest.mark.broker, pytest.mark.rtsp]
PATIENCE_S = 60.0
"""Long, for a busy machine; how long it takes is no matter here."""


class Gate:
    """What a serving gate says."""

    def __init__(self, messages: list[tuple[str, dict[str, Any]]], metrics: int, log: Path) -> None:
        self.messages, self.metrics, self.log = messages, metrics, log

    def status(self) -> dict[str, Any]:
        return next((message for topic, message in reversed(self.messages) if topic.endswith("/status")), {})

    def metric(self, name: str) -> float:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))

    def until(self, holds: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not holds():
            assert time.monotonic() < deadline, (what, self.status(), self.log.read_text()[-2000:])
            time.sleep(0.2)

    def until_it_looks(self, what: str) -> None:
        """Until the camera is up for everybody, and further frames were looked at."""
        self.until(lambda: self.status().get("camera") == "up" and self.metric("ostiary_camera_up{") == 1, what)
        before = self.metric("ostiary_frames_total{")
        self.until(lambda: self.metric("ostiary_frames_total{") > before + 5, what)

    def until_it_is_down(self, what: str) -> str:
        """Until the camera is down for everybody; the reason that the status gives."""
        self.until(lambda: self.status().get("camera") == "down" and self.metric("ostiary_camera_up{") == 0, what)
        reasons = [reason for reason in self.status()["reasons"] if reason.startswith("camera")]
        assert len(reasons) == 1 and self.status()["state"] != "serving", self.status()
        return str(reasons[0])


def test_what_fails_at_a_camera_is_said_and_passes(
    tmp_path: Path, mosquitto_installed: None, broker: int, rtsp_camera: Callable[..., RtspCamera]
) -> None:
    camera, metrics = rtsp_camera(), free_port()
    config = configure(tmp_path, broker, Path("unused"), metrics)
    config.write_text(config.read_text().replace('"unused"', f'"{camera.url}"'))
    with heard(broker) as messages, daemon_running(config):
        gate = Gate(messages, metrics, config.with_name("daemon.log"))
        gate.until_it_looks("begin")

        camera.silent = True
        assert "camera" in gate.until_it_is_down("silent")
        assert "camera" in gate.log.read_text()
        camera.silent = False
        gate.until_it_looks("after silence")

        camera.stop()
        gate.until_it_is_down("gone")
        gate.until(lambda: "nothing listens at the port" in str(gate.status()["reasons"]), "gone")
        camera.start()
        gate.until_it_looks("back again")

        camera.size = (320, 240)
        gate.until_it_looks("smaller pictures")
        camera.size = (1280, 720)
        gate.until_it_looks("larger pictures")
        camera.change(codec="mjpeg")
        gate.until_it_looks("another codec")
        camera.change(codec="h264")
        gate.until_it_looks("the first codec again")
    assert not [message for topic, message in messages if topic.endswith("/decision")], "nobody was there"
