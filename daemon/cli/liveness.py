"""`ostiaryd liveness`: how often a liveness model is wrong about labelled pictures and recordings."""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from daemon.config import Config, ConfigError, GateConfig, load
from daemon.core.faces.quality import Judge as Faces
from daemon.core.presentations import Presentations, Share
from daemon.core.values import Image
from daemon.edges.camera import CameraError, frames_of, open_camera
from daemon.edges.detector import open_detector
from daemon.edges.liveness import LivenessModel
from daemon.pipeline import opening, steps

CURVE = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98)
TARGETS = (0.1, 0.05, 0.01)


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The command, as `ostiaryd` knows it."""
    liveness = commands.add_parser(
        "liveness",
        help="how often a liveness model is wrong about labelled pictures and recordings",
        description="Measure a liveness model (ISO/IEC 30107-3): APCER by kind of attack, and BPCER. Every picture and every video file is"
        " a presentation, of a video as much is taken as the gate would at its first answer. Nothing is changed.",
    )
    liveness.add_argument("live", type=Path, metavar="LIVE_FOLDER", help="pictures and videos of living faces, with those of its folders")
    liveness.add_argument(
        "spoof",
        type=Path,
        nargs="+",
        metavar="SPOOF_FOLDER",
        help="of attacks; each folder in it is a kind of attack, print or screen, say",
    )
    liveness.add_argument("--config", type=Path, metavar="FILE", help="model, threshold, frames, detector and quality are its")
    liveness.add_argument("--model", metavar="ONNX", help="another liveness model than the configuration's")
    liveness.set_defaults(command=_liveness)


def _liveness(arguments: argparse.Namespace) -> int:
    config = load(arguments.config) if arguments.config else Config(site="liveness", gates={"liveness": GateConfig(source="none")})
    if arguments.model is not None:
        config = replace(config, liveness=replace(config.liveness, model=arguments.model))
    judge = Judge.of(config)
    living = _files(arguments.live)
    kinds = kinds_of(arguments.spoof)
    both = {file.resolve() for file in living} & {file.resolve() for files in kinds.values() for file in files}
    if both:
        raise ConfigError(f"{sorted(both)[0]} is among the living and the attacks", "keep them in different folders")
    console = Console(stderr=True, highlight=False)
    total, done = len(living) + sum(map(len, kinds.values())), 0
    answers: dict[Path, float | None] = {}
    with console.status("") as status:
        for file in (*living, *(file for files in kinds.values() for file in files)):
            status.update(f"{done} of {total}: {file.name}")
            answers[file], done = judge.answer(file), done + 1
    found = Presentations([answers[file] for file in living], {kind: [answers[file] for file in files] for kind, files in kinds.items()})
    if not any(answer is not None for answer in answers.values()):
        raise ConfigError(
            "in none of these pictures is a face seen well enough", "faces must be as large, sharp and frontal as at the gate"
        )
    out = Console(file=sys.stdout, highlight=False, soft_wrap=True, markup=False)
    for part in report(found, config.liveness.threshold):
        out.print(part)
    out.print(f"model {judge.model.id}, {config.liveness.frames} frames of a video; only what these presentations are like is measured")
    return 0


@dataclass(frozen=True, slots=True)
class Judge:
    """What looks at a presentation: a gate's detector, judge of faces and liveness model."""

    model: LivenessModel
    detector: steps.Detector
    faces: Faces
    frames: int

    @classmethod
    def of(cls, config: Config) -> "Judge":
        """Raises ConfigError where no model is configured, LivenessError and DetectorError where one cannot be used."""
        model = opening.liveness_model(config)
        if model is None:
            raise ConfigError("there is no liveness model to measure", "give --model, or a --config with liveness.model")
        size = config.detector.min_face_px
        return cls(model, open_detector(config.detector.kind, size), opening.open_judge(config, size), config.liveness.frames)

    def answer(self, file: Path) -> float | None:
        """The probability of a living face: a picture's, or the mean over a video's first good frames, of its largest face. None where too
        few frames are good, or where the model failed. Raises CameraError for a file that cannot be read."""
        camera = open_camera("liveness", GateConfig(source=str(file)))
        shown: list[Image] = []
        read = 0
        try:
            for frame in frames_of(camera):
                read += 1
                probes = steps.look(frame, self.detector, self.faces, liveness=True).probes
                if probes and probes[0].surroundings is not None:
                    shown.append(probes[0].surroundings)
                if len(shown) == self.frames:
                    break
        finally:
            camera.close()
        if not read:
            raise CameraError(f"{file}: no picture can be read from it", "take it out of the folder")
        if len(shown) < (self.frames if read > 1 else 1):
            return None
        mean = float(np.mean(self.model.lives(np.stack(shown))))
        return mean if 0 <= mean <= 1 else None


def kinds_of(folders: list[Path]) -> dict[str, list[Path]]:
    """The files of each kind of attack: of each folder in these folders, and what lies in these folders themselves. Raises ConfigError."""
    kinds: dict[str, list[Path]] = {}
    for folder in folders:
        files = _files(folder)
        for file in files:
            inside = file.relative_to(folder).parts
            kind = f"{folder.resolve().name}/{inside[0]}" if len(inside) > 1 else folder.resolve().name
            kinds.setdefault(kind, []).append(file)
    return kinds


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder", "give a folder of living faces, then one or more of attacks")
    files = sorted(
        path for path in folder.rglob("*") if path.is_file() and not any(p.startswith(".") for p in path.relative_to(folder).parts)
    )
    if not files:
        raise ConfigError(f"{folder}: nothing in it", "pictures or video files, in folders by kind of attack")
    return files


def report(found: Presentations, threshold: float) -> Iterator[Table | str]:
    """Tables and lines to print."""
    no_living, no_attack = found.unanswered()
    table = Table("", "number", "no answer", "wrong", "rate", "95 %", title=f"at the threshold {threshold:g}", title_justify="left")
    for kind, share in found.apcer(threshold).items():
        table.add_row(f"APCER {kind}", str(no_attack[kind].of), str(no_attack[kind].count), str(share.count), *_said(share))
    living = found.bpcer(threshold)
    table.add_row("BPCER", str(no_living.of), str(no_living.count), str(living.count), *_said(living))
    yield table
    yield f"APCER of the worst kind: {_in_short(found.worst(threshold) or Share(0, 0))}"
    curve = Table("threshold", "APCER of the worst kind", "BPCER", title="over thresholds", title_justify="left")
    for step in sorted({*CURVE, threshold}):
        worst = found.worst(step)
        curve.add_row(f"{step:g}", _in_short(worst or Share(0, 0)), _in_short(found.bpcer(step)))
    yield curve
    for target in TARGETS:
        at = found.threshold_for(target)
        if at is None:
            yield f"BPCER at APCER {target:.0%}: not resolvable with so few attacks of each kind, or by no threshold"
        else:
            chosen = f"at the threshold {at:.4f}, which was chosen on these very attacks"
            yield f"BPCER at APCER {target:.0%}: {_in_short(found.bpcer(at))}, {chosen}"


def _said(share: Share) -> tuple[str, str]:
    return (f"{share.rate:.1%}", f"{share.low:.1%} to {share.high:.1%}") if share.of else ("none", "")


def _in_short(share: Share) -> str:
    return "{} ({})".format(*_said(share)) if share.of else "none"
