"""What it saves to look for faces only where something moves or somebody was, and what it costs: faces found later than by searching
every whole picture.

    python -m bench.attention [--detector haar|YUNET.onnx] [--frames N]

Every clip is played as it is, and with a sensor's noise on top (standard deviation in grey levels of 255), also at a third of its light.
"late" counts faces that the whole search finds and attention does not, in the same frame; "longest" is the longest run of frames in which
a face that the whole search found was missed.
"""

import argparse
import os
import time
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from daemon.config import GateConfig
from daemon.core.attention import Attention, Region
from daemon.core.boxes import iou
from daemon.core.values import Frame, Image
from daemon.edges.camera import frames_of, open_camera
from daemon.edges.detector import Detector, open_detector

ROOT = Path(__file__).resolve().parent.parent
MIN_FACE_PX = 40
DISTURBED = ((1.0, 0.0), (1.0, 3.0), (1.0, 8.0), (0.3, 8.0))
"""(light, noise)."""
SAME = 0.3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = Path(os.environ.get("OSTIARY_DATA") or ROOT.parent / "shared/data")
    parser.add_argument("--detector", default=str(data / "models/yunet.onnx"))
    parser.add_argument("--frames", type=int, default=60, help="of each clip")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    clips = [*sorted((data / "clips/asl").glob("*.mkv")), data / "clips/walking-and-pause.gif", data / "clips/no-face.mp4"]
    detector = open_detector(arguments.detector, MIN_FACE_PX)
    table = Table("light, noise", "frames", "searched", "CPU ms, whole", "CPU ms", "ratio", "faces", "late", "longest", title="attention")
    for light, noise in DISTURBED:
        table.add_row(f"{light:g}, {noise:g}", *_row(clips, detector, light, noise, arguments.frames))
    Console(highlight=False).print(table)


class Watched(Attention):
    """Notes which share of each picture is searched."""

    def __init__(self, detector: Detector, shares: list[float]) -> None:
        super().__init__(detector.min_face_px, detector.fit, detector.finder.wanted_px)
        self.shares = shares

    def where(self, image: Image, at_s: float) -> list[Region]:
        regions = super().where(image, at_s)
        self.shares.append(sum(region.area for region in regions) / (image.shape[0] * image.shape[1]))
        return regions


def _row(clips: list[Path], detector: Detector, light: float, noise: float, most: int) -> list[str]:
    frames = faces = late = longest = 0
    shares: list[float] = []
    spent: list[tuple[float, float]] = []
    for clip in clips:
        attention, missed = Watched(detector, shares), 0
        random = np.random.default_rng(0)
        for frame in frames_of(open_camera("bench", GateConfig(source=str(clip)))):
            if frame.number >= most:
                break
            seen = Frame("bench", frame.number, frame.at_s, 0.0, _disturbed(frame.image, light, noise, random))
            began = time.thread_time()
            whole = detector.detect(seen.image)
            between = time.thread_time()
            found = detector.follow(seen.image, seen.at_s, attention)
            spent.append((between - began, time.thread_time() - between))
            lost = [face for face in whole if not any(iou(face.box, other.box) > SAME for other in found)]
            missed = missed + 1 if lost else 0
            frames, faces, late, longest = frames + 1, faces + len(whole), late + len(lost), max(longest, missed)
    whole_ms, ms = (1000 * float(np.mean(column)) for column in zip(*spent, strict=True))
    counts = (str(count) for count in (faces, late, longest))
    return [str(frames), f"{sum(shares) / frames:.0%}", f"{whole_ms:.2f}", f"{ms:.2f}", f"{ms / whole_ms:.2f}", *counts]


def _disturbed(image: Image, light: float, noise: float, random: np.random.Generator) -> Image:
    if light == 1 and noise == 0:
        return image
    grain = random.normal(0, noise, image.shape[:2])[..., None] if noise else 0.0
    return np.asarray(np.clip(image * light + grain, 0, 255), np.uint8)


if __name__ == "__main__":
    main()
