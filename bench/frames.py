"""Processor time for each frame: the plain script on 640 and on 320 pixels, this project with YuNet and with the cascade, and the limit.

    python -m bench.frames [--seconds 1] [--rounds 1] [--sizes 640x480,1280x720,1920x1080] [--faces 0,1,5,20] [--detectors yunet,haar]
                           [--bundle FILE.onnx] [--decode]

Frames are made of real pictures (`bench.scenes`); each round has other people, and the variants take turns frame by frame. All have one
thread. Twenty faces are filmed for half the time. Every fifth person of a scene is a stranger, the others are enrolled from the picture
that the scene was made of: this is about time, so recognising has to be easy. What was found and decided stands beside the time.

Counted is what happens between a picture in memory and its decisions, from the second frame on: for the first one networks prepare
themselves for the size of a picture. `--decode` shows what comes before. The *limit* of a detector is that detector alone, once in each
frame and at the size at which the product uses it, without the aligner, and the embedder alone, once for each face found. What looks less
often than in each frame, or embeds less often, can be below it.
"""

import argparse
import contextlib
import statistics
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from bench import cost, scenes
from bench.cost import Spent
from bench.plain import Plain
from bench.plain import frames as plain_frames
from daemon.config import Config, DetectorConfig, GateConfig, ModelConfig
from daemon.core.counts import counted
from daemon.core.faces.align import align
from daemon.core.passages.gatekeeper import Gatekeeper
from daemon.core.people.enrol import EnrolError
from daemon.core.values import Face, Frame, Image, Verdict, View
from daemon.edges.camera import frames_of, open_camera
from daemon.edges.detector import open_detector
from daemon.edges.gallery import Gallery
from daemon.pipeline import opening, steps
from daemon.pipeline.model import Model
from daemon.pipeline.photos import enrolment_crop
from daemon.pipeline.replay import replay

GALLERY = 60
LIMIT_EVERY = 4


@dataclass(slots=True)
class Run:
    """What one variant did with one or more sequences: its time, the faces found in each frame, who was accepted, and wrongly."""

    spent: Spent = field(default_factory=Spent)
    faces: list[int] = field(default_factory=list)
    accepted: int = 0
    wrong: int = 0

    def judged(self, persons: set[str], there: tuple[str, ...]) -> None:
        self.accepted += len(persons & set(there))
        self.wrong += len(persons - set(there))


Variant = Callable[[Iterator[Image], Run], set[str]]
"""Takes a sequence, and notes what it took. Returns who was accepted."""


@dataclass(frozen=True, slots=True)
class Bench:
    """The variants by name, and the people who may be used: those whom every variant can enrol from their picture."""

    variants: dict[str, Variant]
    people: tuple[scenes.Portrait, ...]
    strangers: tuple[scenes.Portrait, ...]

    def scene(self, size: tuple[int, int], faces: int, seconds: float, number: int) -> tuple[scenes.Sequence, int]:
        """A sequence, and how many of its people are enrolled. Every number has other people."""
        known = [self.people[(number * faces + i) % len(self.people)] for i in range(faces - faces // 5)]
        others = [self.strangers[(number * faces + i) % len(self.strangers)] for i in range(faces // 5)]
        return scenes.sequence(*size, (*known, *others), seconds, seed=number + 1), len(known)


def plain_variant(plain: Plain) -> Variant:
    def run(images: Iterator[Image], into: Run) -> set[str]:
        persons: set[str] = set()
        plain.tracks = []
        for number, image in enumerate(into.spent.each(images)):
            found, answers = plain.step(image, number / scenes.FPS)
            into.faces.append(found)
            persons |= {answer.person for answer in answers if answer.person is not None}
        return persons

    return run


def recorded(images: Iterator[Image]) -> Iterator[Frame]:
    for number, image in enumerate(images):
        at_s = number / scenes.FPS
        yield Frame("bench", number, 100.0 + at_s, 1e9 + at_s, image)


@dataclass(frozen=True, slots=True)
class Ours:
    """The product with one detector, opened as a replay opens it."""

    config: Config
    model: Model
    gallery: Gallery

    def run(self, images: Iterator[Image], into: Run) -> set[str]:
        config = self.config
        detector = open_detector(config.detector.kind, config.detector.min_face_px)
        judge = opening.open_judge(config, config.detector.min_face_px)
        keeper = Gatekeeper("bench", steps.rules(config, self.model.calibration, self.gallery.templates), config.decision.lost_s)

        def watch(frame: Frame, view: View, vectors: object) -> None:
            into.faces.append(len(view.probes))

        walked = replay(
            recorded(into.spent.each(images)), detector, detector.attention(), judge, self.model.embedder, self.gallery,
            keeper, lambda person, now: None, watch,
        )  # fmt: skip
        return {d.person for d in walked if d.verdict is Verdict.ACCEPT and d.person is not None}

    def limit(self, images: Iterator[Image], into: Run) -> set[str]:
        detector = open_detector(self.config.detector.kind, self.config.detector.min_face_px, aligner=None)
        faces: list[Face] = []
        for number, image in enumerate(images):
            if number % LIMIT_EVERY:
                continue
            alone = Spent()
            for picture in alone.each([image]):
                faces = detector.detect(picture)
            into.faces.append(len(faces))
            for crops in alone.each([np.stack([align(image, face) for face in faces])] if faces else []):
                self.model.embedder.embed(crops)
            into.spent.cpu_ms.append(sum(alone.cpu_ms))
            into.spent.wall_ms.append(sum(alone.wall_ms))
        return set()


def detector_kind(kind: str) -> str:
    """`detector.kind` of a configuration; `yunet` is the file in the data folder."""
    return str(scenes.data_folder() / "models/yunet.onnx") if kind == "yunet" else kind


def enrollable(kinds: list[str], config: Config) -> Iterator[tuple[scenes.Portrait, dict[str, Image]]]:
    """Everybody whom each of these detectors can enrol from their picture, with the crop that each of them cuts out."""
    detectors = {kind: open_detector(detector_kind(kind), config.detector.min_face_px) for kind in kinds}
    judge = opening.open_judge(config, config.enrolment.min_face_px)
    for portrait in scenes.portraits():
        with contextlib.suppress(EnrolError):
            yield portrait, {kind: enrolment_crop(portrait.photo, 1, detector, judge) for kind, detector in detectors.items()}


def prepared(kinds: list[str], bundle: str = "") -> Bench:
    """Open every variant and enrol everybody. `kinds` are of `yunet` and `haar`."""
    cv2.setNumThreads(1)
    yunet = scenes.data_folder() / "models/yunet.onnx"
    config = Config(site="bench", gates={"bench": GateConfig(source="bench")}, model=ModelConfig(bundle=bundle))
    model = opening.open_model(config)
    found = list(enrollable(kinds, config))
    people, strangers = tuple(portrait for portrait, _ in found[:GALLERY]), tuple(portrait for portrait, _ in found[GALLERY:])
    threshold = model.calibration.threshold(len(people), config.decision.target_fpir)
    if threshold is None or len(strangers) < 4:
        raise SystemExit("the bundle's card has no threshold for this gallery, or too few pictures can be enrolled")
    variants: dict[str, Variant] = {}
    for side in (640, 320):
        plain = Plain(yunet, opening.bundles(config)[0], threshold, side)
        for portrait in people:
            plain.enrol(portrait.person, portrait.image)
        variants[f"plain {side}"] = plain_variant(plain)
    for kind in kinds:
        gallery = Gallery(model.dimension)
        for number, (portrait, crops) in enumerate(found[:GALLERY], 1):
            gallery.add(number, portrait.person, model.embedder.embed(crops[kind][None])[0])
        detecting = DetectorConfig(kind=detector_kind(kind))
        ours = Ours(replace(config, detector=detecting), model, gallery)
        variants[kind], variants[f"{kind} limit"] = ours.run, ours.limit
    return Bench(variants, people, strangers)


def measured(
    bench: Bench, size: tuple[int, int], faces: int, seconds: float, rounds: int, first: int = 0
) -> tuple[dict[str, list[Run]], int]:
    """Each round's run of each variant, and how many accepts would be right in all of them together. Rounds are numbered from `first`."""
    runs: dict[str, list[Run]] = {name: [] for name in bench.variants}
    rightful = 0
    for number in range(first, first + rounds):
        sequence, known = bench.scene(size, faces, seconds / 2 if faces > 5 else seconds, number)
        rightful += known
        turns = cost.Turns(len(bench.variants))

        def walk(place: int, variant: Variant, sequence: scenes.Sequence = sequence, turns: cost.Turns = turns) -> Run:
            run = Run()
            try:
                run.judged(variant(turns.pieces(place, sequence.images()), run), sequence.people)
            finally:
                turns.leave(place)
            del run.spent.cpu_ms[0], run.spent.wall_ms[0]
            return run

        with ThreadPoolExecutor(len(bench.variants)) as pool:
            walking = {name: pool.submit(walk, place, variant) for place, (name, variant) in enumerate(bench.variants.items())}
        for name, walked in walking.items():
            runs[name].append(walked.result())
    return runs, rightful


def ratio(runs: dict[str, list[Run]], name: str, to: str, mean: bool = False) -> float:
    """How much of another variant's time one takes: the median over the rounds."""
    return statistics.median(
        (a.spent.mean / b.spent.mean) if mean else (a.spent.median / b.spent.median) for a, b in zip(runs[name], runs[to], strict=True)
    )


def _joined(runs: list[Run]) -> Run:
    whole = Run()
    for run in runs:
        whole.spent.add(run.spent)
        whole.faces += run.faces
        whole.accepted += run.accepted
        whole.wrong += run.wrong
    return whole


def _cell(run: Run, rightful: int, limit: bool) -> str:
    found = f"{statistics.mean(run.faces):.1f}" if run.faces else "–"
    decided = "" if limit else f"; {run.accepted}/{rightful}" + (f", [red]{run.wrong} wrong[/]" if run.wrong else "")
    return f"{run.spent.median:.1f} ({run.spent.mean:.1f}, {run.spent.wall_median:.1f})\n{found}{decided}"


@dataclass(slots=True)
class Ratios:
    """The rows of `make bench`. Everything is opened once, and each call has other people."""

    seconds: float = 1.0
    bench: Bench = field(default_factory=lambda: prepared(["yunet", "haar"]))
    number: int = 0
    notes: list[str] = field(default_factory=list)
    """Where less was recognised than by the script: time is worth nothing then."""

    def __call__(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for size in ((640, 480), (1920, 1080)):
            for faces in (0, 1, 5):
                runs, rightful = measured(self.bench, size, faces, self.seconds, 1, self.number)
                where = f"{size[0]}×{size[1]}, {counted(faces, 'face')}"
                for kind in ("yunet", "haar"):
                    for to in ("plain 640", "plain 320", f"{kind} limit"):
                        found[f"{where}: {kind} / {to.replace(f'{kind} ', 'its ')}"] = ratio(runs, kind, to, mean=True)
                    if runs[kind][0].accepted < runs["plain 640"][0].accepted or runs[kind][0].wrong:
                        note = f"{where}: {kind} accepted {runs[kind][0].accepted} of {rightful}, {runs[kind][0].wrong} wrong"
                        self.notes.append(f"{note}; the script {runs['plain 640'][0].accepted}")
        self.number += 1
        return found


def decoding(console: Console, seconds: float) -> None:
    """What a frame costs before it is a picture in memory: read by the script, and as the product opens a recording."""
    table = Table("file", "plain: CPU ms, median (mean)", "product", "product / plain", title="decoding, for each frame")
    with tempfile.TemporaryDirectory() as folder:
        files: dict[str, Path] = {}
        for size in scenes.SIZES:
            sequence = scenes.sequence(*size, scenes.portraits()[:1], seconds)
            files[f"{size[0]}×{size[1]}, MJPEG"] = motion = Path(folder) / f"{size[1]}.mjpeg"
            motion.write_bytes(b"".join(sequence.jpegs))
            files[f"{size[0]}×{size[1]}, MPEG-4 part 2"] = film = Path(folder) / f"{size[1]}.mp4"
            writer = cv2.VideoWriter(str(film), cv2.VideoWriter.fourcc(*"mp4v"), scenes.FPS, size)
            for image in sequence.images():
                writer.write(image)
            writer.release()
        files["640×480, H.264 (a gate clip)"] = scenes.data_folder() / "clips/asl/again.mkv"
        for name, path in files.items():
            theirs, ours = Spent(), Spent()
            for _ in range(3):
                for _ in theirs.waiting(plain_frames(str(path))):
                    pass
                camera = open_camera("bench", GateConfig(source=str(path)))
                for _ in ours.waiting(frames_of(camera)):
                    pass
                camera.close()
            texts = [f"{spent.median:.1f} ({spent.mean:.1f})" for spent in (theirs, ours)]
            table.add_row(name, *texts, f"{ours.median / theirs.median:.2f}")
    console.print(table)
    console.print("OpenCV brings no encoder for H.264: at the larger sizes MPEG-4 part 2 stands in for it, which is easier to decode.")


def numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--sizes", default=",".join(f"{width}x{height}" for width, height in scenes.SIZES))
    parser.add_argument("--faces", type=numbers, default=[0, 1, 5, 20])
    parser.add_argument("--detectors", default="yunet,haar")
    parser.add_argument("--bundle", default="")
    parser.add_argument("--decode", action="store_true", help="what decoding costs, instead")
    arguments = parser.parse_args()
    console = Console(highlight=False, width=190)
    if arguments.decode:
        decoding(console, arguments.seconds)
        return
    kinds = arguments.detectors.split(",")
    bench = prepared(kinds, arguments.bundle)
    for width, height in (tuple(map(int, size.split("x"))) for size in arguments.sizes.split(",")):
        table = Table("faces", *bench.variants, show_lines=True)
        table.title = (
            f"{width}×{height}: CPU ms of a frame, median (mean, median by the clock); faces found; people accepted of those enrolled"
        )
        ratios = Table("faces", *(f"{kind} / {to}" for kind in kinds for to in ("plain 640", "plain 320", "its limit")))
        ratios.title = f"{width}×{height}: of the CPU time, by medians (by means)"
        for faces in arguments.faces:
            runs, rightful = measured(bench, (width, height), faces, arguments.seconds, arguments.rounds)
            table.add_row(str(faces), *(_cell(_joined(of), rightful, "limit" in name) for name, of in runs.items()))
            beside = ((kind, to) for kind in kinds for to in ("plain 640", "plain 320", f"{kind} limit"))
            ratios.add_row(str(faces), *(f"{ratio(runs, a, b):.2f} ({ratio(runs, a, b, mean=True):.2f})" for a, b in beside))
        console.print(table)
        console.print(ratios)
    console.print(cost.machine())


if __name__ == "__main__":
    main()
