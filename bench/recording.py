"""What recording costs, and what other formats would cost: bytes and time per frame, and whether a replay still says the same.

    python -m bench.recording [--detector haar|YUNET.onnx] [--clips N] [--data FOLDER]

It uses the gate clips (`clips/asl`, 640x480). Four people are enrolled from one frame each. Each clip is then replayed unchanged, and with
its frames in each format. The cost of the recorder and of the flight recorder is the time of the gate's threads, not of the writer's.
"""

import argparse
import csv
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console

from bench.gate_clips import ENROLLED, ROOT, enrolment_frame
from daemon.config import Config, DetectorConfig, GateConfig
from daemon.core.passages.gatekeeper import Decision, Gatekeeper
from daemon.core.tapes.frames import FrameDecoder, FrameEncoder
from daemon.core.tapes.lines import Line, LineEncoder
from daemon.core.tapes.tape import bounds
from daemon.core.values import Frame, View
from daemon.edges.camera import frames_of, open_camera
from daemon.edges.detector import open_detector
from daemon.edges.gallery import Gallery
from daemon.edges.recorder import Recorder, Shelf
from daemon.pipeline import opening, steps
from daemon.pipeline.photos import enrolment_crop
from daemon.pipeline.replay import line
from daemon.serving.flight import Flight

Pair = tuple[Callable[[Frame], bytes], Callable[[bytes, Frame], Frame]]
"""Encodes a frame to bytes, and decodes it again."""
Through = Callable[[], Pair]
"""A format: an encoder and a decoder for each clip."""


def as_it_is() -> Pair:
    return (lambda frame: frame.image.data.tobytes()), (lambda data, frame: frame)


def recorded(key_every: int) -> Through:
    def begin() -> Pair:
        encoder, decoder = FrameEncoder(key_every), FrameDecoder("bench")
        return encoder.encode, lambda data, frame: decoder.decode(data)

    return begin


def picture(suffix: str, *options: int) -> Through:
    def encode(frame: Frame) -> bytes:
        return cv2.imencode(suffix, frame.image, options)[1].tobytes()

    def decode(data: bytes, frame: Frame) -> Frame:
        image = np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), np.uint8)
        return replace(frame, image=image)

    return lambda: (encode, decode)


FORMATS: dict[str, Through] = {
    "raw": as_it_is,
    "PNG of differences (what is recorded)": recorded(50),
    "PNG": recorded(1),
    "JPEG 95": picture(".jpg", cv2.IMWRITE_JPEG_QUALITY, 95),
    "JPEG 85": picture(".jpg", cv2.IMWRITE_JPEG_QUALITY, 85),
}


def main() -> None:
    say = Console(highlight=False, soft_wrap=True, markup=False).print
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--detector", default="haar")
    parser.add_argument("--clips", type=int, default=None, metavar="N", help="only the first N clips")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("OSTIARY_DATA") or ROOT.parent / "shared" / "data"))
    arguments = parser.parse_args()
    config = Config(site="bench", gates={"bench": GateConfig(source="x")}, detector=DetectorConfig(kind=arguments.detector))
    model, detector = opening.open_model(config), open_detector(config.detector.kind, config.detector.min_face_px)
    clips = arguments.data / "clips/asl"
    with (clips / "identities.csv").open() as file:
        people = {row["clip"]: row["person"] for row in csv.DictReader(file)}
    gallery = Gallery(model.dimension)
    for number, person in enumerate(ENROLLED, 1):
        photo = enrolment_frame(clips / next(clip for clip, who in people.items() if who == person), detector)
        crop = enrolment_crop(photo, 1, detector, opening.open_judge(config, config.enrolment.min_face_px))
        gallery.add(number, person, model.embedder.embed(np.stack([crop]))[0])
    rules = steps.rules(config, model.calibration, gallery.templates)
    judge = opening.open_judge(config, config.detector.min_face_px)

    def decided(frames: Iterator[Frame], watch: Callable[[View, Gatekeeper], None] = lambda view, keeper: None) -> list[Decision]:
        keeper, told = Gatekeeper("bench", rules, config.decision.lost_s), []
        for frame in frames:
            view = steps.look(frame, detector, judge)
            (vectors,) = steps.embed([view], model.embedder, wanted=[keeper.wants(view)])
            told += keeper.observe(view, vectors, gallery.search, lambda person, now: None)
            watch(view, keeper)
        return told + keeper.finish()

    said: dict[str, list[list[Decision]]] = {}
    for name, begin in FORMATS.items():
        size, spent, count, said[name] = 0, 0.0, 0, []
        for clip in sorted(people)[: arguments.clips]:

            def passed(path: Path = clips / clip, pair: Pair = begin()) -> Iterator[Frame]:  # noqa: B008  one for each clip
                nonlocal size, spent, count
                encode, decode = pair
                for frame in frames_of(open_camera("bench", GateConfig(source=str(path)))):
                    start = time.thread_time()
                    data = encode(frame)
                    spent += time.thread_time() - start
                    size, count = size + len(data), count + 1
                    yield decode(data, frame)

            said[name].append(decided(passed()))
        lines = [[line(decision) for decision in clip] for clip in said[name]]
        first = [[line(decision) for decision in clip] for clip in said["raw"]]
        answers = [[(d.verdict, d.reason, d.person) for d in clip] for clip in said[name]]
        same = answers == [[(d.verdict, d.reason, d.person) for d in clip] for clip in said["raw"]]
        moved = [
            abs(a.similarity - b.similarity)
            for one, other in zip(said[name], said["raw"], strict=True)
            for a, b in zip(one, other, strict=False)
            if a.similarity is not None and b.similarity is not None
        ]
        say(
            f"{name:<38} {size / count / 1000:7.1f} kB per frame  {1000 * spent / count:5.1f} ms of CPU  lines that differ:"
            f" {sum(a != b for a, b in zip(lines, first, strict=True))} of {len(lines)} clips  answers {'the same' if same else 'differ'}"
            f"  similarity moves by {max(moved):.4f} at most"
        )

    offered, flown = [], []
    with tempfile.TemporaryDirectory() as folder:
        shelf = Shelf(Path(folder), bytes(32), bounds(10**9, 1e9, 1, 1e9), "frames")
        frames: Recorder[Frame] = Recorder(shelf, FrameEncoder, lambda frame: frame.captured_at)
        shelf = Shelf(Path(folder) / "flight", bytes(32), bounds(10**9, 1e9, 1, 1e9), "flight")
        lines_: Recorder[Line] = Recorder(shelf, LineEncoder, lambda text: 0.0)
        frames.start()
        lines_.start()
        flight = Flight(lines_, lambda person: "0" * 32)

        def offer(path: Path) -> Iterator[Frame]:
            for frame in frames_of(open_camera("bench", GateConfig(source=str(path)))):
                start = time.perf_counter()
                frames.offer("bench", frame, frame.image.nbytes)
                offered.append(time.perf_counter() - start)
                yield frame

        def watch(view: View, keeper: Gatekeeper) -> None:
            start = time.perf_counter()
            flight.saw(view, keeper)
            flown.append(time.perf_counter() - start)

        for clip in sorted(people)[: arguments.clips]:
            decided(offer(clips / clip), watch)
        frames.close()
        lines_.close()
        taken = sum(path.stat().st_size for path in (Path(folder) / "flight").rglob("*.tape"))
    for name, each in (("recorder", offered), ("flight recorder", flown)):
        say(f"{name}: {1e6 * np.median(each):.0f} µs per frame of the gate's own time (99 %: {1e6 * np.percentile(each, 99):.0f} µs)")
    say(f"flight recorder: {taken / len(flown):.0f} bytes per frame")


if __name__ == "__main__":
    main()
