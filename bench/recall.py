"""Which share of faces a detector finds, by their size and that of the picture, and how exactly it places them.

    python -m bench.recall [--detector yunet|haar|FILE.onnx]... [--min-face-px 20] [--sizes 640x480,1280x720,1920x1080] [--faces 60]

Whole pictures of people, in which YuNet finds one face, are scaled and pasted into an office (`bench.scenes`), nine into one frame as far
as there is room, at random places. The truth is what YuNet finds in the original picture, so a face that YuNet never finds is not asked
for. A face is found if a box overlaps it by IoU 0.35 at least: boxes of the cascade are of another shape. Faces about as large as
`min_face_px` are left out if the detector measures them smaller. Errors are the mean distance of five points to the truth in hundredths of
the face's side, the median over the faces found: of the detector's landmarks, and of the anchors by which crops are cut out. The aligner
places its points a little otherwise than YuNet, so its error never gets near to 0. False boxes are those on frames of people seen from
behind, and *more* are those beside the faces.
"""

import argparse
import statistics
from collections.abc import Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from bench import scenes
from bench.cost import Spent, machine
from bench.frames import detector_kind, numbers
from daemon.core.boxes import Box, iou
from daemon.core.values import Face, Image
from daemon.edges.detector import open_detector

SIDES = (12, 16, 20, 24, 30, 40, 60, 80, 120, 200)
IOU = 0.35
EACH = 9
OTHERS = 12
"""Frames without a face."""


@dataclass(frozen=True, slots=True)
class Truth:
    """A face that is in a picture: its box and its landmarks [5, 2], in pixels of the picture."""

    box: Box
    landmarks: np.ndarray


@dataclass(slots=True)
class Tally:
    """What happened to the faces of one size."""

    asked: int = 0
    found: int = 0
    extra: int = 0
    landmarks: list[float] = field(default_factory=list)
    anchors: list[float] = field(default_factory=list)

    def take(self, truths: list[Truth], faces: list[Face], side: float) -> None:
        free = list(faces)
        for truth in truths:
            self.asked += 1
            best = max(free, key=lambda face: iou(face.box, truth.box), default=None)
            if best is None or iou(best.box, truth.box) < IOU:
                continue
            free.remove(best)
            self.found += 1
            for points, into in ((best.landmarks, self.landmarks), (best.anchors, self.anchors)):
                if points is not None:
                    into.append(100 * float(np.linalg.norm(points - truth.landmarks, axis=1).mean()) / side)
        self.extra += len(free)

    def said(self) -> tuple[str, str, str, str]:
        """The share found, the errors of landmarks and anchors, and how many other boxes there were."""
        landmarks, anchors = (f"{statistics.median(each):.1f}" if each else "–" for each in (self.landmarks, self.anchors))
        return f"{100 * self.found / self.asked:.0f}", landmarks, anchors, str(self.extra)


def pictures(size: tuple[int, int], side: int, faces: int) -> Iterator[tuple[Image, list[Truth]]]:
    """Frames with faces of that side, `faces` of them together."""
    width, height = size
    random = np.random.default_rng(side * 10_000 + width)
    reach = scenes.ROOM * side
    columns, rows = (max(1, min(3, int(length // (2 * reach + 4)))) for length in (width, height))
    everyone = [portrait for portrait in scenes.portraits(everyone=True) if portrait.side >= 60]
    order = random.permutation(len(everyone))
    for first in range(0, faces, columns * rows):
        image = scenes.office(width, height, 0 if (first // (columns * rows)) % 2 == 0 else 480).copy()
        truths = []
        for cell in range(min(columns * rows, faces - first)):
            portrait = everyone[order[(first + cell) % len(order)]]
            free = max(0.0, width / columns / 2 - reach), max(0.0, height / rows / 2 - reach)
            x = (cell % columns + 0.5) * width / columns + random.uniform(-1, 1) * free[0]
            y = (cell // columns + 0.5) * height / rows + random.uniform(-1, 1) * free[1]
            matrix = scenes.paste(image, portrait, (x, y), side)
            scale = matrix[0, 0]
            left, top = map(float, matrix[:, :2] @ portrait.box[:2] + matrix[:, 2])
            box = Box(left, top, portrait.box[2] * scale, portrait.box[3] * scale)
            truths.append(Truth(box, portrait.landmarks @ matrix[:, :2].T + matrix[:, 2]))
        (jpeg,) = scenes.filmed(iter([image]), width, height, random)
        yield scenes.decoded(jpeg), truths


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--detector", action="append", metavar="KIND", help="yunet (of the data folder), haar or a file; may be repeated")
    parser.add_argument("--min-face-px", type=int, default=20)
    parser.add_argument("--sizes", default=",".join(f"{width}x{height}" for width, height in scenes.SIZES))
    parser.add_argument("--sides", type=numbers, default=list(SIDES))
    parser.add_argument("--faces", type=int, default=60, help="how many of each size")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    console = Console(highlight=False, width=190)
    for kind in arguments.detector or ["yunet", "haar"]:
        detector = open_detector(detector_kind(kind), arguments.min_face_px)
        table = Table("frames", "", *(f"{side} px" for side in arguments.sides), "false boxes a frame", "CPU ms a frame")
        table.show_lines = True
        table.title = f"{kind}, min_face_px {arguments.min_face_px}: of {arguments.faces} faces of each size"
        for size in (tuple(map(int, text.split("x"))) for text in arguments.sizes.split(",")):
            width, height = size
            tallies = {side: Tally() for side in arguments.sides}
            spent = Spent()
            for side, tally in tallies.items():
                if 2 * scenes.ROOM * side > height:
                    continue
                for image, truths in pictures((width, height), side, arguments.faces):
                    tally.take(truths, detector.detect(image), side)
            empty = [scenes.office(width, height, 110 * number) for number in range(OTHERS)]
            false = sum(len(detector.detect(image)) for image in spent.each(empty))
            cells = (tally.said() if tally.asked else ("", "", "", "") for tally in tallies.values())
            table.add_row(
                f"{width}×{height}",
                "found %\nlandmarks off\nanchors off\nmore",
                *map("\n".join, cells),
                f"{false / OTHERS:.2f}",
                f"{spent.median:.1f}",
            )
        console.print(table)
    console.print(f"errors in hundredths of the face's side; {machine()}")


if __name__ == "__main__":
    main()
