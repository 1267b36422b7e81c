"""What the engine has to hear, kept in order while its mailbox is full."""

from collections import deque
from collections.abc import Callable
from dataclasses import replace

from daemon.core.values import Delivery, Link, Published

Deliver = Callable[[Delivery | Published | Link], bool]
"""Hands something to the engine. False when its mailbox has no room."""


class News:
    """Used by the network thread alone. `deliver` is the mailbox itself, for what need not wait here."""

    def __init__(self, gate: str, deliver: Deliver) -> None:
        self.deliver = deliver
        self._waiting: deque[Published | Link] = deque()
        self._last = Link(gate, False, "")

    def add(self, news: Published | Link) -> None:
        """Put `news` behind all that waits. What only repeats the state of the link is left out."""
        if isinstance(news, Link):
            if news == self._last:
                return
            self._last = news
            if self._waiting and isinstance(before := self._waiting[-1], Link):
                self._waiting.pop()  # only the newest state matters, and so the queue stays short
                news = replace(news, incident=news.incident or before.incident)
        self._waiting.append(news)

    def flush(self) -> bool:
        """Deliver what waits. False when something found no room; it keeps its place, also if `deliver` raises."""
        while self._waiting:
            if not self.deliver(self._waiting[0]):
                return False
            self._waiting.popleft()
        return True
