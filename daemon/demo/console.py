"""`make console-demo`: a broker, two gates with rendered people who come and go, and the console, on this machine, until Ctrl-C.

Everything except the cameras' pictures is real. The people are strangers to the gates until somebody enrols them at the console; a photo of
each is written for that. It says nothing about accuracy: two people in rendered pictures prove none.
"""

import argparse
import contextlib
import secrets
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from daemon.client.failures import ClientError
from daemon.config import ConfigError
from daemon.console import users
from daemon.console.config import read_settings
from daemon.console.roles import WORDS
from daemon.console.server import Served
from daemon.core import key_texts, sealed_box
from daemon.demo.brokers import NoBroker, Running, broker
from daemon.demo.frames import FPS, enrolment_photo
from daemon.demo.stage import Stage
from daemon.demo.theatre import running_daemon

SITE = "demo"
GATES = ("north", "south")
PHOTOS = {"collins": "eileen-collins.jpg", "hopper": "grace-hopper.jpg"}
THERE_S, EMPTY_S = 7.0, 3.0
"""How long somebody walks and stands at a gate, and how long it is empty until the next one comes."""
SHARED_MIN = 10


@dataclass(frozen=True, slots=True)
class Made:
    """What is running: the console, everybody's password, and the cameras by their gates."""

    served: Served
    passwords: dict[str, str]
    stages: dict[str, Stage]


def main(argv: Sequence[str] | None = None) -> int:
    """Run until Ctrl-C. Returns 0, or 1 when something cannot start."""
    parser = argparse.ArgumentParser(prog="python -m daemon.demo.console", description="The console, with a broker and two gates.")
    parser.add_argument("--broker", choices=("auto", "mosquitto", "amqtt"), default="auto", help="auto: mosquitto if installed, else amqtt")
    parser.add_argument("--out", type=Path, default=Path("demo-out"), metavar="FOLDER", help="where photos and logs go (demo-out)")
    parser.add_argument("--port", type=int, default=0, help="the console's port (a free one)")
    args = parser.parse_args(argv)
    out = Console(highlight=False, soft_wrap=True)
    for told in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(told, signal.default_int_handler)  # as Ctrl-C: the broker and the daemon end too
    try:
        args.out.mkdir(parents=True, exist_ok=True)
        for name, file in PHOTOS.items():
            (args.out / file).write_bytes(enrolment_photo(name))
        with (
            tempfile.TemporaryDirectory(prefix="ostiary-demo-") as folder,
            broker(args.broker, Path(folder)) as running,
            playing(running, Path(folder), args.out / "daemon.log", args.port) as made,
        ):
            _tell(made, running, args.out, out)
            with contextlib.suppress(KeyboardInterrupt):
                made.served.run()
    except ImportError as error:
        out.print(
            f"[red]The demo cannot start: {error.name} is not installed.[/]\n  hint: `make console-demo` in the folder of Ostiary's source"
        )
        return 1
    except (NoBroker, ClientError, ConfigError, OSError) as error:
        out.print(f"[red]The demo cannot start:[/] {error}")
        return 1
    except KeyboardInterrupt:
        pass  # pressed before the console ran
    out.print("\nEverything has ended, and what was enrolled is gone.")
    return 0


@contextlib.contextmanager
def playing(running: Running, folder: Path, log: Path, port: int = 0, gates: Sequence[str] = GATES, people: bool = True) -> Iterator[Made]:
    """Cameras, a daemon and a console that waits to be run, for the length of a `with`. Without `people` nobody comes by themselves."""
    with contextlib.ExitStack() as stack:
        stages = {gate: Stage(keep=2 * FPS) for gate in gates}
        for stage in stages.values():
            stage.start()
            stack.callback(stage.close)
        served, passwords, opener = console(running, folder, port)
        config = folder / "config.toml"
        unknown = f'[decision]\nshare_unknown = {SHARED_MIN}\nshare_unknown_to = "{opener}"\n' if opener else ""
        cameras = "".join(f'[gates.{gate}]\nsource = "{stage.url}"\n' for gate, stage in stages.items())
        config.write_text(
            f'site = "{SITE}"\nstate_dir = "state"\n{cameras}'
            f'[commands]\ngrants = ["capture", "force", "replace"]\n[clock]\ntrust = "always"\n'
            f'[mqtt]\nport = {running.port}\nprotocol = "{running.protocol}"\n[metrics]\nport = 0\n{unknown}'
        )
        stack.enter_context(running_daemon(config, log))
        if people:
            stack.enter_context(_visits(list(stages.values())))
        yield Made(served, passwords, stages)


def console(running: Running, folder: Path, port: int = 0) -> tuple[Served, dict[str, str], str | None]:
    """A console at this broker, the new password of one user of each role, and the public key that pictures of unknown people are to be
    sealed to; None with MQTT 3.1.1, where no message ends by itself. Raises ConfigError."""
    settings, opener, shown = folder / "console.toml", None, ""
    if running.protocol == "5":
        secret = secrets.token_bytes(sealed_box.KEY_BYTES)
        opener, shown = sealed_box.public_text(sealed_box.private_key(secret)), 'visitor_key = "visitors.key"\n'
        key = folder / "visitors.key"
        key.touch(0o600)
        key.write_text(key_texts.secret_line("console", secret, visitors=True))
    settings.write_text(
        f'site = "{SITE}"\nport = {running.port}\nprotocol = "{running.protocol}"\n[console]\nport = {port}\nusers = "users.json"\n{shown}'
    )
    passwords: dict[str, str] = {role: secrets.token_urlsafe(9) for role in WORDS}
    for role, password in passwords.items():
        users.add(folder / "users.json", role, role, password)
    return Served(read_settings(settings)), passwords, opener


@contextlib.contextmanager
def _visits(stages: Sequence[Stage]) -> Iterator[None]:
    """People come to the gates in turns and leave again."""
    over = threading.Event()

    def go() -> None:
        for number in range(sys.maxsize):
            stage, who = stages[number % len(stages)], list(PHOTOS)[number // len(stages) % len(PHOTOS)]
            stage.enter(who, number)
            if over.wait(THERE_S):
                return
            stage.leave()
            if over.wait(EMPTY_S):
                return

    thread = threading.Thread(target=go, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(5)


def _tell(made: Made, running: Running, album: Path, out: Console) -> None:
    """Say where the console is, who may sign in, and what to try."""
    out.print(f"\n[bold]The console: {made.served.address}[/]   (Ctrl-C ends the demo)\n")
    table = Table("user", "password", "may", box=None, header_style="dim", pad_edge=False)
    for role, what in (("viewer", "watch"), ("guard", "also see people, and suspend"), ("desk", "also enrol, change and revoke"),
                       ("admin", "also enrol against the gate's doubts")):  # fmt: skip
        table.add_row(role, f"[bold]{made.passwords[role]}[/]", what)
    out.print(table)
    photos = " and ".join(str(album / file) for file in PHOTOS.values())
    out.print(f"\nTwo people walk up to the gates {' and '.join(GATES)} in turns. Nobody knows them yet: enrol them from")
    out.print(f"{photos}, and see them accepted on the live page.")
    out.print(f"Broker: {running.name}. The daemon's log: {album / 'daemon.log'}. Passwords are new for every run.\n")


if __name__ == "__main__":
    sys.exit(main())
