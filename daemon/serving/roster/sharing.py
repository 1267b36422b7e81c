"""The roster in the engine's turn: what it changes takes effect at the gates."""

from collections.abc import Callable, Mapping

from daemon.commands.order import Order
from daemon.core.messages import RosterStatus
from daemon.edges.store import StoreError
from daemon.serving.disk import Disk
from daemon.serving.gate_state import Gate
from daemon.serving.reports import SharingState
from daemon.serving.roster.report import Report
from daemon.serving.roster.roster import Roster
from daemon.serving.rules_in_force import RulesInForce

ADOPT_EVERY_S = 0.25
"""While thousands of people come in, the rules follow the size of the gallery this often: each time they look at everybody."""


class Sharing:
    """Owned by the engine. `clock` never steps (seconds), `wall` is UTC seconds; `forget` erases what is kept of somebody beside the store,
    after a revocation."""

    def __init__(
        self,
        roster: Roster,
        order: Order,
        rules: RulesInForce,
        gates: Mapping[str, Gate],
        disk: Disk,
        clock: Callable[[], float],
        wall: Callable[[], float],
        forget: Callable[[str], object],
    ) -> None:
        self._roster, self._order, self._rules, self._gates, self._disk = roster, order, rules, gates, disk
        self._clock, self._wall, self._forget = clock, wall, forget
        self._report = Report(roster, clock())
        self._adopted_s, self._unadopted = clock(), False

    def whole(self) -> bool:
        """Whether the box holds the whole roster now."""
        try:
            return self._roster.standing(self._now()) == "complete"
        except StoreError:
            return False

    def turn(self) -> bool:
        """Go on a little, while the disk works; whether there is more to do at once."""
        if not self._disk.works:
            return False
        try:
            now_s, now = self._clock(), self._now()
            turned = self._roster.turn(now_s, now)
            self._report.tend(now_s, now)
        except StoreError as error:
            self._rules.close(error.message)
            return False
        for person in turned.barred:
            for gate in self._gates.values():
                gate.keeper.forget(person)
        for person in turned.revoked:
            self._forget(person)
        self._unadopted = self._unadopted or turned.changed
        if self._unadopted and (not turned.more or now_s - self._adopted_s >= ADOPT_EVERY_S):
            self._adopted_s, self._unadopted = now_s, False
            self._rules.adopt()
        return turned.more

    def is_alive(self) -> bool:
        """Whether anything can still arrive."""
        return self._roster.link.is_alive()

    def condition(self) -> SharingState:
        """For the status of the gates."""
        roster, report, now = self._roster, self._report, self._now()
        troubles = report.troubles(self._clock(), now)
        return SharingState(roster.state.down, troubles, report.disputed, roster.standing(now), report.figures, self._status)

    def close(self) -> None:
        """End what goes on aside."""
        self._roster.close()

    def _status(self) -> RosterStatus | None:
        try:
            return self._report.status(self._now())
        except StoreError:
            return None

    def _now(self) -> float:
        """The time (UTC seconds), which does not go back behind what commands have proved."""
        try:
            return self._order.time(self._wall())
        except StoreError:  # the disk fails, and the gate is closed
            return self._wall()
