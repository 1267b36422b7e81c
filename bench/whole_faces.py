"""What the judgement of whole, upright, open faces prevents and costs: faces in the same gear, cut off, turned, and good frames lost.

    python -m bench.whole_faces [--yunet YUNET.onnx] [--bundle FILE.onnx] [--data FOLDER] [--part gear|cut|turned|lost ...]

Without a part all are measured. *Gear*: one crop of every val person, all with the same drawing, several drawings of each kind; how many
pairs of strangers reach the threshold of ten people, before, and where both must pass. Kinds marked (unseen) taught the model nothing.
*Cut*: whole pictures without their upper part; *turned*: the same pictures without EXIF on their side or head. *Lost*: frames of the gate
clips that pass every other measure, and whole pictures. Pictures are LFW's, of people that no model learned from.
"""

import argparse
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from daemon.config import Config, GateConfig
from daemon.core.boxes import Box, overlap
from daemon.core.bundle import read_card
from daemon.core.faces import quality
from daemon.core.faces.align import align, placing
from daemon.core.faces.visibility import judge
from daemon.core.people.enrol import EnrolError
from daemon.core.values import Face, Image, Quality
from daemon.edges.camera import frames_of, open_camera
from daemon.edges.detector import Detector, open_detector
from daemon.edges.embedder import Embedder, open_embedder
from daemon.edges.visibility import Visibility, open_visibility
from daemon.pipeline.opening import DEFAULT_BUNDLE, open_judge
from daemon.pipeline.photos import enrolment_crop
from daemon.pipeline.steps import limits
from trainer.people import coverings, data

ROOT = Path(__file__).resolve().parent.parent
CONFIG = Config(site="bench", gates={"x": GateConfig(source="none")})
GALLERY, FPIR = 10, 0.01
DRAWINGS = 4
OLD_INSIDE = 0.9


def main() -> None:
    parser = argparse.ArgumentParser("bench.whole_faces")
    folder = Path(os.environ.get("OSTIARY_DATA") or ROOT.parent / "shared" / "data")
    parser.add_argument("--data", type=Path, default=folder)
    parser.add_argument("--yunet", type=Path, help="default: models/yunet.onnx in the data folder")
    parser.add_argument("--bundle", type=Path, default=DEFAULT_BUNDLE)
    parser.add_argument("--part", nargs="*", choices=("gear", "cut", "turned", "lost"), default=("gear", "cut", "turned", "lost"))
    options = parser.parse_args()
    cv2.setNumThreads(1)
    embedder, sees = open_embedder(options.bundle, "cpu", 1), open_visibility()
    threshold = read_card(embedder.session).calibration.threshold(GALLERY, FPIR)
    if threshold is None:
        raise SystemExit(f"the card has no threshold for {GALLERY} templates")
    detectors = {"haar": open_detector("haar"), "yunet": open_detector(str(options.yunet or options.data / "models/yunet.onnx"))}
    console = Console(width=140)
    if "gear" in options.part:
        console.print(gear(options.data, embedder, sees, threshold))
    pictures = list(whole(options.data))
    for name, detector in detectors.items():
        if "cut" in options.part:
            console.print(cut(pictures, name, detector))
        if "turned" in options.part:
            console.print(turned(pictures, name, detector, embedder, threshold))
        if "lost" in options.part:
            console.print(lost(options.data, pictures, name, detector, sees))


def gear(folder: Path, embedder: Embedder, sees: Visibility, threshold: float) -> Table:
    """Strangers in the same gear, and how much of it is seen."""
    crops = data.load(folder / "faces/train.zip")
    val = crops.of(data.split(crops.people, folder / "faces/split.csv")["val"])
    first = np.array([np.flatnonzero(val.person == person)[0] for person in range(len(val.people))])
    pixels = val.pixels[first]
    table = Table("gear", "seen as covered", "strangers over the threshold", "the same, both judged open", title_justify="left")
    families = {"": coverings.LEARNED, " (unseen)": coverings.UNSEEN, " (harmless)": coverings.HARMLESS}
    cases = [("nothing", None)] + [(f"{name}{mark}", kind) for mark, family in families.items() for name, kind in family.items()]
    for name, kind in cases:
        seen, before, after = [], [], []
        for drawing in range(DRAWINGS if kind else 1):
            layer = kind(np.random.default_rng([drawing, 7]), val.pixels[drawing]) if kind else None
            shown = np.stack([layer.over(crop) for crop in pixels]) if layer else pixels
            open_ = np.array([judge(answer) is Quality.OK for answer in sees(shown)])
            vectors = embedder.embed(shown)
            near = (vectors @ vectors.T >= threshold)[np.triu_indices(len(shown), 1)]
            both = (open_[:, None] & open_[None])[np.triu_indices(len(shown), 1)]
            seen.append(1 - open_.mean())
            before.append(near.mean())
            after.append((near & both).mean())
        table.add_row(name, percent(seen), percent(before), percent(after))
    return table


def cut(pictures: list[Image], name: str, detector: Detector) -> Table:
    """How many heads without their upper part can enrol: by the detector's box, as before, and by the crop."""
    table = Table("missing of the crop above", "faces found", "box inside (before)", "crop inside", title=name, title_justify="left")
    for share in (0.0, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35):
        found = before = after = 0
        for image in pictures:
            faces = detector.detect(image)
            if not faces:
                continue
            back = cv2.invertAffineTransform(placing(faces[0]))
            top, high = float(back[1] @ (56.0, 0.0, 1.0)), 112 * float(np.hypot(back[1, 0], back[1, 1]))
            rest = np.ascontiguousarray(image[max(0, round(top + share * high)) :]) if share else image
            seen = detector.detect(rest)
            if not seen:
                continue
            found += 1
            before += box_inside(seen[0], rest) >= OLD_INSIDE
            after += quality.inside(seen[0], (rest.shape[0], rest.shape[1])) >= quality.MIN_INSIDE
        table.add_row(f"{100 * share:.0f} %", str(found), f"{100 * before / found:.1f} %", f"{100 * after / found:.1f} %")
    return table


def box_inside(face: Face, image: Image) -> float:
    return overlap(face.box, Box(0, 0, image.shape[1], image.shape[0])) / face.box.area


def turned(pictures: list[Image], name: str, detector: Detector, embedder: Embedder, threshold: float) -> Table:
    """What becomes of photos on their side or head: enrolled as they lie (before); and enrolled, and then recognised upright, now."""
    faces, bounds = open_judge(CONFIG, 50), limits(CONFIG, 50)
    table = Table("turned by", "enrolled as it lies (before)", "enrolled now", "of these like the upright photo", title=name)
    for quarters in range(4):
        before, now, alike = 0, 0, 0
        for image in pictures:
            lying = np.ascontiguousarray(np.rot90(image, quarters))
            first = detector.detect(lying)
            if first:
                before += quality.judge(first[0], (lying.shape[0], lying.shape[1]), align(lying, first[0]), bounds) is Quality.OK
            crops: list[Image | None] = []
            for picture in (lying, image):
                try:
                    crops.append(enrolment_crop(jpeg(picture), 1, detector, faces))
                except EnrolError:
                    crops.append(None)
            one, other = crops
            if one is not None:
                now += 1
                alike += other is not None and bool(np.prod(embedder.embed(np.stack([one, other])), axis=0).sum() >= threshold)
        total = len(pictures)
        table.add_row(f"{90 * quarters}°", f"{100 * before / total:.1f} %", f"{100 * now / total:.1f} %", f"{alike} of {now}")
    return table


def lost(folder: Path, pictures: list[Image], name: str, detector: Detector, sees: Visibility) -> Table:
    """Faces that pass every measure, and what the model says of them."""
    table = Table("frames", "good before", "not upright", "covered", title=name, title_justify="left")
    sources = {"whole pictures (LFW)": pictures, "gate clips": list(frames(sorted((folder / "clips/asl").glob("*.mkv"))))}
    sources["walking and pause"] = list(frames([folder / "clips/walking-and-pause.gif"]))
    bounds = limits(CONFIG, 40)
    for source, images in sources.items():
        crops = []
        for image in images:
            for face in detector.detect(image):
                crop = align(image, face)
                if quality.judge(face, (image.shape[0], image.shape[1]), crop, bounds) is Quality.OK:
                    crops.append(crop)
        found = [judge(answer) for answer in sees(np.stack(crops))] if crops else []
        table.add_row(source, str(len(found)), *(str(found.count(one)) for one in (Quality.NOT_UPRIGHT, Quality.COVERED)))
    return table


def frames(clips: list[Path]) -> Iterator[Image]:
    """Every second frame."""
    for clip in clips:
        camera = open_camera("bench", GateConfig(source=str(clip)))
        yield from (frame.image for frame in frames_of(camera) if frame.number % 2 == 0)
        camera.close()


def whole(folder: Path) -> Iterator[Image]:
    with zipfile.ZipFile(folder / "frames/lfw_raw.zip") as archive:
        for name in sorted(name for name in archive.namelist() if name.endswith(".jpg")):
            yield np.asarray(cv2.imdecode(np.frombuffer(archive.read(name), np.uint8), cv2.IMREAD_COLOR), np.uint8)


def jpeg(image: NDArray[np.uint8]) -> bytes:
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()


def percent(shares: list[float]) -> str:
    low, mean, high = 100 * min(shares), 100 * float(np.mean(shares)), 100 * max(shares)
    return f"{mean:.1f} %" + (f" ({low:.1f} to {high:.1f})" if len(shares) > 1 else "")


if __name__ == "__main__":
    main()
