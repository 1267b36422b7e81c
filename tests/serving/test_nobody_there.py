"""Sources in which nobody stands before the camera, read by a whole daemon at which somebody is enrolled: nobody is let in."""

import time
from collections.abc import Iterable
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from daemon.core.values import Image
from tests.fixtures import rtsp
from tests.fixtures.hostile import Hostile, http
from tests.fixtures.rtsp import RtspCamera, resized
from tests.fixtures.running import configure, ctl, daemon_running, result
from tests.fixtures.watching import Watcher

LOOKED_S = 15.0

pytestmark = [pytest.mark.broker, pytest.mark.data]


def played(path: Path) -> Iterable[bytes]:
    """The interlaced film at its own pace, again and again with stamps that go on."""
    yield http("video/MP2T")
    data, began_s, sent = path.read_bytes(), time.monotonic(), 0
    with av.open(str(path)) as film:
        assert film.duration is not None
        a_second = len(data) / (film.duration / 1e6)
    while True:
        until = int((time.monotonic() - began_s) * a_second)
        place = sent % len(data)
        piece = data[place : place + max(0, until - sent)]
        sent += len(piece)
        yield piece
        time.sleep(0.02)


def accepted(folder: Path, broker: int, source: str, photo: Path) -> tuple[int, str]:
    """How often somebody is let in, and what the status says at the end."""
    config = configure(folder, broker, source)  # type: ignore[arg-type]
    config.write_text(config.read_text().replace('site = "test"', 'site = "hq"'))
    with Watcher(broker) as watcher, daemon_running(config) as process:
        assert result(ctl(config, "enroll", "E1", "--image", photo))["status"] == "done"
        time.sleep(LOOKED_S)
        assert process.poll() is None
        status = watcher.of("status")[-1].body
        return sum(one.body["decision"] == "accept" for one in watcher.of("decision")), str(status["reasons"])


def test_an_interlaced_film_of_nobody_lets_nobody_in(tmp_path: Path, broker: int, cases_dir: Path) -> None:
    with Hostile(lambda _: played(cases_dir / "video/nobody-interlaced.ts")) as server:
        accepts, _ = accepted(tmp_path, broker, f"http://127.0.0.1:{server.port}/film.ts", cases_dir / "video/photo-640x480.jpg")
        assert server.requests
    assert accepts == 0


@pytest.mark.skipif(rtsp.missing() is not None, reason=str(rtsp.missing()))
def test_a_camera_that_is_frozen_from_the_start_lets_nobody_in(tmp_path: Path, broker: int, cases_dir: Path) -> None:
    path = cases_dir / "video/photo-640x480.jpg"
    photo = np.asarray(cv2.imread(str(path)), np.uint8)

    def scene(_: float, size: tuple[int, int]) -> Image:
        return resized(photo, size)

    with RtspCamera(scene=scene) as camera:
        camera.frozen = True
        accepts, reasons = accepted(tmp_path, broker, camera.url, path)
    assert accepts == 0 and "camera" in reasons, reasons
