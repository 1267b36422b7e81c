"""Everything that the console has while it runs, in one value that the API's functions get."""

import asyncio
import time
from dataclasses import dataclass, field

from fastapi import Request

from daemon.console.config import ConsoleConfig
from daemon.console.line import Line
from daemon.console.people import People
from daemon.console.places import Places
from daemon.console.sessions import Sessions
from daemon.console.state import State
from daemon.console.streams import Streams
from daemon.console.throttle import Throttle
from daemon.console.users import Users
from daemon.console.visitors import Visitors
from daemon.core.buckets import Bucket


@dataclass(slots=True)
class Odd:
    """Warnings about messages that cannot be used: ten at once, then one in ten seconds."""

    lines: Bucket = field(default_factory=lambda: Bucket(0.1, 10.0))
    unsaid: int = 0
    """How many have had no line since the last one."""


@dataclass(frozen=True, slots=True)
class Console:
    """Used in one loop only."""

    config: ConsoleConfig
    site: str
    users: Users | None
    sessions: Sessions
    throttle: Throttle
    streams: Streams
    state: State
    line: Line
    people: People
    visitors: Visitors
    uploads: Places = field(default_factory=lambda: Places(2, 6))
    """Requests with pictures: each may take 200 MiB."""
    decoders: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(2))
    """Processes for pictures, of all uploads together: each may take 1 GiB."""
    passwords: Places = field(default_factory=lambda: Places(2, 16))
    """Passwords that are checked: each takes 64 MiB."""
    odd: Odd = field(default_factory=Odd)


def console_of(request: Request) -> Console:
    """The console that answers this request."""
    found: Console = request.app.state.console
    return found


def now_s() -> float:
    """Seconds of the clock by which sessions live: it never steps."""
    return time.monotonic()
