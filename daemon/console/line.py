"""The console's link to the gates, for the console's own loop. This is the one place where the link's thread and the loop meet."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from daemon.client.asked import Answer, NoAnswer
from daemon.client.failures import REFUSED, USAGE, ClientError
from daemon.client.link import Link
from daemon.client.room import Room
from daemon.client.said import LinkState, Said
from daemon.console.problem import Problem
from daemon.core import messages as m

MOST_ASKED = 256
"""Commands that wait for their answers at a time."""
WAITING = 100
"""Messages that the loop has not looked at yet. With more, the link's thread waits, and in the end the broker."""


class Line:
    """Asks the gates. Used in one loop only; `Line.hears` is for the link's thread."""

    def __init__(self, link: Link, timeout_s: float) -> None:
        self._link, self._timeout_s = link, timeout_s
        self._places = asyncio.Semaphore(MOST_ASKED)

    @property
    def state(self) -> LinkState:
        """Whether the broker is there."""
        return self._link.state

    def need(self) -> None:
        """Raises Problem while there is no broker."""
        if not (state := self._link.state).connected:
            raise Problem(503, "link_down", state.trouble or "the broker is not there", state.hint or "try again later")

    async def ask(self, command: m.Command, gate: str | None = None) -> list[Answer]:
        """The answer of the gate, or of every gate that is online. Raises NoAnswer, with those that have come, and Problem."""
        self.need()
        async with self._places:
            try:
                return await asyncio.wrap_future(self._link.ask(command, gate, self._timeout_s))
            except NoAnswer:
                raise
            except ClientError as error:
                status, code = {USAGE: (422, "malformed"), REFUSED: (502, "refused")}.get(error.code, (503, "no_answer"))
                raise Problem(status, code, error.message, error.hint) from None

    async def publish(self, topic: str, payload: bytes, *, retain: bool) -> None:
        """Publish something else than a command. Raises Problem."""
        self.need()
        try:
            await asyncio.wrap_future(self._link.publish(topic, payload, retain=retain))
        except ClientError as error:
            raise Problem(503 if error.code != REFUSED else 502, "refused", error.message, error.hint) from None


def hears(loop: asyncio.AbstractEventLoop, heard: Callable[[Said], None], room: Room) -> Callable[[Said], None]:
    """What the link's thread calls: `heard` is called in the loop, in the same order. Once `room` is closed, nobody waits for the loop."""

    def now(said: Said) -> None:
        try:
            heard(said)
        finally:
            room.give(1)

    def call(said: Said) -> None:
        room.take(1)
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(now, said)

    return call
