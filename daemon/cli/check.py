"""`ostiaryd check`: try every part of an installation."""

import argparse
import secrets
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from daemon.cli import audit
from daemon.cli.say import EXIT_FAILED, UNUSABLE
from daemon.config import Config, ConfigError, exposed_passwords, load
from daemon.core import reach, signing
from daemon.core.bundle import Calibration
from daemon.core.counts import counted, persons
from daemon.core.messages import visitor_topic
from daemon.core.status import Reason, Word
from daemon.core.values import Frame, Outgoing, Published
from daemon.edges import clock
from daemon.edges.camera import Camera, CameraError, open_camera
from daemon.edges.detector import open_detector
from daemon.edges.mqtt import MqttLink
from daemon.edges.store import StoreError, gallery_file
from daemon.edges.visibility import open_visibility
from daemon.pipeline import steps
from daemon.pipeline.opening import bundles, liveness_model, open_gallery, open_judge, open_model
from daemon.pipeline.sight import sight_of
from daemon.runtime import clash, packages
from daemon.serving.announced import shared
from daemon.serving.recorders import recording_room

CAMERA_S = 20.0
"""A camera that shows nothing for so long does not work."""
Finding = tuple[str, bool, str]
"""A part, whether it works, and what was seen."""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The command, as `ostiaryd` knows it."""
    parser = commands.add_parser(
        "check", help="try every part of an installation", description="Try every part of an installation, changing nothing."
    )
    parser.add_argument("--config", type=Path, required=True, metavar="FILE")
    parser.add_argument(
        "--local", action="store_true", help="leave out what is not installed here: cameras, brokers, the time service (for upgrades)"
    )
    parser.add_argument("--audit", action="store_true", help="follow the audit chain from end to end, and try nothing else")
    parser.add_argument("--head", type=audit.head, metavar="HEX", help="the same, and it must pass through this head of a status message")
    parser.set_defaults(command=_check)


def _check(arguments: argparse.Namespace) -> int:
    if arguments.audit or arguments.head is not None:
        return audit.follow(load(arguments.config), arguments.head)
    findings = check(load(arguments.config), local=arguments.local)
    show(findings)
    return 0 if all(works for _, works, _ in findings) else EXIT_FAILED


def show(findings: list[Finding]) -> None:
    """Print them, one below the other. In files and pipes each is one line."""
    if not sys.stdout.isatty():
        wide = max(len(part) for part, _, _ in findings)
        for part, works, seen in findings:
            sys.stdout.write(f"{'✓' if works else '✗'}  {part:<{wide}}  {seen}\n")
        return
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for part, works, seen in findings:
        table.add_row(Text("✓", "green") if works else Text("✗", "red"), part, Text(seen))
    Console(highlight=False).print(table)


def why_not(camera: Camera) -> str | None:
    """Why the first try to open a camera has failed, None while it goes on."""
    why, pause, _ = (camera.detail or "").partition(" (next try")
    return why if pause else None


def check(config: Config, cameras: bool = True, local: bool = False) -> list[Finding]:
    """Try every part as `run` would use it, changing nothing. Without `cameras` nothing is asked of them. `local` leaves out all that is
    not installed here, so that a camera that is off does not speak against a new version."""
    findings: list[Finding] = []

    def attempt(part: str, look: Callable[[], str]) -> None:
        try:
            findings.append((part, True, look()))
        except (*UNUSABLE, StoreError) as error:
            findings.append((part, False, f"{error.message}; {error.hint}"))

    def model(path: Path) -> str:
        opened = open_model(config, path)
        rules = steps.rules(config, opened.thresholds(None), 1, "both")
        claims = f", for claims {rules.pair}" if any(gate.mode != "identify" for gate in config.gates.values()) else ""
        single = "no threshold for one template" if rules.threshold is None else f"threshold for one template {rules.threshold}"
        said = f"{opened.id} on {opened.provider}, golden check passed, {single}{claims}"
        card = opened.calibration
        if not isinstance(card, Calibration):
            return said
        targets = config.decision.target_fpir, config.decision.target_fmr
        return f"{said}; {reach.told(card.identities, 'calibration', card.reach, card.strictest_fmr, targets=targets)}"

    def threshold(name: str) -> str:
        """The gate's own, for the people who are enrolled now. Without one the gate stays closed."""
        own, enrolled, here = config.at(name), enrolled_templates(), open_model(config).thresholds(name)
        found = steps.rules(own, here, enrolled, own.gates[name].mode)
        d, among = own.decision, counted(max(1, enrolled), "template")
        wanted = [
            ("searches", found.threshold, f"{among} at FPIR {reach.percent(d.target_fpir)}", own.gates[name].mode != "verify"),
            ("claims", found.pair, f"FMR {reach.percent(d.target_fmr)}", own.gates[name].mode != "identify"),
        ]
        missing = [f"for {what}: {of}" for what, value, of, asked in wanted if asked and value is None]
        if missing:
            closed = "the gate stays closed" if found.closed else "the gate does not do this"
            other_model = isinstance(here, steps.Raised) and here.floor is None
            hint = "set another decision.target_fpir or target_fmr, or use a bundle that was calibrated on more people"
            again = "its site calibration is of another model: measure it again with `ostiaryd calibrate`"
            raise ConfigError(f"none {', none '.join(missing)}, so {closed}", again if other_model else hint)
        return ", ".join(f"{value} for {what}: {of}" for what, value, of, asked in wanted if asked)

    def enrolled_templates() -> int:
        if not gallery_file(Path(config.state_dir)).exists():
            return 0
        store = open_gallery(config, read_only=True)
        try:
            return len(store.templates())
        finally:
            store.close()

    def calibration(name: str) -> str:
        opened = open_model(config)
        here, own = opened.thresholds(name), config.at(name)
        rules = steps.rules(own, here, 1, own.gates[name].mode)
        if rules.adapts is not None and not here.measured_here:
            return f"none for {opened.id}; {Reason(Word.UNCALIBRATED).line()}"
        return "decision.threshold is taken as it is" if own.decision.threshold is not None else f"measured here with {opened.id}"

    def runtime() -> str:
        if (wrong := clash()) is not None:
            raise ConfigError(wrong.message, wrong.hint)
        return ", ".join(packages())

    def detector(here: Config) -> str:
        open_detector(here.detector.kind, here.detector.min_face_px)
        return here.detector.kind

    def visibility() -> str:
        return f"{open_visibility().id}, golden check passed"

    def liveness() -> str:
        model = liveness_model(config)
        if model is None:
            return "no model: a picture of somebody may pass"
        return f"{model.id}, layout checked, " + ("required of everybody" if config.liveness.require else "not required")

    def gallery() -> str:
        if not gallery_file(Path(config.state_dir)).exists():
            return f"{config.state_dir}: none yet, it is made at the first start"
        store = open_gallery(config, read_only=True)
        try:
            found = store.integrity()
            if found != "ok":
                raise StoreError(f"{config.state_dir}: damaged: {found}", "restore a backup")
            templates, people, damage = store.templates(), store.people(), store.damage()
            if damage:
                raise StoreError(
                    f"{config.state_dir}: damaged: {damage} (people {', '.join(map(ascii, damage.people)) or 'none'};"
                    f" templates {', '.join(map(str, damage.templates)) or 'none'})",
                    "revoke and enrol these people again, or restore a backup",
                )
            serving = store.serving()
            held = f"{persons(len(people))}, {counted(len(templates), 'template')}, all open with the key"
            return held + (f"; {serving} serves" if serving else "")
        finally:
            store.close()

    def commands() -> str:
        if config.commands.keys:
            return f"signed by {', '.join(config.commands.keys)}"
        return "not signed: whoever may publish at the broker may ask anything"

    def signing_key() -> str:
        secret = None
        if gallery_file(Path(config.state_dir)).exists():
            store = open_gallery(config, read_only=True)
            try:
                secret = store.signing_key()
            finally:
                store.close()
        if secret is None:
            return "none yet, it is made at the first start"
        return f"the gates sign with {signing.public_text(signing.private_key(secret))}"

    def camera(name: str) -> str:
        opened = open_camera(name, config.gates[name], paced=False)
        try:
            frame, last_s = None, time.monotonic() + CAMERA_S
            while frame is None and time.monotonic() < last_s and why_not(opened) is None:
                frame = opened.read(1.0)
            if frame is None:
                why = why_not(opened) or opened.detail or "no reason given"
                raise CameraError(f"no picture: {why}", "correct that, and check again")
            return f"{frame.image.shape[1]}×{frame.image.shape[0]} pixels{turned(name, frame)}"
        finally:
            opened.close()

    def turned(name: str, frame: Frame) -> str:
        """Advice, if somebody is in view who is upright only when the picture is turned."""
        here = config.at(name)
        size = here.detector.min_face_px
        sight = sight_of(frame, open_detector(here.detector.kind, size), open_judge(here, size))
        if sight.quarters:
            return f"; a face is turned: set gates.{name}.rotate = {(config.gates[name].rotate + 90 * sight.quarters) % 360}"
        return ", an upright face in view" if sight.good else ""

    def time_service() -> str:
        if config.clock.trust == "always":
            return "trusted without asking (clock.trust)"
        if clock.synchronised():
            return "kept in step by a time service"
        if config.schedules:
            raise ConfigError(
                "no time service keeps the clock in step: people with a schedule or a validity are rejected as clock_untrusted",
                'start one (`timedatectl set-ntp true`), or set clock.trust = "always"',
            )
        return "not kept in step by a time service: who is given a validity or a schedule is rejected as clock_untrusted"

    def broker(gate: str) -> str:
        mqtt = config.mqtt.of(gate)
        heard: list[str] = []
        up, taken = threading.Event(), threading.Event()
        refused: list[str] = []

        def deliver(event: object) -> bool:
            if isinstance(event, Published):
                refused.extend([event.error] if event.error is not None else [])
                taken.set()
                return True
            heard.append(str(getattr(event, "detail", "")))
            if getattr(event, "up", False):
                up.set()
            return True

        # A client of its own name, without session or last will: a serving daemon keeps its commands and its status.
        settings, name = replace(mqtt, session_expiry_s=0), f"ostiary:check:{secrets.token_hex(8)}"
        link = MqttLink(settings, site=config.site, gate=gate, client_id=name, password=mqtt.password(), offline=None, deliver=deliver)
        link.start()
        try:
            if not up.wait(5.0):
                raise ConfigError(
                    f"{mqtt.host}:{mqtt.port} does not answer ({heard[-1] if heard else 'no connection'})",
                    "is the broker running, and are user and password right?",
                )
            if shared(config, gate) is not None:
                link.publish(Outgoing(1, visitor_topic(config.site, gate, "check"), b"", retain=True))  # nothing, in the place of nothing
                if not taken.wait(5.0) or refused:
                    raise ConfigError(
                        f"{mqtt.host}:{mqtt.port} takes no pictures of unknown people ({refused[0] if refused else 'no answer'})",
                        "make its access list again with deploy/make-acl.sh",
                    )
            return f"{mqtt.host}:{mqtt.port}, commands subscribed" + (f", as {mqtt.username}" if mqtt.username else "")
        finally:
            link.stop(None, 1.0)

    for part, path in zip(("model", "next model"), bundles(config), strict=False):
        attempt(part, lambda path=path: model(path))  # type: ignore[misc]
    for name in config.gates:
        attempt(f"threshold {name}", lambda name=name: threshold(name))  # type: ignore[misc]
        attempt(f"calibration {name}", lambda name=name: calibration(name))  # type: ignore[misc]
        if (shares := shared(config, name)) is not None:
            findings.append((f"visitors {name}", True, shares))
    attempt("ONNX Runtime", runtime)
    attempt("detector", lambda: detector(config))
    for name, gate in config.gates.items():
        if gate.detector is not None:
            attempt(f"detector {name}", lambda name=name: detector(config.at(name)))  # type: ignore[misc]
    attempt("visibility", visibility)
    attempt("liveness", liveness)
    attempt("gallery", gallery)
    attempt("commands", commands)
    attempt("signing key", signing_key)
    attempt("passwords", lambda: exposed_passwords(config) or "no file that everybody may read")
    for name in config.gates if cameras and not local else ():
        attempt(f"camera {name}", lambda name=name: camera(name))  # type: ignore[misc]
    if not local:
        for name in config.gates:
            attempt(f"broker {name}", lambda name=name: broker(name))  # type: ignore[misc]
        attempt("clock", time_service)
    attempt("recording", lambda: recording_room(config))
    return findings
