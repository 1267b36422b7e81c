"""`make demo`: a person walks up to a gate, is a stranger, is enrolled, is let in, is suspended, and is forgotten, all over MQTT.

Everything except the camera's pictures is real: the daemon is a process of its own, reads a network camera, and gets its commands from
`ostiaryctl`'s own code. The demo shows that the parts work together. It says nothing about accuracy: two people in rendered pictures
prove none.
"""

import argparse
import contextlib
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from daemon.client.broker import Address, Broker
from daemon.client.failures import ClientError
from daemon.core.messages import topic
from daemon.demo import story
from daemon.demo.album import write_sheet, write_video
from daemon.demo.brokers import NoBroker, Running, broker
from daemon.demo.frames import enrolment_photo
from daemon.demo.stage import Stage
from daemon.demo.theatre import GATE, DemoFailed, Theatre, running_daemon
from daemon.edges.film import FilmError

SITE = "demo"


def main(argv: Sequence[str] | None = None) -> int:
    """Play all acts. Returns 0 when every answer was as expected, else 1."""
    parser = argparse.ArgumentParser(prog="python -m daemon.demo", description="A rendered person walks up to a gate, over a real broker.")
    parser.add_argument("--broker", choices=("auto", "mosquitto", "amqtt"), default="auto", help="auto: mosquitto if installed, else amqtt")
    parser.add_argument("--out", type=Path, default=Path("demo-out"), metavar="FOLDER", help="where the pictures go (demo-out)")
    args = parser.parse_args(argv)
    out = Console(highlight=False, soft_wrap=True)
    began = time.monotonic()
    try:
        args.out.mkdir(parents=True, exist_ok=True)
        enrolment_photo("hopper")  # renders once before any act is timed, and fails at once if a library is not installed
        with tempfile.TemporaryDirectory(prefix="ostiary-demo-") as folder, broker(args.broker, Path(folder)) as running:
            wrong = _play(running, Path(folder), args.out, out)
    except ImportError as error:
        out.print(f"[red]The demo cannot start: {error.name} is not installed.[/]\n  hint: `make demo` in the folder of Ostiary's source")
        return 1
    except (DemoFailed, NoBroker, ClientError, FilmError, OSError) as error:
        out.print(f"[red]The demo cannot go on:[/] {error}")
        return 1
    out.print(f"\nPictures: {args.out / 'contact-sheet.png'}, {args.out / 'demo.mp4'}. The demo took {time.monotonic() - began:.0f} s.")
    for line in wrong:
        out.print(f"[bold red]Not as expected:[/] {line}")
    if not wrong:
        out.print("[bold green]Every answer was as expected.[/] The parts work together. This says nothing about accuracy.")
    return 1 if wrong else 0


def _play(running: Running, folder: Path, album: Path, out: Console) -> list[str]:
    """Play the acts with `folder` for the daemon and `album` for the pictures; gives what was not as expected. Raises DemoFailed."""
    out.print("[bold]Ostiary, from camera to broker.[/] This shows the parts at work, not their accuracy: both people are rendered.")
    out.print(f"Broker: {running.name}, MQTT {running.protocol}. Camera: rendered, served as MJPEG over loopback HTTP. Detector: Haar.\n")
    stage = Stage()
    stage.start()
    with contextlib.ExitStack() as stack:
        stack.callback(stage.close)
        config = folder / "config.toml"
        config.write_text(
            f'site = "{SITE}"\nstate_dir = "state"\n[gates.{GATE}]\nsource = "{stage.url}"\n'
            f'[mqtt]\nport = {running.port}\nprotocol = "{running.protocol}"\n[metrics]\nport = 0\n'
        )
        topics = [topic(SITE, GATE, "decision"), topic(SITE, GATE, "status")]
        ear = stack.enter_context(Broker(Address("127.0.0.1", running.port, running.protocol), topics))
        log = album / "daemon.log"
        theatre = Theatre(stage, ear, config, stack.enter_context(running_daemon(config, log)), log, out)
        theatre.wait_until_serving()
        story.play(theatre, album)
    write_sheet(album / "contact-sheet.png", stage.taken, theatre.acts)
    write_video(album / "demo.mp4", stage.taken, theatre.acts)
    return theatre.wrong


if __name__ == "__main__":
    sys.exit(main())
