"""The inside of the sandbox: a process that turns foreign JPEG files into crops, and can do nothing else (`edges/sandbox.py` starts it)."""

import os
import signal
from contextlib import suppress

import cv2
import numpy as np

from daemon.core.faces.quality import Judge
from daemon.core.people import photo_wire as wire
from daemon.core.people.enrol import EnrolError, bad_photo
from daemon.edges.confinement import confine, limit_time
from daemon.edges.detector import open_detector
from daemon.edges.visibility import open_visibility
from daemon.pipeline.photos import enrolment_crop
from daemon.pipeline.steps import Detector

PHOTO_CPU_S = 10
"""The largest photo that is allowed takes 1 s to decode and 5 s in all if it has to be turned, on a machine of 2020."""
MEMORY_BYTES = 768 << 20
"""The largest photo that is allowed needs 440 MB: its coefficients, its pixels, and once more its pixels when it is turned."""
NICE = 5
"""From when it is ready, the gates' frames come first."""
LINE = 0
"""The only open file that matters: a socket to the daemon."""


def main() -> None:
    """Take settings and then photos from the daemon, until it closes the line."""
    # A whole service is told to stop, and a terminal to interrupt. The daemon decides when this process ends, by closing the line.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    settings = wire.read_settings(_taken() or b"")
    detector, judge = open_detector(settings.detector, settings.min_face_px), Judge(settings.limits, open_visibility())
    _warm_up(detector, judge)
    # libjpeg says much about damaged files, and this process has nothing to say once it holds a foreign one.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    os.closerange(3, 1 << 10)
    with suppress(OSError):  # where a service may not, it works at full priority
        os.nice(NICE)
    _give(wire.READY if confine(MEMORY_BYTES) else wire.UNFILTERED)
    while (jpeg := _taken()) is not None:
        limit_time(PHOTO_CPU_S)
        _give(_answer(jpeg, detector, judge))


def _answer(jpeg: bytes, detector: Detector, judge: Judge) -> bytes:
    try:
        return bytes([wire.GOOD]) + enrolment_crop(jpeg, 1, detector, judge).tobytes()
    except EnrolError as error:
        return bytes([wire.refusal(error)])
    except (MemoryError, cv2.error):
        return bytes([wire.refusal(bad_photo("bad_image", 1))])
    except Exception:  # noqa: BLE001  a model has failed; the daemon says so, and starts another process
        return bytes([wire.FAILED])


def _warm_up(detector: Detector, judge: Judge) -> None:
    """Let every library load what it loads late, because no file can be opened afterwards."""
    picture = np.random.default_rng(1).integers(0, 255, (480, 640, 3), np.uint8)
    _answer(cv2.imencode(".jpg", picture)[1].tobytes(), detector, judge)
    _answer(b"\xff\xd8\xff", detector, judge)


def _taken() -> bytes | None:
    """What the daemon sends next, None when it has closed the line."""
    head = _read(wire.LENGTH.size)
    return _read(wire.LENGTH.unpack(head)[0]) if head is not None else None


def _read(count: int) -> bytes | None:
    parts = []
    while count > 0:
        part = os.read(LINE, min(count, 1 << 20))
        if not part:
            return None
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def _give(data: bytes) -> None:
    while data:
        data = data[os.write(LINE, data) :]
