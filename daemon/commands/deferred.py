"""Commands that are answered later: each waits for something (pictures, vectors, its gate's consent) while everything else goes on."""

from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from daemon.commands.answers import Answer, Request
from daemon.core.messages import Enroll, Reembed, Resync, Verify
from daemon.core.passages.claims import Mode
from daemon.core.passages.gatekeeper import Gatekeeper
from daemon.core.values import Delivery

C_co = TypeVar("C_co", bound=Enroll | Reembed | Resync | Verify, covariant=True)
C_contra = TypeVar("C_contra", bound=Enroll | Reembed | Resync | Verify, contravariant=True)


@dataclass(frozen=True, slots=True)
class Deferred(Generic[C_co]):
    """A command that is allowed and not answered yet. Nothing has changed."""

    request: Request
    command: C_co


@dataclass(frozen=True, slots=True)
class Arrival:
    """The message that brought a command, and the gate it came to. `shared` says that it was sent to all gates of the site."""

    delivery: Delivery
    keeper: Gatekeeper
    mode: Mode
    shared: bool
    camera_up: bool


@dataclass(frozen=True, slots=True)
class Ended:
    """A deferred command has its answer. `deliveries` are all messages that brought it, perhaps to several gates. `error` is what it failed
    at, if nobody expected that."""

    deliveries: tuple[Delivery, ...]
    answer: Answer
    error: Exception | None = None


class Waits(Protocol[C_contra]):
    """Deals with one kind of deferred commands. While it `holds_others`, the next command is not taken, unless it shuts somebody out: so
    commands are carried out in their order."""

    @property
    def holds_others(self) -> bool: ...

    def begin(self, deferred: Deferred[C_contra], arrival: Arrival) -> Answer | None:
        """Begin to wait, or answer at once. A command that comes again while it waits joins the one under way."""

    def turn(self) -> list[Ended]:
        """Go on a little; the commands that have their answer now. Raises nothing that a command brought about."""
