"""What a handler says about a command: what it does, or why it is refused. The desk carries it out, in the same way for all commands."""

from collections.abc import Callable
from dataclasses import dataclass

from daemon.core.messages import PersonEntry

Enter = Callable[[], None]
"""Changes memory. Called when the store has the change for good."""


class Refusal(Exception):
    """The command was understood and is not done. Nothing has changed.

    `reason` is a name of the MQTT contract, `detail` a line for people.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason)
        self.reason, self.detail = reason, detail


def unchanged() -> Enter:
    """Writes nothing, and nothing changes in memory either."""
    return lambda: None


@dataclass(frozen=True, slots=True)
class Done:
    """What a command does. Nothing has happened yet.

    `write` changes the store, in the transaction that also stores the answer, and returns the change of memory that follows. It may raise
    StoreError. `barred` is somebody whose earlier evidence no longer counts. `ended` is the pseudonym of somebody whom the store will no
    longer know.
    """

    detail: str | None = None
    write: Callable[[], Enter] = unchanged
    barred: str | None = None
    ended: str | None = None
    people: tuple[PersonEntry, ...] | None = None
    """The answer to a question. It is not kept: the same question may have another answer later, and asking changes nothing."""
    next_after: str | None = None
    reason: str | None = None
    """A name of the MQTT contract, where the command is done and its sender should still look twice."""
