"""What a camera sends of quiet, lively and frozen scenes, through the codecs of network cameras."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from math import pi, sin
from typing import NamedTuple

import av
import cv2
import numpy as np

from bench.scenes import office
from daemon.demo.frames import corridor, portrait

Grey = np.ndarray
"""uint8 [H, W], luma."""


@dataclass(frozen=True, slots=True)
class Light:
    """How a sensor sees a scene: `level` times as bright, with noise of the standard deviation sqrt(read² + shot · grey level); `denoise` is
    the share of the new picture that the camera's temporal filter lets through where nothing moves (1: no filter)."""

    name: str
    level: float
    read: float
    shot: float
    denoise: float = 1.0


LIGHTS = (
    Light("day", 1.0, 0.6, 0.004),
    Light("dusk", 0.7, 1.5, 0.04),
    Light("night", 0.4, 4.0, 0.25),
    Light("night, denoised", 0.4, 4.0, 0.25, 0.1),
)


@dataclass(frozen=True, slots=True)
class Codec:
    """An encoder of PyAV: its options, and the seconds between key frames."""

    name: str
    encoder: str
    gop_s: float
    options: tuple[tuple[str, str], ...] = ()
    kbit_s: int = 0
    """0: constant quality, by the options."""


_LOW = (("preset", "veryfast"), ("tune", "zerolatency"))
CODECS = (
    Codec("H.264, crf 23, 1 s", "libx264", 1, (*_LOW, ("crf", "23"))),
    Codec("H.264, crf 30, 10 s", "libx264", 10, (*_LOW, ("crf", "30"))),
    Codec("H.264, 1 Mbit, 2 s", "libx264", 2, (*_LOW, ("maxrate", "1000000"), ("bufsize", "1000000")), 1000),
    Codec("H.264, 128 kbit, 2 s", "libx264", 2, (*_LOW, ("maxrate", "128000"), ("bufsize", "128000")), 128),
    Codec("H.264, B frames, open GOP, 4 s", "libx264", 4, (("preset", "veryfast"), ("x264-params", "open-gop=1:bframes=3")), 600),
    Codec("H.265, crf 28, 2 s", "libx265", 2, (("preset", "ultrafast"), ("tune", "zerolatency"), ("x265-params", "crf=28:log-level=none"))),
    Codec(
        "H.265, 300 kbit, 5 s",
        "libx265",
        5,
        (("preset", "ultrafast"), ("tune", "zerolatency"), ("x265-params", "log-level=none:vbv-maxrate=300:vbv-bufsize=300")),
        300,
    ),
    Codec("MJPEG, fine", "mjpeg", 0, (("qmin", "3"), ("qmax", "3"))),
    Codec("MJPEG, coarse", "mjpeg", 0, (("qmin", "15"), ("qmax", "15"))),
)


class Shown(NamedTuple):
    """A decoded picture."""

    grey: Grey
    key: bool


def coded(pictures: Iterable[Grey], codec: Codec, fps: int) -> Iterator[Shown]:
    """The pictures as they come out of a decoder."""
    encoder = decoder = None
    packets: list[av.Packet]
    for number, grey in enumerate(pictures):
        height, width = grey.shape
        if encoder is None:
            encoder = av.CodecContext.create(codec.encoder, "w")
            encoder.width, encoder.height = width, height
            encoder.pix_fmt = "yuvj420p" if codec.encoder == "mjpeg" else "yuv420p"
            encoder.framerate, encoder.time_base = Fraction(fps), Fraction(1, fps)
            if codec.gop_s:
                encoder.gop_size = round(codec.gop_s * fps)
            if codec.kbit_s:
                encoder.bit_rate = codec.kbit_s * 1000
            encoder.thread_count = 1
            encoder.options = dict(codec.options)
            decoder = av.CodecContext.create({"libx264": "h264", "libx265": "hevc"}.get(codec.encoder, codec.encoder), "r")
            decoder.thread_count = 1
        planes = np.full((height * 3 // 2, width), 128, np.uint8)
        planes[:height] = grey
        frame = av.VideoFrame.from_ndarray(planes, "yuv420p" if codec.encoder != "mjpeg" else "yuvj420p")
        frame.pts, frame.time_base = number, Fraction(1, fps)
        for packet in encoder.encode(frame):
            for shown in decoder.decode(packet):
                yield Shown(_luma(shown), bool(shown.key_frame))
    assert encoder is not None and decoder is not None
    for packet in encoder.encode(None):
        for shown in decoder.decode(packet):
            yield Shown(_luma(shown), bool(shown.key_frame))
    for shown in decoder.decode(None):
        yield Shown(_luma(shown), bool(shown.key_frame))


def _luma(frame: av.VideoFrame) -> Grey:
    plane = frame.planes[0]
    return np.frombuffer(plane, np.uint8).reshape(frame.height, plane.line_size)[:, : frame.width].copy()


@cache
def backdrop(name: str, width: int, height: int) -> np.ndarray:
    """An empty scene, float32 [H, W]: the demo's `corridor`, or the `office` of the data folder."""
    image = corridor() if name == "corridor" else office(width, height).astype(np.float32)
    return cv2.cvtColor(cv2.resize(np.clip(image, 0, 255), (width, height), interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2GRAY)


def with_person(scene: np.ndarray, who: str, face_px: float, x: float, y: float, tilt: float = 0.0) -> np.ndarray:
    """Somebody in a scene: the eyes' middle at (x, y), the face `face_px` wide."""
    one = portrait(who)
    (ax, ay), (bx, by) = one.eyes
    scale = face_px / (2.4 * (bx - ax))
    matrix = cv2.getRotationMatrix2D(((ax + bx) / 2, (ay + by) / 2), tilt, scale)
    matrix[:, 2] += [x - (ax + bx) / 2, y - (ay + by) / 2]
    size = scene.shape[1], scene.shape[0]
    small = cv2.GaussianBlur(one.picture, (0, 0), max(0.01, 0.4 / scale)) if scale < 0.7 else one.picture
    grey = cv2.warpAffine(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), matrix, size, flags=cv2.INTER_LINEAR)
    alpha = cv2.warpAffine(one.alpha, matrix, size, flags=cv2.INTER_LINEAR)
    return scene * (1 - alpha) + grey


def play(kind: str, scene: str, width: int, height: int, fps: int, seed: int) -> Iterator[np.ndarray]:
    """What happens in front of the camera, float32 [H, W], without end: `empty`; `stands`: somebody at the gate who sways and breathes;
    `far`: the same, with a face of 40 of 480 lines; `walks`: somebody who comes up and stays."""
    random = np.random.default_rng(seed)
    who = ("collins", "hopper")[seed % 2]
    back = backdrop(scene, width, height)
    phases = random.uniform(0, 2 * pi, 6)
    k = height / 480
    number = 0
    face = 40 if kind == "far" else random.uniform(80, 120)
    x0 = random.uniform(0.35, 0.65) * width
    while True:
        t = number / fps
        number += 1
        if kind == "empty":
            yield back
            continue
        # Quiet standing: sway of the head of about a centimetre at 0.1 to 0.5 Hz (a face is 15 cm wide).
        cm = face / 15
        sway = cm * (0.8 * sin(2 * pi * 0.23 * t + phases[0]) + 0.4 * sin(2 * pi * 0.51 * t + phases[1]))
        bob = cm * (0.25 * sin(2 * pi * 0.3 * t + phases[2]) + 0.15 * sin(2 * pi * 0.9 * t + phases[3]))
        tilt = 1.0 * sin(2 * pi * 0.17 * t + phases[4])
        near = min(1.0, 0.3 + 0.7 * t / 3) if kind == "walks" else 1.0
        yield with_person(back, who, k * face * near, x0 + k * sway, (0.35 * 480 + bob) * k, tilt)


def sensed(scene: Iterable[np.ndarray], light: Light, seed: int) -> Iterator[Grey]:
    """The pictures of a sensor and its temporal filter."""
    random = np.random.default_rng([seed, 1])
    kept = None
    field = None
    for picture in scene:
        height, width = picture.shape
        if field is None:
            field = random.standard_normal((height + 128, width + 128), np.float32)
        bright = picture * light.level
        y, x = random.integers(0, 128, 2)
        noise = field[y : y + height, x : x + width] * (1 - 2 * random.integers(0, 2))
        sigma = np.sqrt(light.read**2 + light.shot * np.clip(bright, 0, None))
        now = bright + noise * sigma
        if light.denoise < 1:
            if kept is None:
                kept = cv2.GaussianBlur(now, (0, 0), 1.0)
            else:
                moved = np.abs(cv2.blur(now - kept, (9, 9))) > 1.2 * sigma
                share = np.where(cv2.dilate(moved.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0, np.float32(0.7), np.float32(light.denoise))
                kept = kept + share * (cv2.GaussianBlur(now, (0, 0), 0.7) - kept)
            now = kept
        yield np.clip(np.rint(now), 0, 255).astype(np.uint8)


def frozen(pictures: Iterable[Grey], after: int) -> Iterator[Grey]:
    """The first `after` pictures, and then the last of them again and again."""
    last = None
    for number, grey in enumerate(pictures):
        if number < after or last is None:
            last = grey
        yield last


def with_clock(pictures: Iterable[Grey], fps: int, size: float = 0.04, seed: int = 0) -> Iterator[Grey]:
    """The pictures with the time of day drawn into them, in letters of `size` of the picture's height."""
    for number, grey in enumerate(pictures):
        now = 3600 * 7 + 59 * 60 + 50 + seed * 977 + number // fps
        text = f"2026-03-{1 + now // 86400:02} {now // 3600 % 24:02}:{now // 60 % 60:02}:{now % 60:02}"
        drawn = grey.copy()
        scale = size * grey.shape[0] / 21
        at = (round(0.02 * grey.shape[1]), round(0.02 * grey.shape[0] + 21 * scale))
        for colour, thick in ((0, 3), (255, 1)):
            cv2.putText(drawn, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, colour, max(1, round(thick * scale * 1.5)), cv2.LINE_AA)
        yield drawn
