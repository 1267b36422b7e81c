"""Commands about many people, over a link that may come and go: each is asked until every gate has answered."""

import re
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import replace
from typing import Protocol
from uuid import UUID

from daemon.client.asked import Answer, NoAnswer
from daemon.client.failures import NO_ANSWER, REFUSED, SAME_VERSION, USAGE, ClientError
from daemon.client.said import LinkState
from daemon.client.seen import Seen
from daemon.core import messages as m
from daemon.core.people.enrol import PHOTO_REASONS
from daemon.ctl.bulk.asks import Ask, Options
from daemon.ctl.bulk.outcomes import LeftOut, Outcome
from daemon.ctl.bulk.pace import Pace

ANSWER_S = 30.0
"""After so long without an answer a command is asked again, with its own id."""
TURN_S = 0.2
_ATTEMPTS = 3
"""How often a command may become too old on its way."""

_LATER = {"too_many": "takes no more commands of this key for now", "not_durable": "cannot write to its disk"}
"""Answers after which the same command is asked again later."""
_OF_THE_SENDER = {
    "unsigned": "give the key with --key",
    "unknown_key": "add the key to the gate's configuration, or use another one",
    "bad_signature": "use the key that the gate knows by this name",
    "not_authorised": "let the key do this in the gate's configuration, or use another one",
    "not_granted": "do without this option, or grant it in the gate's configuration",
    "wrong_topic": SAME_VERSION,
    "malformed": SAME_VERSION,
    "from_the_future": "set the clocks of this machine and of the gate",
    "expires_too_late": "set the clocks of this machine and of the gate",
}
"""Answers that would be the same for everybody, and what to do. They end the run."""

_PICTURE = re.compile(r"image (\d+): ")


class Site(Protocol):
    """What the sending needs of a link."""

    @property
    def state(self) -> LinkState: ...
    def statuses(self) -> dict[str, Seen]: ...
    def ask(self, command: m.Command, gate: str | None = None, timeout_s: float = 10.0) -> "Future[list[Answer]]": ...


class Sending:
    """`gate` is None for all of the site. `told` gets each gate's last word with what was asked; `over` is called when all gates have
    answered about somebody; `say` gets lines about waiting. With `wait_s` seconds without any answer the run ends."""

    def __init__(
        self, site: Site, gate: str | None, namespace: UUID, options: Options, wait_s: float,
        told: Callable[[Ask, Outcome], None], over: Callable[[Ask], None], say: Callable[[str], None],
    ) -> None:  # fmt: skip
        self._site, self._gate, self._namespace, self._options, self._wait_s = site, gate, namespace, options, wait_s
        self._told, self._over, self._say = told, over, say
        self._pace = Pace()
        self._flying: dict[Future[list[Answer]], Ask] = {}
        self._again: deque[Ask] = deque()
        self._open: Counter[str] = Counter()
        self._heard_s = time.monotonic()
        self._waits_for: str | None = None
        self._slowed_by = self._silence = ""

    def run(self, asks: Iterable[Ask]) -> None:
        """Ask all of it, in this order. Raises ClientError when nothing comes any more, and for what ends the run."""
        source: Iterator[Ask] | None = iter(asks)
        self._heard_s = time.monotonic()
        while True:
            while self._is_ready() and self._pace.may_send(time.monotonic(), len(self._flying)):
                if self._again:
                    self._send(self._again.popleft())
                elif source is not None and (ask := next(source, None)) is not None:
                    self._open[ask.row.person] += 1
                    self._heard_s = time.monotonic() if not self._flying else self._heard_s
                    self._send(ask)
                else:
                    source = None
                    break
            if not self._flying and not self._again and source is None:
                return
            if self._flying:
                for future in wait(self._flying, TURN_S, FIRST_COMPLETED).done:
                    self._take(self._flying.pop(future), future)
            else:
                time.sleep(min(TURN_S, self._pace.wait_s(time.monotonic()) or TURN_S / 10))

    def _is_ready(self) -> bool:
        """Whether somebody is there to be asked. Says so when that changes. Raises ClientError when it has not been so for too long."""
        state = self._site.state
        online = {name: seen.online for name, seen in self._site.statuses().items() if self._gate in (None, name)}
        trouble, hint = state.trouble, state.hint
        if state.connected and online and not any(online.values()):
            gone = f"gates {', '.join(sorted(online))} are" if len(online) > 1 else f"gate {', '.join(online)} is"
            trouble, hint = f"{gone} offline", "start the daemon"
        if trouble != self._waits_for:
            self._say(f"{trouble}; waiting up to {self._wait_s:g} s" if trouble is not None else "going on")
            self._waits_for = trouble
        if time.monotonic() - self._heard_s > self._wait_s:
            message = trouble or self._silence or "the gates do not answer"
            raise ClientError(NO_ANSWER, f"{message}, for {self._wait_s:g} s", hint or "see `ostiaryctl status`")
        return trouble is None

    def _send(self, ask: Ask) -> None:
        self._pace.sent(time.monotonic())
        self._flying[self._site.ask(ask.command(self._namespace, self._options), ask.gate, ANSWER_S)] = ask

    def _take(self, ask: Ask, future: "Future[list[Answer]]") -> None:
        try:
            answers, is_over = future.result(), True
        except NoAnswer as error:
            answers = error.answers
            # A gate that is offline gets who is to be shut out from the broker, later; nobody waits for its answer.
            silent = self._site.statuses().keys() - ask.heard - {answer.gate for answer in answers}
            absent = sorted(gate for gate in silent if not self._site.statuses()[gate].online)
            is_over = ask.op == "revoke" and bool(answers) and ask.gate is None and len(absent) == len(silent)
            if not is_over and error.message != self._silence:
                self._say(f"{error.message}; asking again")
                self._silence = error.message
            for gate in absent if is_over else ():
                detail = "the gate is offline, and gets it from the broker when it comes back"
                self._told(ask, Outcome(ask.row.where, ask.row.person, ask.op, gate, "unanswered", "offline", detail))
        except ClientError as error:
            if error.code == REFUSED:
                raise
            if error.code == USAGE:
                self._told(ask, Outcome(ask.row.where, ask.row.person, ask.op, "", "refused", "malformed", error.message))
                self._done_with(ask)
                return
            answers, is_over = [], False
        asked_again = False
        for answer in answers:
            if answer.gate not in ask.heard:
                self._heard_s = time.monotonic()
                asked_again |= self._judge(ask, answer)
        if asked_again:
            return
        if is_over:
            self._done_with(ask)
        else:
            self._again.append(ask)

    def _judge(self, ask: Ask, answer: Answer) -> bool:
        """Take a gate's answer as its last word, or see to it that it is asked again. Returns whether the same ask is on its way again."""
        result, gate = answer.result, answer.gate
        reason, detail = result.reason or "", result.detail or ""
        if result.status != "done" and reason in _LATER:
            self._pace.refused(time.monotonic())
            said = f"gate {gate} {_LATER[reason]}; going slower"
            if said != self._slowed_by:
                self._say(said)
                self._slowed_by = said
            return self._ask_again(ask, gate)
        self._pace.taken()
        if result.status == "refused" and reason in _OF_THE_SENDER:
            raise ClientError(REFUSED, f"gate {gate} refuses all of it ({reason}): {detail}", _OF_THE_SENDER[reason])
        if result.status == "refused" and reason == "expired" and ask.attempt < _ATTEMPTS:
            return self._ask_again(ask, gate, attempt=ask.attempt + 1)
        number = _PICTURE.match(detail)
        if result.status == "refused" and reason in PHOTO_REASONS and number is not None and len(ask.kept()) > 1:
            place = ask.kept()[min(max(int(number[1]), 1), len(ask.kept())) - 1]
            return self._ask_again(ask, gate, refused={**ask.refused, place: LeftOut(ask.files[place], reason, detail)})
        left_out = (*ask.left_out, *(ask.refused[place] for place in sorted(ask.refused)))
        ask.heard.add(gate)
        row = ask.row
        outcome = Outcome(row.where, row.person, ask.op, gate, result.status, result.reason, result.detail, left_out, result.took_ms)
        self._told(ask, outcome)
        return False

    def _ask_again(self, ask: Ask, gate: str, **changed: object) -> bool:
        if ask.gate is not None:
            self._again.append(replace(ask, **changed, heard=set()))  # type: ignore[arg-type]
            return True
        ask.heard.add(gate)
        self._open[ask.row.person] += 1
        self._again.append(replace(ask, gate=gate, heard=set(), **changed))  # type: ignore[arg-type]
        return False

    def _done_with(self, ask: Ask) -> None:
        person = ask.row.person
        self._open[person] -= 1
        if self._open[person] <= 0:
            del self._open[person]
            self._over(ask)
