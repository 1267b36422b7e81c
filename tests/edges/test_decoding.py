"""What a camera's decoder does with packets that come too late, damaged, without key frames or from a camera that is frozen."""

import io
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame

from daemon.edges.camera.asking import Ended
from daemon.edges.camera.decoding import Decoding, brightness
from daemon.edges.camera.packets import Waiting
from daemon.edges.camera.wire import Cause, Settings, Way
from tests.fixtures.rtsp import clock_scene

FPS, SIZE = 10, (544, 304)
STALE_S = 2.0


def packets(count: int, gop: int, *, frozen: bool = False) -> "list[av.Packet[Any]]":
    """An H.264 stream of the clock scene; the stamp of picture n is n / FPS."""
    file = io.BytesIO()
    with av.open(file, "w", format="mpegts") as out:
        stream: Any = out.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        stream.options = {"preset": "ultrafast", "bf": "0", "g": str(gop), "keyint_min": str(gop), "sc_threshold": "0"}
        for n in range(count):
            frame = VideoFrame.from_ndarray(clock_scene(0 if frozen else n / FPS, SIZE), format="bgr24")
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    file.seek(0)
    container: Any = av.open(file)
    container.streams.video[0].codec_context.thread_count = 1  # as the reader sets it
    return [packet for packet in container.demux(video=0) if packet.size]


def stamp_s(packet: "av.Packet[Any]") -> float:
    """When the picture of a packet was taken: the first at 0."""
    stream: Any = packet.stream
    assert packet.pts is not None
    return float((packet.pts - stream.start_time) * packet.time_base)


@dataclass(slots=True)
class Simulated:
    """A camera, its network and a decoder that needs `decode_s` for each picture, by a clock that only goes on when they take time."""

    sent: "list[av.Packet[Any]]"
    decode_s: float = 0.0
    held: tuple[float, float] = (0.0, 0.0)
    now_s: float = 0.0
    waiting: deque[Waiting] = field(default_factory=deque)
    dropped: Counter[str] = field(default_factory=Counter)
    shown: list[tuple[float, float]] = field(default_factory=list)
    """When each picture was there, and when it was taken."""
    ways: list[Way] = field(default_factory=list)

    def clock(self) -> float:
        return self.now_s

    def take(self, timeout_s: float) -> Waiting | None:
        while not self.waiting:
            if not self.sent:
                raise EOFError
            self._arrive(self._due(0))
        while self.sent and self._due(0) <= self.now_s:
            self._arrive(self._due(0))
        self.now_s += self.decode_s
        return self.waiting.popleft()

    def _due(self, place: int) -> float:
        taken_s = stamp_s(self.sent[place])
        return self.held[1] if self.held[0] <= taken_s < self.held[1] else taken_s + 0.02

    def _arrive(self, at_s: float) -> None:
        packet = self.sent.pop(0)
        self.now_s = max(self.now_s, at_s)
        self.waiting.append(Waiting(packet, at_s, stamp_s(packet)))

    def lost(self) -> int:
        return 0

    def skip_to_key(self) -> int:
        place = max((n for n, w in enumerate(self.waiting) if w.packet.is_keyframe), default=0)
        for _ in range(place):
            self.waiting.popleft()
        return place

    def put(self, frame: VideoFrame, number: int, taken_s: float) -> None:
        self.shown.append((self.now_s, taken_s))

    def seen(self, taken_s: float) -> None:
        pass

    def drop(self, reason: str, count: int = 1) -> None:
        self.dropped[reason] += count

    def goes(self, way: Way, amount: float) -> None:
        if not self.ways or self.ways[-1] is not way:
            self.ways.append(way)


def run(camera: Simulated, **options: Any) -> Ended:
    decoding = Decoding(Settings("rtsp://x", STALE_S, 5.0, 5.0, 10.0, **options), camera, camera, camera.clock)
    try:
        while True:
            decoding.step()
    except Ended as ended:
        return ended


def test_a_decoder_that_keeps_up_shows_every_picture() -> None:
    camera = Simulated(packets(100, 20))
    ended = run(camera)
    assert ended.cause is Cause.ENDED and len(camera.shown) >= 98 and Way.LATE_DECODING not in camera.ways
    assert max(at - taken for at, taken in camera.shown) < 0.1 and not camera.dropped["corrupt"]


@pytest.mark.parametrize("gop", [10, 50])
@pytest.mark.parametrize("decode_s", [0.15, 0.4])
def test_a_decoder_that_is_too_slow_is_behind_and_shows_nothing_old(gop: int, decode_s: float) -> None:
    camera = Simulated(packets(600, gop), decode_s)
    run(camera)
    assert camera.shown and max(at - taken for at, taken in camera.shown) <= STALE_S
    assert camera.dropped["stale"] > 50 and Way.LATE_DECODING in camera.ways and Way.LATE_NETWORK not in camera.ways
    assert max(b[0] - a[0] for a, b in zip(camera.shown, camera.shown[1:], strict=False)) < gop / FPS + 3


@pytest.mark.parametrize("gop", [10, 100])
def test_what_the_network_held_is_caught_up_with(gop: int) -> None:
    camera = Simulated(packets(200, gop), 0.01, (6.0, 12.0))
    run(camera)
    assert max(at - taken for at, taken in camera.shown) <= STALE_S and camera.dropped["stale"] > 30
    after = [at for at, _ in camera.shown if at >= 12]
    assert after[0] < 13 and len(after) > 50


@pytest.mark.parametrize("seed", range(4))
def test_a_damaged_picture_spoils_all_up_to_the_next_key_frame(seed: int) -> None:
    rng, stream = np.random.default_rng(seed), packets(100, 20)
    victim = int(rng.integers(22, 38))
    data = bytearray(bytes(stream[victim]))
    for place in rng.integers(len(data) // 4, len(data), 40):
        data[place] = int(rng.integers(256))
    broken = av.Packet(bytes(data))
    broken.stream, broken.pts, broken.dts, broken.time_base = (
        stream[victim].stream, stream[victim].pts, stream[victim].dts, stream[victim].time_base,
    )  # fmt: skip
    stream[victim] = broken
    camera = Simulated(stream)
    run(camera)
    assert camera.dropped["corrupt"] >= 40 - victim
    taken = [round(taken * FPS) for _, taken in camera.shown]
    assert not [n for n in taken if victim < n < 40] and max(taken) > 90


def test_a_stream_that_is_joined_late_waits_for_a_key_frame() -> None:
    camera = Simulated(packets(100, 50)[20:])
    run(camera)
    assert camera.shown[0][1] == pytest.approx(5.0, abs=0.15)


def test_a_frozen_connection_must_show_life() -> None:
    camera = Simulated(packets(100, 10, frozen=True))
    run(camera, frozen=True)
    assert not camera.shown and camera.ways == [Way.FROZEN]
    camera = Simulated(packets(100, 10))
    run(camera, frozen=True)
    assert camera.shown and camera.ways[-1] is Way.WELL


def test_brightness_of_any_format() -> None:
    image = clock_scene(1.0, (322, 242))
    grey = brightness(VideoFrame.from_ndarray(image, format="bgr24")).astype(float)
    for kind in ("yuv420p", "yuv422p10le", "nv12", "yuyv422", "gray"):
        got = brightness(VideoFrame.from_ndarray(image, format="bgr24").reformat(format=kind))
        assert got.shape == (242, 322) and abs(got.astype(float) - grey).mean() < 20, kind
