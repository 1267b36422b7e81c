"""Enrolments that wait for pictures from a gate's own camera: at most one at a gate, while everything else goes on."""

from collections.abc import Callable
from dataclasses import dataclass

from daemon.commands.answers import Answer
from daemon.commands.deferred import Arrival, Deferred, Ended
from daemon.commands.desk import Desk
from daemon.core.messages import Enroll
from daemon.core.people.capture import Capture
from daemon.core.people.enrol import EnrolError
from daemon.core.values import Delivery, Image, View


@dataclass(slots=True)
class _Running:
    """A capture under way. `deliveries` are all messages that brought the command: the broker delivers again after each reconnect."""

    deferred: Deferred[Enroll]
    capture: Capture
    deliveries: list[Delivery]
    camera_lost: bool = False

    def crops(self) -> list[Image]:
        if self.camera_lost:
            raise EnrolError("no_camera", "the camera was lost during the capture; see the gate's status")
        return self.capture.crops()


class Captures:
    """Owned by the engine. `clock` never steps (seconds), `wall` is UTC seconds. Smaller faces than `min_face_px` are not taken."""

    def __init__(self, desk: Desk, min_face_px: float, clock: Callable[[], float], wall: Callable[[], float]) -> None:
        self._desk, self._min_face_px, self._clock, self._wall = desk, min_face_px, clock, wall
        self._running: dict[str, _Running] = {}

    def begin(self, deferred: Deferred[Enroll], arrival: Arrival) -> Answer | None:
        """Begin to look at the gate's camera, or say why not."""
        command, gate = deferred.command, arrival.delivery.gate
        assert command.capture is not None
        running = self._running.get(gate)
        if running is not None and running.deferred.request.kept_as == deferred.request.kept_as:
            running.deliveries.append(arrival.delivery)
            return None
        if arrival.shared:
            return self._refuse(deferred, "not_for_all", "a capture is for one gate: send it on that gate's own command topic")
        if running is not None:
            return self._refuse(deferred, "busy", "another capture is under way at this gate; wait for its result")
        if not arrival.camera_up:
            return self._refuse(deferred, "no_camera", "the gate's camera gives no pictures now; see the gate's status")
        capture = Capture(self._clock(), command.capture.seconds, self._min_face_px)
        self._running[gate] = _Running(deferred, capture, [arrival.delivery])
        return None

    def _refuse(self, deferred: Deferred[Enroll], reason: str, detail: str) -> Answer:
        return self._desk.refuse(deferred, reason, detail, self._wall())

    def observe(self, view: View) -> None:
        """A gate's camera shows this now."""
        running = self._running.get(view.gate)
        if running is not None:
            running.capture.observe(view)

    def camera_lost(self, gate: str) -> None:
        """The gate's camera gives no pictures any more: its capture ends."""
        running = self._running.get(gate)
        if running is not None:
            running.camera_lost = True

    def turn(self) -> list[Ended]:
        """Enrol or refuse where the time of a capture is over."""
        over = [gate for gate, one in self._running.items() if one.camera_lost or one.capture.over(self._clock())]
        ended = [self._running.pop(gate) for gate in over]
        return [Ended(tuple(one.deliveries), self._desk.finish(one.deferred, one.crops, self._wall())) for one in ended]
