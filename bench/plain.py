"""What a good engineer writes in an afternoon: camera, YuNet, five-point alignment, ONNX Runtime, a product with everybody's vector, the
mean of five frames, MQTT. It is the yardstick of other tables, so it is kept as good as an afternoon allows.

    python -m bench.plain --source CLIP-OR-URL --people FOLDER --yunet YUNET.onnx --bundle BUNDLE.onnx [--mqtt HOST:PORT]

FOLDER holds one picture of each person, `NAME.jpg`, or a folder of them, `NAME/*.jpg`. Nothing here comes from the daemon. One thread does
it all, because on few cores that costs the least. A face is embedded in each frame, also after its decision: boxes do not tell whether
it is still the same person.
"""

import argparse
import json
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

TEMPLATE = np.array([38.2946 + 51.6963j, 73.5318 + 51.5014j, 56.0252 + 71.7366j, 41.5493 + 92.3655j, 70.7299 + 92.2041j])
"""Where the five landmarks go in a crop of 112 pixels (ArcFace), as complex numbers."""
FRAMES, PATIENCE, MIN_FACE_PX, FORGET_S = 5, 30, 40, 1.0


@dataclass(slots=True)
class Track:
    """One face over several frames."""

    x: float
    y: float
    seen_s: float
    vectors: deque[np.ndarray] = field(default_factory=lambda: deque(maxlen=FRAMES))
    looks: int = 0
    done: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """`person` is None for somebody whom nobody's vectors resemble."""

    person: str | None
    similarity: float


class Plain:
    """The whole script but for its input and output. Frames are searched at `side` pixels, the longer side."""

    def __init__(self, yunet: Path, bundle: Path, threshold: float, side: int = 640) -> None:
        cv2.setNumThreads(1)  # more threads take more processor time for the same frames
        self.net = cv2.FaceDetectorYN.create(str(yunet), "", (side, side), 0.7, 0.3)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.session = onnxruntime.InferenceSession(str(bundle), options, providers=["CPUExecutionProvider"])
        self.threshold, self.side = threshold, side
        self.names: list[str] = []
        self.matrix = np.empty((0, 0), np.float32)
        self.tracks: list[Track] = []

    def find(self, image: np.ndarray) -> np.ndarray:
        """The faces of a BGR picture, [N, 15] as YuNet gives them, in its pixels."""
        height, width = image.shape[:2]
        scale = min(1.0, self.side / max(height, width))
        small = image if scale == 1 else cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        self.net.setInputSize((small.shape[1], small.shape[0]))
        rows = self.net.detect(small)[1]
        if rows is None:
            return np.empty((0, 15), np.float32)
        rows = np.hstack([rows[:, :14] / scale, rows[:, 14:]])
        return rows[rows[:, 2] * rows[:, 3] >= MIN_FACE_PX**2]

    def embed(self, image: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """The unit vectors of faces, [N, D], in one batch."""
        crops = np.stack([cv2.warpAffine(image, _similarity(row[4:14]), (112, 112)) for row in rows])[..., ::-1]
        return np.asarray(self.session.run(["embedding"], {"image": np.ascontiguousarray(crops)})[0])

    def enrol(self, name: str, image: np.ndarray) -> None:
        """Add somebody by the largest face of a picture. Raises ValueError without one."""
        rows = self.find(image)
        if not len(rows):
            raise ValueError(f"{name}: no face on the picture")
        vector = self.embed(image, rows[[int(np.argmax(rows[:, 2] * rows[:, 3]))]])
        self.names.append(name)
        self.matrix = np.vstack([self.matrix, vector]) if self.matrix.size else vector

    def step(self, image: np.ndarray, now_s: float) -> tuple[int, list[Answer]]:
        """How many faces a frame shows, and what is decided by it."""
        rows = self.find(image)
        self.tracks = [track for track in self.tracks if now_s - track.seen_s < FORGET_S]
        if not len(rows):
            return 0, []
        answers, free = [], list(self.tracks)
        for row, vector in zip(rows, self.embed(image, rows), strict=True):
            x, y = row[0] + row[2] / 2, row[1] + row[3] / 2
            near = min(free, key=lambda track: np.hypot(track.x - x, track.y - y), default=None)
            if near is None or np.hypot(near.x - x, near.y - y) > row[2] / 2:
                near = Track(x, y, now_s)
                self.tracks.append(near)
            else:
                free.remove(near)
            near.x, near.y, near.seen_s = x, y, now_s
            near.vectors.append(vector)
            near.looks += 1
            if not near.done and len(near.vectors) == FRAMES and (answer := self._decide(near)):
                answers.append(answer)
        return len(rows), answers

    def _decide(self, track: Track) -> Answer | None:
        mean = np.mean(track.vectors, axis=0)
        alike = self.matrix @ (mean / np.linalg.norm(mean))
        best = int(np.argmax(alike))
        found = float(alike[best])
        track.done = found >= self.threshold or track.looks >= PATIENCE
        return Answer(self.names[best] if found >= self.threshold else None, found) if track.done else None


def _similarity(points: np.ndarray) -> np.ndarray:
    """Rotation, scale and shift of ten landmark numbers onto the template, by least squares, [2, 3]."""
    z = points[0::2].astype(np.float64) + 1j * points[1::2]
    a, b = z - z.mean(), TEMPLATE - TEMPLATE.mean()
    turn = np.vdot(a, b) / np.vdot(a, a).real
    shift = TEMPLATE.mean() - turn * z.mean()
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


def frames(source: str) -> Iterator[tuple[np.ndarray, float, float]]:
    """Frames with their time in seconds and the clock's at their arrival: every one of a file, and the newest of a camera."""
    capture = cv2.VideoCapture(source, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    if not capture.isOpened():
        raise SystemExit(f"{source}: cannot be opened")
    if "://" not in source:
        fps, number = capture.get(cv2.CAP_PROP_FPS) or 25.0, 0
        while (got := capture.read())[0]:
            yield got[1], number / fps, time.time()
            number += 1
        return
    newest: deque[tuple[np.ndarray, float] | None] = deque(maxlen=1)
    there = threading.Event()

    def read() -> None:
        while (got := capture.read())[0]:
            newest.append((got[1], time.time()))
            there.set()
        newest.append(None)
        there.set()

    threading.Thread(target=read, daemon=True).start()
    while there.wait():
        there.clear()
        if newest:  # empty when the frame came between the two lines before, and was taken then
            if (taken := newest.pop()) is None:
                return
            yield taken[0], time.monotonic(), taken[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", required=True)
    parser.add_argument("--people", type=Path, required=True)
    parser.add_argument("--yunet", type=Path, required=True)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--threshold", type=float, default=0.672)
    parser.add_argument("--side", type=int, default=640, choices=(320, 640))
    parser.add_argument("--mqtt", default="", metavar="HOST:PORT")
    parser.add_argument("--topic", default="plain/decision")
    arguments = parser.parse_args()
    plain = Plain(arguments.yunet, arguments.bundle, arguments.threshold, arguments.side)
    for path in sorted(arguments.people.rglob("*.jpg")):
        name = path.stem if path.parent == arguments.people else path.parent.name
        if (image := cv2.imread(str(path))) is None:
            raise SystemExit(f"{path}: not a picture")
        plain.enrol(name, image)
    client = paho.Client(CallbackAPIVersion.VERSION2)
    if arguments.mqtt:
        host, _, port = arguments.mqtt.partition(":")
        client.connect(host, int(port or 1883))
        client.loop_start()
    sent, alive_s = [], 0.0
    for looked, (image, now_s, captured_at) in enumerate(frames(arguments.source), 1):
        for answer in plain.step(image, now_s)[1]:
            body = {"person": answer.person, "similarity": round(answer.similarity, 3), "captured_at": captured_at}
            sys.stdout.write(json.dumps(body) + "\n")
            sys.stdout.flush()
            if arguments.mqtt:
                sent.append(client.publish(arguments.topic, json.dumps(body), qos=1))
        if arguments.mqtt and now_s - alive_s >= 1:
            client.publish(f"{arguments.topic}/alive", looked)
            alive_s = now_s
    for message in sent[-20:]:
        message.wait_for_publish(5)
    client.disconnect()
    client.loop_stop()


if __name__ == "__main__":
    main()
