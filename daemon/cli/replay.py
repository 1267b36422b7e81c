"""`ostiaryd replay`: what would be decided about a recording, whether it is what was expected, and what another policy would change."""

import argparse
import difflib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from daemon.cli.pairs import pairs
from daemon.cli.recordings import gate_of, open_source
from daemon.cli.say import console
from daemon.config import Config, ConfigError, GateConfig, load
from daemon.core.counts import counted, persons
from daemon.core.passages.gatekeeper import Gatekeeper
from daemon.core.passages.rules import Rules
from daemon.core.passages.traces import moments
from daemon.core.people.enrol import EnrolError
from daemon.core.people.policy import forbids
from daemon.core.region import Region, region
from daemon.core.values import Frame, Person, Reason, Vector, View
from daemon.drawing import outputs
from daemon.drawing.page import About
from daemon.drawing.trace import Witness
from daemon.edges.camera import frames_of
from daemon.edges.detector import open_detector
from daemon.edges.gallery import Gallery
from daemon.pipeline import opening, steps
from daemon.pipeline.model import Model
from daemon.pipeline.photos import enrolment_crop
from daemon.pipeline.replay import line, replay

OTHERWISE = 1
"""Exit status where --expect does not hold."""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The command, as `ostiaryd` knows it."""
    again = commands.add_parser(
        "replay",
        help="what would be decided about a recording",
        description="Decide about recorded frames, without broker or clock, and print one JSON line per decision."
        " The gallery is the one of --config (read only), or the photos given with --enroll.",
    )
    again.add_argument("source", help="a video file, a folder of pictures, or sealed recordings (a file, or a gate's folder)")
    again.add_argument("--config", type=Path, metavar="FILE", help="take gallery, model, detector and rules from here")
    again.add_argument(
        "--enroll",
        action="append",
        default=[],
        metavar="PERSON=JPEG",
        help="a person and a photo of them, in a gallery of this replay's own",
    )
    again.add_argument("--bundle", default=None, metavar="ONNX", help="another model than the configuration's")
    again.add_argument("--detector", default=None, metavar="haar|ONNX", help="another detector than the configuration's")
    again.add_argument("--fps", type=float, default=25.0, help="frames per second of a folder of pictures (default 25)")
    again.add_argument(
        "--expect", type=Path, metavar="JSONL", help="print only what differs from these lines; exit with 1 if anything does"
    )
    again.add_argument(
        "--policy", type=Path, metavar="FILE", help="print what another configuration's [decision], [quality] and [liveness] would change"
    )
    outputs.add_options(again)
    again.set_defaults(command=_replay)


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything a replay decides by, but for the frames. `config` is that of the gate (`Config.at`)."""

    config: Config
    gate: str
    model: Model
    gallery: Gallery
    people: dict[str, Person]

    @property
    def region(self) -> Region | None:
        return region(self.config.gates[self.gate].region)

    def rules(self) -> Rules:
        """Raises ConfigError where there is no threshold: a closed gate decides nothing."""
        rules = steps.rules(self.config, self.model.thresholds(self.gate), self.gallery.templates)
        if rules.threshold is None:
            raise ConfigError(
                f"there is no threshold for {counted(self.gallery.templates, 'template')} at an FPIR of {self.config.decision.target_fpir}",
                "set decision.threshold, or a decision.target_fpir that the card resolves",
            )
        return rules

    def about(self, source: str) -> About:
        """What a page says of this replay before it shows anything. Raises ConfigError as `rules` does."""
        rules, config = self.rules(), self.config
        return About(
            recording=Path(source).name,
            gate=self.gate,
            model=f"{self.model.id} on {self.model.provider}",
            detector=Path(config.detector.kind).name,
            people=len(self.people),
            templates=self.gallery.templates,
            rules=rules,
            policy=steps.policy_digest(config, rules, self.region),
            limits=steps.limits(config, config.detector.min_face_px),
            lost_s=config.decision.lost_s,
        )

    def lines(self, source: str, fps: float, witnesses: Sequence[Witness] = ()) -> Iterator[str]:
        """One line of JSON for each decision about a recording, which `witnesses` look on at. Raises ConfigError, CameraError."""
        rules, config = self.rules(), self.config
        schedules = {name: schedule.schedule() for name, schedule in config.schedules.items()}

        def permit(person: str, now: float) -> Reason | None:
            # A recording's times are what they are.
            return forbids(self.people[person], self.gate, now, schedules, clock_trusted=True, whole=True)

        camera = open_source(self.gate, source, fps, config)
        try:
            if camera.live:
                raise ConfigError(
                    f"{source} is a live source", "replay takes a video file or a folder of pictures; `ostiaryd run` serves cameras"
                )
            detector = open_detector(config.detector.kind, config.detector.min_face_px)
            judge = opening.open_judge(config, config.detector.min_face_px)
            keeper = Gatekeeper(self.gate, rules, config.decision.lost_s)
            liveness = opening.liveness_model(config)

            def watch(frame: Frame, view: View, vectors: Sequence[Vector | None]) -> None:
                seen = moments(keeper, view, vectors, self.gallery.search)
                for witness in witnesses:
                    witness.saw(frame, view, seen)

            walked = replay(
                frames_of(camera),
                detector,
                detector.attention(),
                judge,
                self.model.embedder,
                self.gallery,
                keeper,
                permit,
                watch if witnesses else None,
                liveness.lives if liveness is not None else None,
                self.region,
            )
            for decision in walked:
                for witness in witnesses:
                    witness.decided(decision)
                yield line(decision)
        finally:
            camera.close()


def _replay(arguments: argparse.Namespace) -> int:
    outputs.check(arguments)
    expected = _expected(arguments.expect) if arguments.expect is not None else None
    scene = _scene(arguments)
    if arguments.policy is not None:
        other = load(arguments.policy)
        other = other.at(scene.gate) if scene.gate in other.gates else other
        changed = replace(scene, config=replace(scene.config, decision=other.decision, quality=other.quality, liveness=other.liveness))
        before, after = (list(s.lines(arguments.source, arguments.fps)) for s in (scene, changed))
        differs = _differences(before, after, "as it is", str(arguments.policy))
        _say(f"{counted(len(before), 'decision')}, which the other rules {'change as shown' if differs else 'would not change'}")
        return 0
    decided, rules = [], scene.rules()
    with outputs.witnesses(arguments, rules, scene.about(arguments.source)) as witnesses:
        for text in scene.lines(arguments.source, arguments.fps, witnesses):
            decided.append(text)
            if expected is None:
                sys.stdout.write(text + "\n")
                sys.stdout.flush()
    said = counted(len(decided), "decision")
    differs = expected is not None and _differences(expected, decided, str(arguments.expect), "now")
    if expected is not None:
        said += ", not as expected" if differs else ", as expected"
    _say(
        f"{said}; {persons(len(scene.people))}, {counted(scene.gallery.templates, 'template')},"
        f" threshold {rules.threshold:.3f}, model {scene.model.id}"
    )
    return OTHERWISE if differs else 0


def _scene(arguments: argparse.Namespace) -> Scene:
    config = load(arguments.config) if arguments.config else Config(site="replay", gates={"replay": GateConfig(source=arguments.source)})
    if arguments.bundle is not None:
        config = replace(config, model=replace(config.model, bundle=arguments.bundle))
    if not arguments.config and not arguments.enroll:
        raise ConfigError("replay has nobody to recognise", "give --config for the gallery of a daemon, or --enroll PERSON=PHOTO.jpg")
    gate = "replay" if not arguments.config else gate_of(arguments.source, config) or next(iter(config.gates))
    if config.gates[gate].mode == "verify":
        raise ConfigError(
            f"gate {gate} decides by claims (mode = verify), and a recording holds none: there is nothing to replay",
            f"give a configuration with gates.{gate}.mode = identify, and replay what would be decided without claims",
        )
    config = config.at(gate)
    if arguments.detector is not None:
        config = replace(config, detector=replace(config.detector, kind=arguments.detector))
    if arguments.enroll:
        model = opening.open_model(config)
        return Scene(config, gate, model, *_enrolled(arguments.enroll, config, model))
    # The model that serves, unless another was asked for.
    return Scene(config, gate, *opening.open_serving(config, opening.bundles(config)[0] if arguments.bundle is not None else None))


def _expected(path: Path) -> list[str]:
    hint = "give the lines that an earlier `ostiaryd replay` printed"
    try:
        lines = path.read_text("utf-8").splitlines()
    except OSError as error:
        raise ConfigError(f"--expect {path}: {error.strerror}", hint) from None
    except UnicodeDecodeError:
        raise ConfigError(f"--expect {path}: not lines of text", hint) from None
    for number, text in enumerate(lines, 1):
        if not text.startswith("{"):
            raise ConfigError(f"--expect {path}: line {number} is no decision", hint)
    return lines


def _say(line: str) -> None:
    console(stderr=True).print(line)


def _differences(before: list[str], after: list[str], one: str, other: str) -> bool:
    """Print what differs, if anything."""
    differences = list(difflib.unified_diff(before, after, one, other, n=1, lineterm=""))
    sys.stdout.writelines(f"{text}\n" for text in differences)
    return bool(differences)


def _enrolled(texts: list[str], config: Config, model: Model) -> tuple[Gallery, dict[str, Person]]:
    """A gallery of photos, judged as an enrolment command judges them. Raises ConfigError for a photo that would be refused."""
    detector = open_detector(config.detector.kind, config.detector.min_face_px)
    judge = opening.open_judge(config, config.enrolment.min_face_px)
    gallery, people = Gallery(model.dimension), {}
    for number, (person, path) in enumerate(pairs(texts, "--enroll", "PERSON=JPEG"), 1):
        try:
            crop = enrolment_crop(Path(path).read_bytes(), 1, detector, judge)
        except (OSError, EnrolError) as error:
            raise ConfigError(
                f"--enroll {person}={path}: {error}", "a JPEG photo that shows one face, upright, sharp and well lit"
            ) from None
        gallery.add(number, person, model.embedder.embed(np.stack([crop]))[0])
        people[person] = Person(person)
    return gallery, people
