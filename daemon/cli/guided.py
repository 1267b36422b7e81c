"""`ostiaryd calibrate --live` without recordings: it says who walks past the gate's camera now, and watches."""

import argparse
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.prompt import Confirm, Prompt
from rich.table import Table
from rich.text import Text

from daemon.cli.say import console
from daemon.config import Config, ConfigError
from daemon.core import guide
from daemon.core.counts import counted, persons
from daemon.core.passages.rules import Rules
from daemon.core.passages.take import Take
from daemon.core.region import region
from daemon.core.site import LEAST_PEOPLE, Passing, Site
from daemon.edges.camera import Camera, CameraError, open_camera
from daemon.edges.detector import open_detector
from daemon.edges.walks import FOLDER, PURPOSE, read_walks, write_walks
from daemon.pipeline import opening, steps
from daemon.pipeline.model import Model

NOBODY_S = 60.0
"""A walk is given up when no face was seen well for so long."""
NO_PICTURE_S = 10.0
HELP = "Enter: as proposed · an id: somebody else · s: a stranger · l: list · w: write the file and finish · q: stop, go on another day"


@dataclass(slots=True)
class Session:
    """The walks past one gate, and what is needed to look at more of them."""

    config: Config
    gate: str
    model: Model
    rules: Rules
    enrolled: list[str]
    vectors: Mapping[str, npt.NDArray[np.float32]]
    file: Path
    key: bytes
    out: Console
    passings: list[Passing] = field(default_factory=list)

    def keep(self, passing: Passing) -> None:
        """Add a walk, also to the file that a later session goes on with. Raises FileError."""
        self.passings.append(passing)
        write_walks(self.file, self.key, self.model.id, self.passings)

    @property
    def site(self) -> Site | str:
        """What there is so far would give, or what is missing."""
        return guide.judged(self.passings, self.vectors, self.config.decision.target_fpir)


@dataclass(frozen=True, slots=True)
class Guided:
    """What people's walks gave, by which model and rules; and the file with the walks, to be deleted when the calibration is written."""

    site: Site
    model: Model
    rules: Rules
    walks: Path


def guided(arguments: argparse.Namespace, config: Config, gate: str) -> Guided | None:
    """Let people walk past. None: not finished.

    Raises ConfigError, CameraError, FileError and what opening a gallery raises.
    """
    model, gallery, people = opening.open_serving(config)
    rules = steps.rules(config, model.calibration, gallery.templates)
    if not people:
        raise ConfigError("nobody is enrolled, and a calibration needs people whom the gate knows", "enrol some: `ostiaryctl enroll`")
    store = opening.open_gallery(config, read_only=True)
    try:
        key = store.purpose_key(PURPOSE)
    finally:
        store.close()
    session = Session(
        config, gate, model, rules, sorted(people), {person: gallery.vectors_of(person) for person in people},
        Path(config.state_dir) / FOLDER / f"{gate}.walks", key, console(),
    )  # fmt: skip
    if arguments.restart:
        session.file.unlink(missing_ok=True)
    # Who was revoked meanwhile is not looked at any more.
    before = read_walks(session.file, key, model.id)
    session.passings = [each for each in before if each.person in people or guide.is_stranger(each.person)]
    camera = open_camera(gate, config.gates[gate], start_s=time.monotonic(), start_wall=time.time())
    try:
        return _ask_on(session, camera, before)
    finally:
        camera.close()


def _ask_on(session: Session, camera: Camera, before: list[Passing]) -> Guided | None:
    out, gate = session.out, session.gate
    out.print(Text(f"Calibrating gate {gate}. One person at a time walks up to the camera as usual, stops, and leaves.", "bold"))
    if before:
        out.print(f"Going on with {counted(len(session.passings), 'walk')} of an earlier session (--restart forgets them).")
    out.print(Text(HELP, "dim"))
    while True:
        proposed = guide.next_walker(session.enrolled, session.passings)
        said = _said(f"\nWho walks past now? [{_shown(proposed)}]", out)
        if said in ("q", None):
            out.print(f"Stopped. What was seen is kept, sealed, in {session.file}; the same command goes on with it.")
            _summary(session)
            return None
        if said == "w":
            site = session.site
            if isinstance(site, Site):
                return Guided(site, session.model, session.rules, session.file)
            out.print(Text(f"  not yet: {site}", "yellow"))
            continue
        if said == "l":
            _list(session)
            continue
        person = proposed if not said else guide.STRANGER if said == "s" else said
        if person != guide.STRANGER and person not in session.enrolled:
            out.print(Text(f"  nobody is enrolled as {person}; s is a stranger, l lists who is enrolled", "yellow"))
            continue
        _walk(session, camera, person)
        if camera.state == "ended":
            out.print(Text("The recording is over.", "yellow"))


def _walk(session: Session, camera: Camera, person: str) -> None:
    """Watch one walk, and keep it if it is clear whose it was."""
    out, who = session.out, _shown(person)
    try:
        take = watch(session, camera, who)
    except KeyboardInterrupt:
        out.print("  left out.")
        return
    looks = take.looks
    if not len(looks):
        why = f"{counted(take.good, 'good frame')} of a face" if take.good else "no face was seen well"
        out.print(Text(f"  ✗ {why}, and {session.rules.min_frames} are needed. Come closer, face the camera, and try again.", "yellow"))
        return
    if take.crowded:
        out.print(Text("  ✗ two people were in view: let one walk alone, and try again.", "yellow"))
        return
    is_like = guide.whose(looks, session.vectors, person)
    if not _plausible(session, person, is_like):
        out.print("  left out.")
        return
    name = guide.name_of_stranger(looks, session.passings, session.rules.twin) if person == guide.STRANGER else person
    session.keep(Passing(name, looks))
    alike = f", {is_like.own:.3f} like the enrolled pictures" if is_like.own is not None else ""
    out.print(Text.assemble("  ", ("✓", "green"), f" {name}: {counted(take.good, 'good frame')}, {counted(len(looks), 'look')}{alike}"))
    _summary(session)


def watch(session: Session, camera: Camera, who: str) -> Take:
    """Look through the camera until somebody was looked at and has left, or nobody came, or the recording is over. Raises CameraError."""
    config, rules = session.config, session.rules
    size = config.detector.min_face_px
    detector, judge = open_detector(config.detector.kind, size), opening.open_judge(config, size)
    attention, take = detector.attention(), Take(rules, config.decision.lost_s)
    where = region(config.gates[session.gate].region)
    begun_s: float | None = None
    seen_s = time.monotonic()
    with session.out.status("") as status:
        while True:
            frame = camera.read(0.5)
            if frame is None:
                if camera.state == "ended":
                    return take
                if time.monotonic() - seen_s > NO_PICTURE_S:
                    raise CameraError(
                        f"gate {session.gate}: no picture for {NO_PICTURE_S:.0f} s ({camera.detail or 'no reason given'})",
                        "a camera that serves one program at a time needs the daemon to be stopped; or calibrate by recordings"
                        " (`ostiaryd recordings --export`)",
                    )
                continue
            seen_s, begun_s = time.monotonic(), frame.at_s if begun_s is None else begun_s
            view = steps.look(frame, detector, judge, attention=attention, region=where)
            take.observe(view, steps.embed([view], session.model.embedder)[0])
            looks = len(take.looks)
            enough = " · enough: they may leave" if looks else f" ({rules.min_frames} are needed)"
            status.update(
                f"{who}: {counted(take.faces, 'face')} in view, {counted(take.good, 'good frame')}, {counted(looks, 'look')}{enough}"
            )
            if take.left(frame.at_s) or (not len(take.looks) and frame.at_s - begun_s > NOBODY_S):
                return take


def _plausible(session: Session, person: str, is_like: guide.Resemblance) -> bool:
    """Whether a walk counts as this person's: if it looks like somebody else, somebody must say so."""
    nearest, similarity = is_like.nearest, is_like.similarity
    if person != guide.STRANGER:
        if nearest in (person, None):
            return True
        own = f"{is_like.own:.3f} like {person}" if is_like.own is not None else f"{person} has no picture that this model knows"
        return _agreed(f"  This face is {similarity:.3f} like {nearest}, and {own}. Was it {person}?", False, session.out)
    threshold = session.rules.threshold
    if nearest is None or threshold is None or not similarity >= threshold:
        return True
    return _agreed(
        f"  This face is {similarity:.3f} like {nearest}: the gate could take one for the other. Was it a stranger?", False, session.out
    )


def _summary(session: Session) -> None:
    site, target = session.site, session.config.decision.target_fpir
    walkers = len({passing.person for passing in session.passings})
    have = f"{counted(len(session.passings), 'walk')} of {persons(walkers)}"
    if isinstance(site, str):
        session.out.print(Text(f"  {have}. Not enough yet: {site}", "yellow"))
        return
    missed = sum(own < site.threshold for own in site.own)
    would = f"the threshold would be {site.threshold:.3f}, and {missed} of {counted(len(site.own), 'rightful walk')} would miss it"
    if walkers < LEAST_PEOPLE:
        why = f"It is high because few people have walked: {LEAST_PEOPLE} are the least, thirty are better."
        session.out.print(Text(f"  {have}. Not enough yet: {would}. {why}", "yellow"))
        return
    more = guide.wanted(target) - walkers
    better = f" It may come down with more people: {more} more for decision.target_fpir = {target:g}." if more > 0 else ""
    session.out.print(Text(f"  {have}. Enough: {would}; `w` writes it.{better}", "green"))


def _list(session: Session) -> None:
    done, table = guide.walked(session.passings), Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("person")
    table.add_column("walks", justify="right")
    for person in (*session.enrolled, guide.STRANGER):
        table.add_row(Text(_shown(person)), str(done[person]))
    session.out.print(table)


def _shown(person: str) -> str:
    return "a stranger" if person == guide.STRANGER else person


def _said(text: str, out: Console) -> str | None:
    """What somebody answers; None at the end of the input."""
    try:
        return str(Prompt.ask(Text(text), console=out, default="", show_default=False)).strip()
    except (EOFError, KeyboardInterrupt):
        return None


def _agreed(text: str, default: bool, out: Console) -> bool:
    try:
        return Confirm.ask(Text(text, "yellow"), console=out, default=default)
    except EOFError:
        return default
