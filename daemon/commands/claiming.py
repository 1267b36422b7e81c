"""Claims on their way from command to gate: whether the gate takes one, and for how long. They live in memory: a restart forgets them."""

from collections.abc import Callable

from daemon.commands.answers import Answer
from daemon.commands.deferred import Arrival, Deferred, Ended
from daemon.commands.desk import Desk
from daemon.commands.handlers import known
from daemon.commands.order import Order
from daemon.commands.outcome import Done, Enter, Refusal
from daemon.core.messages import Verify, utc
from daemon.core.passages.claims import seconds_left
from daemon.pipeline.serving import Current


class Claiming:
    """Asks the gate. `clock` is the clock of the frames (seconds), `wall` is UTC seconds."""

    def __init__(self, desk: Desk, order: Order, current: Current, clock: Callable[[], float], wall: Callable[[], float]) -> None:
        self._desk, self._order, self._current, self._clock, self._wall = desk, order, current, clock, wall

    @property
    def holds_others(self) -> bool:
        """Never: everything else goes on."""
        return False

    def begin(self, deferred: Deferred[Verify], arrival: Arrival) -> Answer:
        """Let a claim stand at its gate, or say why not.

        It stands only when its answer is stored, and therefore once, however often the command is delivered.
        """
        now = self._wall()
        return self._desk.settle(deferred, lambda: self._admit(deferred.command, arrival, now), now)

    def turn(self) -> list[Ended]:
        """A gate answers at once, so nothing ever waits."""
        return []

    def _admit(self, command: Verify, arrival: Arrival, now: float) -> Done:
        gate, here = arrival.keeper.gate, self._order.time(now)
        known(self._current, command.person)
        if arrival.shared:
            raise Refusal("not_for_all", "a claim is for one gate: send it on that gate's own command topic")
        if arrival.mode == "identify":
            raise Refusal("no_claims", f"gate {gate} only identifies; set gates.{gate}.mode to verify or both")
        if self._current.serving.rules(arrival.mode, gate).pair is None:
            detail = f"gate {gate} has no threshold for decision.target_fmr, so it can verify nobody; set a rate that the card resolves"
            raise Refusal("threshold_unresolved", detail)
        if not arrival.camera_up:
            raise Refusal("no_camera", "the gate's camera gives no pictures now; see the gate's status")
        issued_at = command.issued_at.timestamp()
        left_s = seconds_left(command.seconds, issued_at, here)
        if left_s == 0:
            detail = f"a claim of {command.seconds:g} s, issued at {utc(issued_at)}, has ended: it is {utc(here)} here; check both clocks"
            raise Refusal("expired", detail)

        now_s = self._clock()

        def write() -> Enter:
            return lambda: arrival.keeper.claims.present(command.person, now_s, now_s + left_s)

        return Done(f"until {utc(now + left_s)}", write)
