"""What the demo's acts play with: a gate's camera, a daemon of its own process, `ostiaryctl`'s code, and an ear at the broker."""

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import msgspec
from rich.console import Console

from daemon.client.broker import Broker, Heard
from daemon.core.counts import persons
from daemon.core.messages import DecisionMessage, StatusMessage
from daemon.ctl import __main__ as ctl
from daemon.demo.album import Act, Answer
from daemon.demo.stage import Stage

GATE = "north"
READY_S, ANSWER_S = 60.0, 20.0
AFTERWARDS_S = 0.8
"""How long an act goes on after the expected answer, so that an accept that must not follow would be heard."""
EMPTY_S = 2.0
"""How long the corridor is empty between two people: longer than decision.lost_s, so that the passage has ended."""
MARKS = {"accept": "[bold green]✓ accept[/]", "reject": "[bold red]✗ reject[/]", "unknown": "[bold yellow]? unknown[/]"}


class DemoFailed(RuntimeError):
    """The demo cannot go on; the message says why."""


@dataclass(slots=True)
class Theatre:
    """One performance. `config` is the daemon's and ostiaryctl's; `acts` and `wrong` are what was heard, and what was not as expected."""

    stage: Stage
    ear: Broker
    config: Path
    daemon: "subprocess.Popen[bytes]"
    log: Path
    out: Console
    acts: list[Act] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def wait_until_serving(self) -> None:
        """Return when the gate says that it serves. Raises DemoFailed."""
        began = time.monotonic()
        while time.monotonic() - began < READY_S:
            heard = self.ear.next(0.5)
            if self.daemon.poll() is not None:
                last = self.log.read_text("utf-8", "replace").strip().splitlines()[-3:]
                raise DemoFailed("the daemon did not start: " + " / ".join(last))
            if isinstance(heard, Heard) and heard.topic.endswith("/status"):
                status = msgspec.json.decode(heard.payload, type=StatusMessage)
                if status.online and status.camera == "up" and status.state != "closed":
                    self.out.print(
                        f"The daemon serves after {time.monotonic() - began:.1f} s: model {status.model} on {status.provider}, "
                        f"threshold {status.threshold}, {persons(status.people)} enrolled.\n"
                    )
                    return
        raise DemoFailed(f"the daemon was not ready within {READY_S:.0f} s; see {self.log}")

    def act(self, title: str) -> None:
        """Begin the next act."""
        self.out.print(f"[bold]{len(self.acts) + 1}  {title}[/]")
        self.acts.append(Act(title, time.time(), time.time(), ()))

    def command(self, *words: str) -> None:
        """Send a command with the code of `ostiaryctl`, which prints its own answer. Raises DemoFailed when the gate refuses it."""
        self.out.print(f"   $ ostiaryctl {' '.join(words)}", markup=False)
        if ctl.main([*words, "--config", str(self.config), "--gate", GATE, "--timeout", "20"]) != 0:
            raise DemoFailed(f"the gate refused `{words[0]}`; see {self.log}")

    def expect(self, verdict: str, reason: str, person: str | None) -> None:
        """Listen until the expected decision is heard and a moment longer, at most ANSWER_S. An accept that was not expected ends the act.
        Raises DemoFailed when the daemon ends."""
        act = self.acts[-1]
        wanted = (verdict, reason, person)
        answers: list[Answer] = []
        met = wrong = False
        deadline = time.monotonic() + ANSWER_S
        while time.monotonic() < deadline and not wrong:
            decision = self._heard(min(0.2, deadline - time.monotonic()))
            if decision is None:
                continue
            answers.append(self._show(act, decision))
            as_wanted = (decision.decision, decision.reason, decision.person) == wanted
            wrong = decision.decision == "accept" and not as_wanted
            if as_wanted and not met:
                met, deadline = True, time.monotonic() + AFTERWARDS_S
        if wrong or not met:
            said = answers[-1].text if answers else "no answer"
            self.wrong.append(f"“{act.title}”: expected {' '.join(filter(None, wanted))}, heard {said}")
            self.out.print(f"   [bold red]expected {' '.join(filter(None, wanted))}[/]")
        self.acts[-1] = Act(act.title, act.began, time.time(), tuple(answers))

    def leave(self) -> None:
        """Whoever is at the gate walks away, and the corridor stays empty until their passage has ended."""
        self.stage.leave()
        time.sleep(EMPTY_S)

    def _heard(self, timeout_s: float) -> DecisionMessage | None:
        """The next decision, or None if none comes in time. Raises DemoFailed when the daemon ends."""
        heard = self.ear.next(timeout_s)
        if self.daemon.poll() is not None:
            raise DemoFailed(f"the daemon ended; see {self.log}")
        if not isinstance(heard, Heard) or not heard.topic.endswith("/decision"):
            return None
        return msgspec.json.decode(heard.payload, type=DecisionMessage)

    def _show(self, act: Act, decision: DecisionMessage) -> Answer:
        text = " ".join(word for word in (decision.decision, decision.reason, decision.person) if word)
        answer = Answer(_epoch(decision.decided_at), _epoch(decision.captured_at), decision.decision, text)
        now = time.time()
        self.out.print(
            f"   {MARKS[decision.decision]}  {decision.reason}  {decision.person or ''}"
            f"{'  (replaces the earlier answer)' if decision.supersedes else ''}"
            f"  [dim]{now - act.began:.1f} s into the act, {(now - answer.captured_at) * 1000:.0f} ms after the picture was taken[/]"
        )
        return answer


@contextlib.contextmanager
def running_daemon(config: Path, log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """`ostiaryd run` as a process of its own for the length of a `with`; what it prints goes to `log`."""
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


def _epoch(instant: str) -> float:
    return datetime.fromisoformat(instant).timestamp()
