"""`ostiaryd calibrate`: recordings of known people at a gate, or people who walk past it now, to the file that raises its threshold."""

import argparse
import os
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from daemon.cli.guided import guided
from daemon.cli.pairs import pairs
from daemon.cli.recordings import open_source
from daemon.cli.say import console
from daemon.config import Config, ConfigError, load
from daemon.core.counts import counted, persons
from daemon.core.passages.gatekeeper import Gatekeeper
from daemon.core.passages.match import NOBODY
from daemon.core.passages.rules import Rules
from daemon.core.passages.take import NOBODY_NEAR, Take
from daemon.core.region import region
from daemon.core.site import Passing, Site, SiteError, judge
from daemon.core.values import Vector, Verdict, View
from daemon.edges.camera import frames_of
from daemon.edges.detector import open_detector
from daemon.edges.files import FileError, placed
from daemon.pipeline import opening, steps
from daemon.pipeline.model import Model

UNLABELLED = " Nobody has labelled them: the gate itself said whose they are, so look at the pairs below twice."
GUIDED = " They walked past the gate's camera one after the other (`--live`)."


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The command, as `ostiaryd` knows it."""
    calibrate = commands.add_parser(
        "calibrate",
        help="raise a gate's threshold by people who walk past it, now or on recordings",
        description="Look at people who walk past a gate, and write the threshold that keeps them apart into a file to be read and then"
        " named in the gate's decision.site_calibration. Nothing else is changed. Recordings come with the person's id. With --live and"
        " recordings, these are of a usual day, and the gate itself says who passed; whom it does not know counts as a stranger. With"
        " --live alone people walk past the gate's camera now: the command says who, watches, and can be stopped and gone on with.",
    )
    calibrate.add_argument(
        "recording",
        nargs="*",
        metavar="PERSON=VIDEO",
        help="a video file, a folder of pictures or a sealed recording; several of a person are welcome. With --live: without PERSON=",
    )
    calibrate.add_argument("--config", type=Path, required=True, metavar="FILE", help="gallery, model, detector and rules are its")
    calibrate.add_argument(
        "--out", type=Path, metavar="FILE.toml", help="the file to write (calibration-GATE.toml in the configuration's folder)"
    )
    calibrate.add_argument("--gate", metavar="NAME", help="the gate where the recordings were made; needed where several are configured")
    calibrate.add_argument("--live", action="store_true", help="the gate's camera, or recordings that nobody has labelled")
    calibrate.add_argument("--restart", action="store_true", help="with --live alone: forget the walks of an earlier session")
    calibrate.add_argument("--fps", type=float, default=25.0, help="frames per second of a folder of pictures (default 25)")
    calibrate.add_argument("--force", action="store_true", help="write over a file that is there")
    calibrate.set_defaults(command=_calibrate)


def _calibrate(arguments: argparse.Namespace) -> int:
    config = load(arguments.config)
    gate = gate_named(arguments.gate, config)
    out: Path = arguments.out or arguments.config.parent / f"calibration-{gate}.toml"
    config = alone(config, gate)
    if not arguments.recording and not arguments.live:
        raise ConfigError("there is nobody to look at", "give recordings as PERSON=VIDEO, or --live to let people walk past the camera now")
    if arguments.restart and (arguments.recording or not arguments.live):
        raise ConfigError("--restart is about --live without recordings", "leave it out")
    if not arguments.recording:
        if not arguments.force and os.path.lexists(out):
            raise FileError(f"{out}: there is a file already", "it is not written over: give --out another name, or --force")
        found = guided(arguments, config, gate)
        if found is None:
            return 0
        _write(out, arguments.force, text_of(found.site, found.model.id, gate, how=GUIDED), found.site, gate, found.rules)
        found.walks.unlink(missing_ok=True)  # what is known of faces is not kept longer than it serves
        return 0
    site, model, rules = _of_recordings(arguments, config, gate)
    _write(out, arguments.force, text_of(site, model.id, gate, how=UNLABELLED if arguments.live else ""), site, gate, rules)
    return 0


def _write(out: Path, force: bool, text: str, site: Site, gate: str, rules: Rules) -> None:
    with placed(out, force) as file:
        file.write(text.encode())
    card = f"{rules.threshold:.3f}" if rules.threshold is not None else "none"
    table = f'[gates."{gate}".decision]' if "." in gate else f"[gates.{gate}.decision]"
    console().print(
        f"{out}: threshold {site.threshold:.3f} for gate {gate} (the card's for this gallery: {card})."
        f" Read the file, then name it for this gate alone:\n"
        f'  {table}\n  site_calibration = "{out.absolute()}"'
    )


def _of_recordings(arguments: argparse.Namespace, config: Config, gate: str) -> tuple[Site, Model, Rules]:
    model, gallery, people = opening.open_serving(config)
    rules = steps.rules(config, model.calibration, gallery.templates)
    size = config.detector.min_face_px
    detector, faces = open_detector(config.detector.kind, size), opening.open_judge(config, size)
    passings: list[Passing] = []
    where = region(config.gates[gate].region)
    if arguments.live and rules.adapts is None:
        raise ConfigError("--live needs a gate that tells people apart by the card", "leave decision.threshold out of the configuration")
    named = [("", path) for path in arguments.recording] if arguments.live else pairs(arguments.recording, "calibrate", "PERSON=VIDEO")
    for person, path in named:
        camera = open_source("site", path, arguments.fps, config)
        try:
            if camera.live:
                hint = "calibrate takes video files and folders of pictures; --live alone takes the gate's camera"
                raise ConfigError(f"{path} is a live source", hint)
            attention = detector.attention()  # as at the gate
            views = (steps.look(frame, detector, faces, attention=attention, region=where) for frame in frames_of(camera))
            frames = ((view, steps.embed([view], model.embedder)[0]) for view in views)
            if arguments.live:
                passings += walked(frames, rules, config.decision.lost_s, gallery, len(passings))
                continue
            seen = looks(frames, rules, config.decision.lost_s)
        finally:
            camera.close()
        if not len(seen):
            raise ConfigError(f"{path}: no face is seen well for {rules.min_frames} frames", "leave it out, or record it anew")
        passings.append(Passing(person, seen))
    try:
        site = judge(passings, {person: gallery.vectors_of(person) for person in people}, config.decision.target_fpir)
    except SiteError as error:
        raise ConfigError(f"{error}", "record more people at this gate, each walking up to it as usual") from None
    return site, model, rules


def looks(seen: Iterable[tuple[View, list[Vector | None]]], rules: Rules, lost_s: float) -> npt.NDArray[np.float32]:
    """The fused vectors, float32 [looks, D], of the face that a recording shows longest: what a gate with these rules would search for.
    `seen` are its views with their vectors, in order."""
    take = Take(rules, lost_s)
    for view, vectors in seen:
        take.observe(view, vectors)
    return take.looks


def walked(
    seen: Iterable[tuple[View, list[Vector | None]]], rules: Rules, lost_s: float, gallery: steps.Searches, before: int = 0
) -> list[Passing]:
    """Everybody who passes in a recording that nobody has labelled, with the fused vectors that a gate with these rules would search for.

    A passage is whose the adapting gate says. Whoever it does not know is a stranger with a name of their own (`unknown N`, counted from
    `before` on), and the same face has one name. Passages that it calls ambiguous are left out: it cannot tell whose they are.
    """
    gate, look = Gatekeeper("site", rules, lost_s), Gatekeeper("site", replace(rules, threshold=NOBODY_NEAR, adapts=None), lost_s)
    found: dict[int, list[npt.NDArray[np.float32]]] = {}
    said: dict[int, tuple[Verdict, str | None]] = {}
    for view, vectors in seen:
        told = gate.observe(view, vectors, gallery.search, lambda person, now: None, known=gallery)
        look.observe(view, vectors, lambda searched: [NOBODY] * len(searched), lambda person, now: None)
        said |= {decision.passage: (decision.verdict, decision.person) for decision in told}
        for number, passage in look.passages.items():
            if passage.looked_s == view.at_s:
                found.setdefault(number, []).append(passage.evidence.fused)
    said |= {decision.passage: (decision.verdict, decision.person) for decision in gate.finish()}
    passings: list[Passing] = []
    strangers: list[Passing] = []
    for number, fused in sorted(found.items()):
        verdict, person = said.get(number, (Verdict.REJECT, None))
        looked = np.array(fused, np.float32)
        if verdict is Verdict.ACCEPT and person is not None:
            passings.append(Passing(person, looked))
        elif verdict is Verdict.UNKNOWN:
            same = next((other.person for other in strangers if float(other.looks[-1] @ looked[-1]) >= rules.twin), None)
            strangers.append(Passing(same or f"unknown {before + number}", looked))
    return passings + strangers


def alone(config: Config, gate: str) -> Config:
    """The configuration of this gate as if the site had no other, and without a calibration: its file may not be there yet."""
    here = config.at(gate)
    own = replace(config.gates[gate], decision=None, detector=None, quality=None)
    return replace(here, gates={gate: own}, decision=replace(here.decision, site_calibration=""))


def gate_named(gate: str | None, config: Config) -> str:
    """The gate that `--gate` names, or the only one. Raises ConfigError."""
    if gate is None and len(config.gates) == 1:
        return next(iter(config.gates))
    if gate is None or gate not in config.gates:
        problem = "several gates are configured" if gate is None else f"there is no gate {gate}"
        raise ConfigError(f"{problem}, and a calibration holds for one", f"give --gate with one of {', '.join(config.gates)}")
    return gate


def text_of(site: Site, model: str, gate: str, how: str = "", at: datetime | None = None) -> str:
    """The file, for a person to read before a gate uses it."""
    lines = [
        f"# The threshold of gate {gate}, from people who walked past it (`ostiaryd calibrate`). Read it, then name it in the gate's own",
        "# decision.site_calibration. It only ever raises the threshold of a model's card.",
        f"# {counted(site.passages, 'passage')} of {persons(site.people)}.{how}",
        f'gates = ["{gate}"]',
        f"measured_at = {(at or datetime.now(UTC)).isoformat(timespec='seconds')}",
        "[thresholds]",
        f'"{model}" = {site.threshold:.4f}',
        "",
        *(["# Pairs so alike that they were left out, as twins or one person under two ids would be. Are they?"] if site.ignored else []),
        *(f"#   {pair.a} and {pair.b}: {pair.similarity:.3f}" for pair in site.ignored),
        f"# The most alike of those that count are {site.pairs[0].similarity:.3f} alike, and all but a tenth of the rightful passages reach"
        f" {site.limit:.3f};",
        "# the threshold lies between: the fewer people, the nearer to the rightful passages, as a stranger may be more alike.",
        *(f"#   {pair.a} and {pair.b}: {pair.similarity:.3f}" for pair in site.pairs[:5]),
        f"# Nearest to themselves, worst passage first: {', '.join(f'{own:.3f}' for own in site.own[:5])}",
        f"# {sum(own < site.threshold for own in site.own)} of {len(site.own)} rightful passages would not have reached this threshold.",
    ]
    return "\n".join(lines) + "\n"
