"""`ostiaryd setup`: ask what a gate needs, try it, and write its configuration."""

import argparse
import json
import os
import secrets
import shlex
import socket
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
from rich.console import Console
from rich.text import Text

from daemon.cli.check import Finding, check, show, why_not
from daemon.cli.questions import Questions
from daemon.cli.say import EXIT_FAILED, UNUSABLE, console
from daemon.config import Config, ConfigError, load
from daemon.core import key_texts, signing
from daemon.core.counts import counted
from daemon.core.messages import is_topic_segment
from daemon.core.values import Quality
from daemon.drawing.sight import drawn
from daemon.edges.camera import CameraError, open_camera
from daemon.edges.detector import open_detector
from daemon.edges.files import FileError, placed
from daemon.pipeline.opening import open_judge
from daemon.pipeline.sight import Sight, sight_of

USUAL_STATE = Path("/var/lib/ostiary")
FIRST_PICTURE_S, LOOK_S, MOST_FRAMES = 10.0, 5.0, 200
DARK = 50.0
"""Mean grey level of a whole picture below which it may be too dark to find a face."""

WORDS = {
    Quality.OK: "good: the gate can compare it",
    Quality.TOO_SMALL: "too small: come closer, use a larger picture of the camera, or lower detector.min_face_px",
    Quality.BLURRED: "blurred: focus the camera, clean the lens, or shorten its exposure",
    Quality.TOO_DARK: "too dark: add light from the front, or turn the camera away from the window",
    Quality.TOO_BRIGHT: "overexposed: use less direct light, or a shorter exposure",
    Quality.PROFILE: "turned aside: hang the camera where people look, at eye height",
    Quality.CUT: "cut off at the edge: turn the camera, so that faces come to the middle",
    Quality.NOT_UPRIGHT: "not upright: hang the camera straight, or set the gate's rotate",
    Quality.COVERED: "covered: a mask, sunglasses, a scarf or a hand is in the way",
}
NO_CAMERA = "No camera yet? A video file is enough for a first try. `make demo` in the source tree needs neither camera nor broker."
NO_BROKER = "No broker yet? On Debian: sudo apt install mosquitto. Then the defaults fit (127.0.0.1, port 1883)."


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The command, as `ostiaryd` knows it."""
    setup = commands.add_parser(
        "setup",
        help="ask what a gate needs, try it, and write its configuration",
        description="Ask what a gate needs, look through its camera, log in to its broker, and write a configuration. What an option says"
        " is not asked. Nothing is written if something does not work, unless you say so. Passwords go into files of their own.",
    )
    setup.add_argument("--config", type=Path, default=Path("config.toml"), metavar="FILE", help="the file to write (config.toml)")
    setup.add_argument("--site", metavar="NAME", help="the name of the site in MQTT topics")
    setup.add_argument("--gate", metavar="NAME", help="the name of the gate")
    setup.add_argument("--source", metavar="SOURCE", help="a URL without its login, a device, a video file, or a folder of pictures")
    setup.add_argument("--username", metavar="NAME", help="the login at a camera with a URL")
    setup.add_argument("--camera-password-file", metavar="FILE", help="a file whose first line is the camera's password")
    setup.add_argument("--rotate", choices=("0", "90", "180", "270"), help="turn the pictures clockwise (found out, if a face is in view)")
    setup.add_argument("--detector", metavar="KIND", help="`haar`, or the path of a YuNet file")
    setup.add_argument("--state-dir", metavar="DIR", help="where people and templates are kept")
    setup.add_argument("--host", metavar="HOST", help="the broker's host")
    setup.add_argument("--port", metavar="PORT", help="the broker's port")
    setup.add_argument("--ca-file", metavar="PEM", help="the broker's CA certificate; switches TLS on")
    setup.add_argument("--cert-file", metavar="PEM", help="the gate's certificate, where the broker asks for one")
    setup.add_argument("--key-file", metavar="PEM", help="the certificate's key")
    setup.add_argument("--mqtt-username", metavar="NAME", help="the gate's login at the broker")
    setup.add_argument("--mqtt-password-file", metavar="FILE", help="a file whose first line is its password")
    setup.add_argument("--command-key", metavar="NAME", help="make a key of this name that signs commands; `none`: take unsigned ones")
    setup.add_argument("--yes", action="store_true", help="ask nothing: take the default of what no option says")
    setup.add_argument("--anyway", action="store_true", help="write the files also if something does not work")
    setup.add_argument("--force", action="store_true", help="write over files that are there")
    setup.set_defaults(command=_setup)


@dataclass(slots=True)
class Draft:
    """What is to be written: the configuration, and by name the secret files beside it."""

    site: str
    gate: str
    source: str
    rotate: int
    detector: str
    state_dir: Path
    camera: dict[str, str] = field(default_factory=dict)
    mqtt: dict[str, str | int] = field(default_factory=dict)
    key: tuple[str, bytes] | None = None
    files: dict[str, str] = field(default_factory=dict)

    def text(self) -> str:
        """The configuration file."""
        lines = [
            "# Made by `ostiaryd setup`. deploy/config.toml shows every other key with its default. After a change:",
            "# `ostiaryd check --config FILE`",
            f"site = {_toml(self.site)}",
            f"state_dir = {_toml(str(self.state_dir))}",
            "",
            f"[gates.{_toml(self.gate) if '.' in self.gate else self.gate}]",
            f"source = {_toml(self.source)}",
            *(f"{key} = {_toml(value)}" for key, value in self.camera.items()),
            *([f"rotate = {self.rotate}"] if self.rotate else []),
            "",
            "[detector]",
            f"kind = {_toml(self.detector)}",
            "",
            "[mqtt]",
            *(f"{key} = {_toml(value)}" for key, value in self.mqtt.items()),
        ]
        return "\n".join(lines) + "\n" + (f"\n{key_texts.table(*self.key)}\n" if self.key is not None else "")

    @property
    def local(self) -> bool:
        """Whether the broker is on this machine."""
        return self.mqtt["host"] in ("127.0.0.1", "::1", "localhost")

    @property
    def secret_files(self) -> dict[str, str]:
        """The secret files by name, with their content."""
        return self.files | ({f"{self.key[0]}.key": key_texts.secret_line(*self.key)} if self.key is not None else {})


def _toml(value: str | int) -> str:
    """A value as TOML writes it: its strings are JSON's."""
    return json.dumps(value, ensure_ascii=False)


def _setup(arguments: argparse.Namespace) -> int:
    out = console()
    path: Path = arguments.config
    _need_place(path, arguments.force)
    questions = Questions(arguments, arguments.yes, out)
    draft = interview(questions, path)
    questions.need_answers("username", "camera-password-file", "cert-file", "key-file", "mqtt-password-file")
    _need_free([path.parent / name for name in draft.secret_files], arguments.force)
    with tempfile.TemporaryDirectory(prefix="ostiary-setup-") as folder:
        works = attempt(draft, Path(folder), path, out, turn=arguments.rotate is None)
        if not works and not arguments.anyway and not questions.agree("Something does not work. Write the files all the same?"):
            out.print(f"Nothing is written to {path}. Mend what has a ✗ and run this again, or write it all the same with --anyway.")
            return EXIT_FAILED
    _write(draft, path, arguments.force)
    _say_next(draft, path, out)
    return 0 if works else EXIT_FAILED


def interview(questions: Questions, path: Path) -> Draft:
    """Ask everything. Raises ConfigError for an option that cannot be."""
    ask, out = questions.ask, questions.out
    site = ask("site", "Name of the site (part of the MQTT topics)", _name(socket.gethostname()), _wrong_name, needed=True)
    gate = ask("gate", "Name of the gate", "north", _wrong_name, needed=True)
    devices = sorted(map(str, Path("/dev").glob("video[0-9]*")))
    if questions.terminal and not questions.defaults:
        known = f"Cameras at this machine: {', '.join(devices)}." if devices else "No camera is plugged in at this machine."
        out.print(f"{known}\nA network camera has a URL, such as rtsp://192.0.2.7/stream; its login is asked for apart.")
    first = devices[0] if devices else "/dev/video0"
    source = ask("source", "Camera: URL, device, video file or folder", first, _wrong_source, needed=True)
    draft = Draft(site, gate, _absolute(source), int(questions.arguments.rotate or 0), "haar", path)
    if "://" in source and not source.startswith("file:"):
        _camera_login(questions, draft)
    detector = ask("detector", "Detector: haar, or the path of a YuNet file", "haar", _wrong_detector)
    if detector != "haar":
        draft.detector = _absolute(detector)
    draft.state_dir = _state(questions, path)
    _broker(questions, draft)
    local = draft.local
    risk = ": then any program at this machine may enrol" if local else ""
    text = f"Name of a key that signs commands (`none` takes unsigned ones{risk})"
    key = ask("command-key", text, "none" if local else "desk", lambda answer: _wrong_key(answer, local))
    if key != "none":
        draft.key = key, secrets.token_bytes(signing.KEY_BYTES)
    return draft


def _camera_login(questions: Questions, draft: Draft) -> None:
    user = questions.ask("username", "Login at the camera (empty: none)", "")
    if user:
        draft.camera["username"] = user
        _password(
            questions, draft, draft.camera, "camera-password-file", f"camera-password-{draft.gate}", f"Password of {user} at the camera"
        )


def _password(questions: Questions, draft: Draft, section: dict[str, Any], option: str, file: str, text: str) -> None:
    """The password that an option names by its file, or that somebody says and that is written into `file`."""
    given: str | None = getattr(questions.arguments, option.replace("-", "_"))
    questions.asked.add(option)
    if given is not None:
        if (problem := _wrong_file(given)) is not None:
            raise ConfigError(f"--{option}: {problem}", "give a file whose first line is the password")
        section["password_file"] = _absolute(given)
        return
    password = questions.secret(text)
    if not password:
        questions.missing.append(f"--{option}")
    section["password_file"], draft.files[file] = file, f"{password}\n"


def _broker(questions: Questions, draft: Draft) -> None:
    ask = questions.ask
    draft.mqtt["host"] = ask("host", "Broker's host", "127.0.0.1")
    tls = ask("ca-file", "CA certificate of the broker, which switches TLS on (empty: no TLS)", "", _wrong_file)
    draft.mqtt["port"] = int(ask("port", "Broker's port", "8883" if tls else "1883", _wrong_port))
    if tls:
        draft.mqtt["ca_file"] = _absolute(tls)
        certificate = ask("cert-file", "The gate's own certificate (empty: none)", "", _wrong_file)
        if certificate:
            key = ask("key-file", "The certificate's key", "", lambda answer: _wrong_file(answer) if answer else "it is needed")
            draft.mqtt |= {"cert_file": _absolute(certificate), "key_file": _absolute(key)}
    user = ask("mqtt-username", "The gate's login at the broker (empty: none)", "")
    if user:
        draft.mqtt["username"] = user
        _password(questions, draft, draft.mqtt, "mqtt-password-file", "mqtt-password", f"Password of {user} at the broker")


def _state(questions: Questions, path: Path) -> Path:
    usual = USUAL_STATE if os.access(USUAL_STATE, os.W_OK) or os.geteuid() == 0 else path.parent.absolute() / "state"
    return Path(questions.ask("state-dir", "Folder for people and templates", str(usual))).expanduser().absolute()


# ---- trying


def attempt(draft: Draft, folder: Path, path: Path, out: Console, turn: bool) -> bool:
    """Try the draft as it would run, with its files in `folder`. Prints what is seen; returns whether all of it works.

    The test frame is written beside `path`. With `turn`, a turned picture is set right in the draft.
    """
    for name, content in draft.secret_files.items():
        _put(folder / name, content)
    config = _config(draft, folder)
    out.print(f"\nLooking through the camera of gate {draft.gate} for some seconds. Somebody should stand in front of it.")
    seen: Finding
    try:
        sight = look(config, draft.gate)
    except UNUSABLE as error:
        seen = f"camera {draft.gate}", False, f"{error.message}; {error.hint}"
        if "://" not in draft.source:
            out.print(NO_CAMERA)
    else:
        if turn and sight.quarters:
            draft.rotate = (draft.rotate + 90 * sight.quarters) % 360
            out.print(f"The picture is turned: rotate = {draft.rotate} is set for gate {draft.gate}.")
            config = _config(draft, folder)
        seen = f"camera {draft.gate}", True, _show(sight, path.parent / f"{draft.gate}-test-frame.jpg", out)
    out.print("\nTrying every part, as `ostiaryd check` does:")
    findings = [seen, *check(config, cameras=False), _state_finding(draft.state_dir)]
    show(findings)
    if draft.local and any(part.startswith("broker") and not works for part, works, _ in findings):
        out.print(NO_BROKER)
    return all(works for _, works, _ in findings)


def look(config: Config, gate: str) -> Sight:
    """The best that the gate's camera shows within some seconds. Raises CameraError where it shows nothing."""
    size = config.detector.min_face_px
    detector, judge = open_detector(config.detector.kind, size), open_judge(config, size)
    camera = open_camera(gate, config.gates[gate])
    best: Sight | None = None
    try:
        end_s = time.monotonic() + FIRST_PICTURE_S
        for _ in range(MOST_FRAMES):
            frame = camera.read(max(0.0, end_s - time.monotonic()))
            if frame is not None:
                end_s = end_s if best is not None else time.monotonic() + LOOK_S
                sight = sight_of(frame, detector, judge)
                best = sight if best is None or sight.worth > best.worth else best
            over = camera.state == "ended" or time.monotonic() >= end_s or (best is None and why_not(camera) is not None)
            if over or (best is not None and best.good):
                break
        if best is None:
            why = why_not(camera) or camera.detail or f"none came in {FIRST_PICTURE_S:.0f} s; is another program using it?"
            raise CameraError(f"no picture: {why}", "correct that, and run this again")
        return best
    finally:
        camera.close()


def _show(sight: Sight, file: Path, out: Console) -> str:
    """Print what is seen, and write the test frame. Returns it in one line."""
    height, width = sight.image.shape[:2]
    seen = f"{width}×{height} pixels, {counted(len(sight.view.probes), 'face')} in view"
    out.print(f"{seen}:")
    for number, probe in enumerate(sight.view.probes, 1):
        mark, style = ("✓", "green") if probe.quality is Quality.OK else ("!", "yellow")
        out.print(Text.assemble("  ", (mark, style), f" face {number}: {probe.face.box.side:.0f} px, {WORDS[probe.quality]}"))
    if not sight.view.probes:
        dark = float(cv2.cvtColor(sight.image, cv2.COLOR_BGR2GRAY).mean()) < DARK
        why = "the picture is dark: add light" if dark else "nobody is in view, or too far away: stand two metres from the camera"
        out.print(f"  ! {why}")
        out.print("    A gate can be set up without a face; look at the picture, and run `ostiaryd check` with somebody in view.")
    try:
        with placed(file, force=True) as opened:
            opened.write(cv2.imencode(".jpg", drawn(sight.image, sight.view.probes), [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes())
    except FileError as error:
        out.print(f"  ! {error.message}")
    else:
        out.print(f"Look at the test frame, {file}. It may show people: delete it afterwards.")
    return seen


def _config(draft: Draft, folder: Path) -> Config:
    """The draft as the daemon would read it. Raises ConfigError."""
    trial = folder / "config.toml"
    trial.write_text(draft.text(), "utf-8")
    try:
        return load(trial)
    except ConfigError as error:
        raise ConfigError(error.message.removeprefix(f"{trial}: "), error.hint) from None


def _state_finding(folder: Path) -> tuple[str, bool, str]:
    """Whether the daemon could keep its people there, as far as this user can tell."""
    there = next(each for each in (folder, *folder.parents) if each.exists())
    if os.access(there, os.W_OK):
        return "state", True, f"{folder}: {'there' if there == folder else 'is made at the first start'}"
    return "state", False, f"{folder}: this user may not write there; give another --state-dir, or run this as the daemon's user"


# ---- writing


def _need_place(path: Path, force: bool) -> None:
    if path.is_dir():
        raise ConfigError(f"{path} is a folder", "give the path of the file, for instance --config config.toml")
    if not os.access(path.parent, os.W_OK):
        raise ConfigError(f"{path.parent}: this user may not write there, or it does not exist", "give another --config, or use sudo")
    _need_free([path], force)


def _need_free(files: list[Path], force: bool) -> None:
    for file in files:
        if not force and os.path.lexists(file):
            raise FileError(f"{file}: there is a file already", "it is not written over: give another --config, or --force")


def _write(draft: Draft, path: Path, force: bool) -> None:
    """Secrets first: a configuration that is there names files that are there. Raises FileError."""
    for name, content in draft.secret_files.items():
        with placed(path.parent / name, force) as file:
            file.write(content.encode())
    with placed(path, force) as file:
        file.write(draft.text().encode())
        os.fchmod(file.fileno(), 0o640)
    if draft.state_dir.exists() and os.geteuid() == 0:
        owner = draft.state_dir.stat()
        for name in draft.files:
            os.chown(path.parent / name, owner.st_uid, owner.st_gid)  # whom the state belongs to is the daemon
        os.chown(path, 0, owner.st_gid)


def _put(path: Path, content: str) -> None:
    with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8") as file:
        file.write(content)


def _say_next(draft: Draft, path: Path, out: Console) -> None:
    beside = f", and beside it {', '.join(draft.secret_files)} (mode 0600)" if draft.secret_files else ""
    config = shlex.quote(str(path))
    sign = f" --key {shlex.quote(str(path.parent / draft.key[0]))}.key" if draft.key is not None else ""
    out.print(f"\n{path} is written{beside}. Next:\n")
    user = draft.mqtt.get("username")
    login = " --username LOGIN --password-file FILE" if user else ""
    for command in (
        f"ostiaryd run --config {config}",
        f"ostiaryctl --config {config}{login} enroll E1 --image photo.jpg{sign}",
        f"ostiaryctl --config {config}{login} watch",
    ):
        out.print(f"    {command}", soft_wrap=True)  # to be copied
    if user:
        out.print(
            f"\nLOGIN is who may ask at your broker, such as `admin` of deploy/make-logins.sh, and FILE has its password. {user} is the"
            " gate's own login and, with the ACL of deploy/, only answers. ~/.config/ostiary/client.toml can hold both"
            " (deploy/README.md, step 5)."
        )
    if draft.key is not None:
        out.print(f"\n{draft.key[0]}.key is for the people who enrol: move it to their machine, and keep none of it here.")


# ---- answers


def _name(text: str) -> str:
    first = text.split(".")[0]
    return first if _wrong_name(first) is None else "site"


def _wrong_name(answer: str) -> str | None:
    if is_topic_segment(answer) and answer not in ("all", "roster"):
        return None
    return f"{answer!r} cannot be part of an MQTT topic: use 1 to 64 letters, digits, '.', '_' and '-', and not 'all'"


def _wrong_source(answer: str) -> str | None:
    if not answer:
        return "it is needed"
    if "://" in answer:
        # Never print it: what stands before the @ is somebody's password.
        return "the URL holds a login (@): give it without; the login is a question of its own (--username)" if "@" in answer else None
    if answer.startswith("/dev/") or Path(answer).expanduser().exists():
        return None
    return f"{answer} does not exist"


def _wrong_detector(answer: str) -> str | None:
    return None if answer == "haar" or Path(answer).expanduser().is_file() else f"{answer} is neither `haar` nor a file"


def _wrong_file(answer: str) -> str | None:
    return None if not answer or Path(answer).expanduser().is_file() else f"{answer} is not a file"


def _wrong_port(answer: str) -> str | None:
    return None if answer.isdecimal() and 0 < int(answer) < 65_536 else f"{answer} is not a port number (1 to 65535)"


def _wrong_key(answer: str, local: bool) -> str | None:
    if answer == "none" and not local:
        return "the broker is not on this machine, so commands must be signed: name a key"
    return None if is_topic_segment(answer) else f"{answer!r} is not the name of a key: use letters, digits, '.', '_' and '-'"


def _absolute(path: str) -> str:
    return path if "://" in path or path.startswith("/dev/") else str(Path(path).expanduser().absolute())
