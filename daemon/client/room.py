"""Room for what waits between two threads: where there is none, the giver waits, and in the end the broker does."""

from threading import Condition


class Room:
    """Some of a thing, such as bytes. What is larger than all of it gets in when nothing else is there. Any thread may call it."""

    def __init__(self, most: int) -> None:
        self._most, self._taken, self._closed = most, 0, False
        self._changed = Condition()

    def take(self, much: int) -> None:
        """Wait until there is room for so much, or the room is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or not self._taken or self._taken + much <= self._most)
            self._taken += much

    def give(self, much: int) -> None:
        """Give back what was taken."""
        with self._changed:
            self._taken -= much
            self._changed.notify_all()

    def close(self) -> None:
        """Nobody waits any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
