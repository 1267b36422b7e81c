"""One command that waits for its answers: to which topics it goes, who has answered, who has not, and what to say then."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from daemon.client.failures import NO_ANSWER, REFUSED, SAME_VERSION, USAGE, ClientError
from daemon.client.keys import Signer
from daemon.client.target import Target
from daemon.core import messages as m

AGAIN_S = 3.0
"""How long to wait for an answer from the narrow topic alone."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One gate's answer, and how long it took."""

    gate: str
    result: m.Result
    took_ms: float


class NoAnswer(ClientError):
    """Not every gate has answered in time; `answers` came from the others."""

    def __init__(self, message: str, hint: str, answers: list[Answer]) -> None:
        super().__init__(NO_ANSWER, message, f"{hint}. The command may still be carried out")
        self.answers = answers


@dataclass(slots=True)
class Asked:
    """A command on its way to a gate, or to all gates of a site.

    It is sent to the narrowest topic, and after AGAIN_S without an answer also to the one that takes every command: over MQTT 3.1.1 nobody
    says that the ACL forbids the narrow one, and an earlier gate does not listen there. A gate carries it out once.
    """

    command: m.Command
    to: Target
    answers: dict[str, Answer] = field(default_factory=dict)

    def messages(self, signer: Signer | None) -> list[tuple[str, bytes]]:
        """The topics to try, narrowest first, with what is published there. Raises ClientError for what a gate would call malformed."""
        payload = _payload(self.command)
        topics = self.to.command_topics(m.op_of(self.command))
        return [(topic, payload if signer is None else signer.sealed(topic, payload)) for topic in topics]

    @property
    def capture_s(self) -> float:
        """How long the gate looks through its camera before it answers (seconds)."""
        capture = self.command.capture if isinstance(self.command, m.Enroll) else None
        return capture.seconds if capture is not None else 0.0

    def hear(self, gate: str, payload: bytes, took_ms: float) -> bool:
        """Take an answer; whether it was one to this command. Raises ClientError for an answer to it that cannot be read."""
        if str(self.command.command_id).encode() not in payload:
            return False  # to somebody else: it costs no more than a look
        try:
            result = msgspec.json.decode(payload, type=m.Result)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise ClientError(REFUSED, f"the gate's answer cannot be read: {error}", SAME_VERSION) from None
        if result.command_id != str(self.command.command_id) or not (self.to.is_every_gate or gate == self.to.gate):
            return False
        self.answers[gate] = Answer(gate, result, took_ms)
        return True

    def is_answered(self, online: Mapping[str, bool]) -> bool:
        """Whether every gate that is asked and online has answered. `online` has the gates that are known."""
        return bool(self.answers) and all(name in self.answers for name, is_on in self._asked(online).items() if is_on)

    def missing(self, online: Mapping[str, bool]) -> list[str]:
        """The gates whose answer has to come. Who is to be shut out may still be let in where nobody answers."""
        every = isinstance(self.command, m.Revoke | m.Suspend)
        return sorted(name for name, is_on in self._asked(online).items() if (is_on or every) and name not in self.answers)

    def sorted_answers(self) -> list[Answer]:
        return [self.answers[name] for name in sorted(self.answers)]

    def failure(self, timeout_s: float, online: Mapping[str, bool], *, forged: bool = False) -> NoAnswer:
        """What to say if the answers have not come in time."""
        asked, gate = self._asked(online), self.to.gate
        if self.answers:
            missing = self.missing(online)
            why = f" in {timeout_s:g} s" if any(asked[name] for name in missing) else ": offline"
            message, hint = f"no answer from {', '.join(missing)}{why}", "the other gates answered; see `ostiaryctl status`"
        elif not asked and forged:
            message = f"no answer in {timeout_s:g} s that is signed with --gate-key"
            hint = (
                "compare --gate-key with the public key that `ostiaryd check` shows at the gate; if it is right, others speak in its name"
            )
        elif not asked:
            # A broker may keep the status from a login without a word.
            message = f"no answer in {timeout_s:g} s" + (" from any gate" if gate == "all" else f", and no status of gate {gate}")
            hint = "check --site and --gate, and whether the broker's ACL lets this login read status and result"
        elif not any(asked.values()):
            what = f"gate {next(iter(asked))} is" if len(asked) == 1 else f"gates {', '.join(sorted(asked))} are"
            message, hint = f"no answer in {timeout_s:g} s: {what} offline", "start the daemon there"
        else:
            message = f"no answer in {timeout_s:g} s"
            hint = "the gate is busy, or does not get its commands, or this login may not read its results; see `ostiaryctl status`"
        return NoAnswer(message, hint, self.sorted_answers())

    def _asked(self, online: Mapping[str, bool]) -> Mapping[str, bool]:
        return online if self.to.is_every_gate else {name: is_on for name, is_on in online.items() if name == self.to.gate}


def _payload(command: m.Command) -> bytes:
    payload = m.encode(command)
    try:
        m.parse_command(payload)
    except m.MessageError as error:
        if error.detail.endswith("`$.person`"):
            message = f"{getattr(command, 'person', None)!r} is not an employee number"
            hint = "use letters, digits and . _ @ -, begin with a letter or digit, 64 characters at most"
            raise ClientError(USAGE, message, hint) from None
        hint = "send fewer or smaller images" if error.reason == "too_large" else "the line above names the field"
        raise ClientError(USAGE, error.detail, hint) from None
    return payload
