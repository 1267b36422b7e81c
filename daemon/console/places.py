"""Work that costs much memory or time: so much of it at once, so much waiting, and the rest is asked to come again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from daemon.console.problem import later


class Places:
    """`at_once` may work, `waiting` may wait. Used in one loop only."""

    def __init__(self, at_once: int, waiting: int) -> None:
        self._free, self._left = asyncio.Semaphore(at_once), at_once + waiting

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """A place within the block. Raises Problem where too many wait already."""
        if not self._left:
            raise later("busy", "the console is busy with the same for others", 2, 503)
        self._left -= 1
        try:
            async with self._free:
                yield
        finally:
            self._left += 1
