"""`make demo`: a person walks up to a gate, is a stranger, is enrolled, is let in, is suspended, is forgotten. Over MQTT, as in earnest.

Everything but the camera's pictures is real: the daemon is its own process, reads them from a network camera, and is commanded with
`ostiaryctl`'s own code. It shows that the parts work together. It says nothing about accuracy: two people in rendered pictures prove none.
"""

import argparse
import contextlib
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import msgspec
from rich.console import Console

from daemon.core.messages import DecisionMessage, StatusMessage, topic
from daemon.ctl import __main__ as ctl
from daemon.ctl.broker import Address, Broker, Heard
from daemon.ctl.failures import CtlError
from daemon.demo.album import Act, Answer, write_sheet, write_video
from daemon.demo.brokers import NoBroker, Running, broker
from daemon.demo.frames import enrolment_photo
from daemon.demo.stage import Stage

SITE, GATE, PERSON = "demo", "north", "E1001"
READY_S, ANSWER_S = 60.0, 20.0
AFTERWARDS_S = 0.8
EMPTY_S = 2.0
"""How long the corridor is empty between two people: longer than decision.lost_s, so that the passage has ended."""
MARKS = {"accept": "[bold green]✓ accept[/]", "reject": "[bold red]✗ reject[/]", "unknown": "[bold yellow]? unknown[/]"}


class DemoFailed(RuntimeError):
    """The show cannot go on; the message says why."""


@dataclass(slots=True)
class Theatre:
    """What the acts play with: the camera, the ear at the broker, the configuration for ostiaryctl, and what was heard so far."""

    stage: Stage
    ear: Broker
    config: Path
    daemon: "subprocess.Popen[bytes]"
    log: Path
    out: Console
    acts: list[Act] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def main(argv: Sequence[str] | None = None) -> int:
    """Play all acts. Returns 0 when every answer was the expected one, else 1."""
    parser = argparse.ArgumentParser(prog="python -m daemon.demo", description="A rendered person walks up to a gate, over a real broker.")
    parser.add_argument("--broker", choices=("auto", "mosquitto", "amqtt"), default="auto", help="auto: mosquitto if installed, else amqtt")
    parser.add_argument("--out", type=Path, default=Path("demo-out"), metavar="FOLDER", help="where the pictures go (demo-out)")
    args = parser.parse_args(argv)
    out = Console(highlight=False, soft_wrap=True)
    began = time.monotonic()
    try:
        args.out.mkdir(parents=True, exist_ok=True)
        enrolment_photo("hopper")  # renders once before the clock of any act runs, and says at once what is not installed
        with tempfile.TemporaryDirectory(prefix="ostiary-demo-") as folder, broker(args.broker, Path(folder)) as running:
            wrong = _play(running, Path(folder), args.out, out)
    except ImportError as error:
        out.print(f"[red]The demo needs more: {error.name} is not installed.[/]\n  hint: pip install 'ostiary\\[demo]'")
        return 1
    except (DemoFailed, NoBroker, CtlError, OSError) as error:
        out.print(f"[red]The demo cannot go on:[/] {error}")
        return 1
    out.print(f"\nThe pictures: {args.out / 'contact-sheet.png'}, {args.out / 'demo.mp4'}. It took {time.monotonic() - began:.0f} s.")
    for line in wrong:
        out.print(f"[bold red]Not as expected:[/] {line}")
    if not wrong:
        out.print("[bold green]Every answer was as expected.[/] The parts work together; how well faces are told apart is not shown here.")
    return 1 if wrong else 0


def _play(running: Running, folder: Path, album: Path, out: Console) -> list[str]:
    out.print("[bold]Ostiary, from camera to broker.[/] Plumbing, not accuracy: two rendered people prove nothing about recognition.")
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
        process = stack.enter_context(_daemon(config, album / "daemon.log"))
        theatre = Theatre(stage, ear, config, process, album / "daemon.log", out)
        _wait_until_serving(theatre)
        _story(theatre, album)
    write_sheet(album / "contact-sheet.png", stage.taken, theatre.acts)
    write_video(album / "demo.mp4", stage.taken, theatre.acts)
    return theatre.wrong


@contextlib.contextmanager
def _daemon(config: Path, log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    with log.open("wb") as sink:
        process = subprocess.Popen([sys.executable, "-m", "daemon", "run", "--config", str(config)], stdout=sink, stderr=sink)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


# ---- the acts


def _story(theatre: Theatre, album: Path) -> None:
    stage = theatre.stage
    _scene(theatre, "A stranger walks up")
    stage.enter("collins", 1)
    _expect(theatre, "unknown", "no_match", None)

    photo = album / "enrolment.jpg"
    photo.write_bytes(enrolment_photo("collins"))
    _scene(theatre, "She is enrolled from one photo, while she waits")
    _command(theatre, "enroll", PERSON, "--image", str(photo), "--name", "Eileen Collins")
    _expect(theatre, "accept", "matched", PERSON)
    _leave(theatre)

    _scene(theatre, "Another stranger walks up")
    stage.enter("hopper", 2)
    _expect(theatre, "unknown", "no_match", None)
    _leave(theatre)

    _scene(theatre, "The first is suspended, and comes again")
    _command(theatre, "suspend", PERSON)
    stage.enter("collins", 3)
    _expect(theatre, "reject", "suspended", PERSON)

    _scene(theatre, "She is revoked, while she waits")
    _command(theatre, "revoke", PERSON)
    _expect(theatre, "unknown", "no_match", None)
    _leave(theatre)


def _scene(theatre: Theatre, title: str) -> None:
    theatre.out.print(f"[bold]{len(theatre.acts) + 1}  {title}[/]")
    theatre.acts.append(Act(title, time.time(), time.time(), ()))


def _command(theatre: Theatre, *words: str) -> None:
    """The same code as `ostiaryctl` from a shell; it prints its own answer."""
    theatre.out.print(f"   $ ostiaryctl {' '.join(words)}", markup=False)
    if ctl.main([*words, "--config", str(theatre.config), "--gate", GATE, "--timeout", "20"]) != 0:
        raise DemoFailed(f"the gate refused `{words[0]}`; see {theatre.log}")


def _expect(theatre: Theatre, verdict: str, reason: str, person: str | None) -> None:
    """Listen until the expected decision is heard, or too long; then a moment more, because an accept may not follow where none belongs."""
    act = theatre.acts[-1]
    wanted = (verdict, reason, person)
    answers: list[Answer] = []
    met = wrong = False
    deadline = time.monotonic() + ANSWER_S
    while time.monotonic() < deadline and not wrong:
        heard = theatre.ear.next(min(0.2, deadline - time.monotonic()))
        if theatre.daemon.poll() is not None:
            raise DemoFailed(f"the daemon ended; see {theatre.log}")
        if not isinstance(heard, Heard) or not heard.topic.endswith("/decision"):
            continue
        decision = msgspec.json.decode(heard.payload, type=DecisionMessage)
        answers.append(_show(theatre.out, act, decision))
        as_wanted = (decision.decision, decision.reason, decision.person) == wanted
        wrong = decision.decision == "accept" and not as_wanted
        if as_wanted and not met:
            met, deadline = True, time.monotonic() + AFTERWARDS_S
    if wrong or not met:
        said = answers[-1].text if answers else "never answered"
        theatre.wrong.append(f"“{act.title}” should have been {' '.join(filter(None, wanted))}, and was {said}")
        theatre.out.print(f"   [bold red]expected {' '.join(filter(None, wanted))}[/]")
    theatre.acts[-1] = Act(act.title, act.began, time.time(), tuple(answers))


def _show(out: Console, act: Act, decision: DecisionMessage) -> Answer:
    text = " ".join(word for word in (decision.decision, decision.reason, decision.person) if word)
    answer = Answer(_epoch(decision.decided_at), _epoch(decision.captured_at), decision.decision, text)
    now = time.time()
    out.print(
        f"   {MARKS[decision.decision]}  {decision.reason}  {decision.person or ''}"
        f"{'  in place of the earlier answer' if decision.supersedes else ''}"
        f"  [dim]{now - act.began:.1f} s into the act, {(now - answer.captured_at) * 1000:.0f} ms after the picture was taken[/]"
    )
    return answer


def _leave(theatre: Theatre) -> None:
    theatre.stage.leave()
    time.sleep(EMPTY_S)


def _epoch(instant: str) -> float:
    return datetime.fromisoformat(instant).timestamp()


def _wait_until_serving(theatre: Theatre) -> None:
    began = time.monotonic()
    while time.monotonic() - began < READY_S:
        heard = theatre.ear.next(0.5)
        if theatre.daemon.poll() is not None:
            last = theatre.log.read_text("utf-8", "replace").strip().splitlines()[-3:]
            raise DemoFailed("the daemon did not start: " + " / ".join(last))
        if isinstance(heard, Heard) and heard.topic.endswith("/status"):
            status = msgspec.json.decode(heard.payload, type=StatusMessage)
            if status.online and status.camera == "up" and status.state != "closed":
                theatre.out.print(
                    f"The daemon serves after {time.monotonic() - began:.1f} s: model {status.model} on {status.provider}, "
                    f"threshold {status.threshold}, {status.people} people enrolled.\n"
                )
                return
    raise DemoFailed(f"the daemon was not ready within {READY_S:.0f} s; see {theatre.log}")


if __name__ == "__main__":
    sys.exit(main())
