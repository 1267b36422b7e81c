"""The command `resync`."""

from collections.abc import Callable

from daemon.commands.answers import Answer
from daemon.commands.deferred import Arrival, Deferred, Ended
from daemon.commands.desk import Desk
from daemon.commands.outcome import Done, Enter, Refusal
from daemon.core.messages import Resync
from daemon.serving.roster.roster import Roster


class Resyncing:
    """Answers at once: the status says how far it is. `wall` is UTC seconds; `roster` is None where the box shares nobody."""

    def __init__(self, desk: Desk, roster: Roster | None, wall: Callable[[], float]) -> None:
        self._desk, self._roster, self._wall = desk, roster, wall

    @property
    def holds_others(self) -> bool:
        """Never."""
        return False

    def begin(self, deferred: Deferred[Resync], arrival: Arrival) -> Answer:
        """Begin to read the roster anew, or say why not."""
        return self._desk.settle(deferred, self._done, self._wall())

    def turn(self) -> list[Ended]:
        """Nothing waits."""
        return []

    def _done(self) -> Done:
        roster = self._roster
        if roster is None:
            raise Refusal("no_roster", "this box shares nobody: its configuration has no roster.name")
        if roster.state.edition is None:
            raise Refusal("no_key", "this box has no keys of the site yet: `ostiaryctl roster admit`")
        if roster.keeper is not None:
            raise Refusal("keeper", "this box says what the roster is; what it holds is not thrown away. Send it to the other boxes")

        def write() -> Enter:
            return roster.resync

        return Done("the roster is read anew; the status says when it is complete", write)
