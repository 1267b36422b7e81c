"""What pages hear as it happens: server-sent events. The queue of a reader has an end: who reads too slowly has to load anew."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import msgspec

from daemon.console.problem import later
from daemon.console.roles import Role
from daemon.console.sessions import Session

MOST, MOST_OF_ONE = 500, 10
"""Open streams, of everybody and of one session."""
WAITING = 256
"""Events that wait for one reader."""
ALIVE_S = 15.0
"""A comment comes this often, so that neither a proxy nor the browser takes the stream for dead."""


@dataclass(slots=True, eq=False)
class Stream:
    """One reader."""

    session: Session
    queue: asyncio.Queue[bytes | None] = field(default_factory=lambda: asyncio.Queue(WAITING + 2))

    def put(self, event: bytes) -> bool:
        """Whether there was room for it."""
        if self.queue.qsize() >= WAITING:
            return False
        self.queue.put_nowait(event)
        return True

    def close(self, last: bytes | None = None) -> None:
        """Nothing more comes; what waits is dropped, and `last` is told."""
        while not self.queue.empty():
            self.queue.get_nowait()
        if last is not None:
            self.queue.put_nowait(last)
        self.queue.put_nowait(None)


class Streams:
    """All readers. Not for several threads."""

    def __init__(self) -> None:
        self._open: set[Stream] = set()
        self._run, self._number = secrets.token_hex(4), 0
        self._closed = False

    def tell(self, name: str, what: object, need: Role = Role.VIEWER) -> None:
        """Tell everybody who has this role."""
        self._number += 1
        event = self._event(name, what)
        for stream in [*self._open]:
            if stream.session.role >= need and not stream.put(event):
                self._drop(stream, "slow")

    async def follow(self, session: Session, first: list[tuple[str, object]]) -> AsyncIterator[bytes]:
        """The events for one session from now on, after the `first` ones, until the session or the console ends. Raises Problem."""
        stream = self._opened(session)
        try:
            for name, what in first:
                yield self._event(name, what)
            while True:
                try:
                    event = await asyncio.wait_for(stream.queue.get(), ALIVE_S)
                except TimeoutError:
                    event = b": alive\n\n"
                if event is None:
                    return
                yield event
        finally:
            self._forget(stream)

    def watching(self) -> set[Session]:
        """The sessions with an open stream: they are in use."""
        return {stream.session for stream in self._open}

    def room(self, session: Session) -> None:
        """Raises Problem if there is no room for another stream of this session."""
        if self._closed:
            raise later("stopping", "the console is being stopped", 5, 503)
        if len(self._open) >= MOST:
            raise later("busy", "too many pages are open at this console", 30, 503)
        if sum(stream.session is session for stream in self._open) >= MOST_OF_ONE:
            raise later("busy", f"this session has {MOST_OF_ONE} streams open already", 30)

    def close(self) -> None:
        """End all streams, and take no new ones."""
        self._closed = True
        for stream in [*self._open]:
            stream.close()

    def _opened(self, session: Session) -> Stream:
        self.room(session)
        stream = Stream(session)
        session.over.append(stream.close)
        self._open.add(stream)
        return stream

    def _drop(self, stream: Stream, why: str) -> None:
        self._open.discard(stream)
        stream.close(self._event("reload", {"why": why}))

    def _forget(self, stream: Stream) -> None:
        self._open.discard(stream)
        if stream.close in stream.session.over:
            stream.session.over.remove(stream.close)

    def _event(self, name: str, what: object) -> bytes:
        return b"id: %s-%d\nevent: %s\ndata: %s\n\n" % (self._run.encode(), self._number, name.encode(), msgspec.json.encode(what))
