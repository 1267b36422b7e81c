"""Enrolments that wait for pictures from a gate's own camera: at most one at a gate, while everything else goes on."""

from collections.abc import Callable
from dataclasses import dataclass

from daemon.commands.answers import Answer
from daemon.commands.desk import Desk, Waiting
from daemon.core.people.capture import Capture
from daemon.core.people.enrol import EnrolError
from daemon.core.values import Delivery, Image, View


@dataclass(slots=True)
class _Running:
    """`deliveries` are all messages that brought this command: the broker delivers again after every new connection."""

    waiting: Waiting
    capture: Capture
    deliveries: list[Delivery]
    camera_lost: bool = False

    def crops(self) -> list[Image]:
        if self.camera_lost:
            raise EnrolError("no_camera", "the camera went away during the capture")
        return self.capture.crops()


class Captures:
    """Owned by the engine. `clock` never steps (seconds), `wall` is UTC seconds."""

    def __init__(self, desk: Desk, clock: Callable[[], float], wall: Callable[[], float]) -> None:
        self._desk, self._clock, self._wall = desk, clock, wall
        self._running: dict[str, _Running] = {}

    def begin(self, waiting: Waiting, delivery: Delivery, *, shared: bool, camera_up: bool) -> Answer | None:
        """Begin to look, or the answer why not. `shared` tells a command for every gate of the site."""
        running = self._running.get(delivery.gate)
        if running is not None and running.waiting.command.command_id == waiting.command.command_id:
            running.deliveries.append(delivery)
            return None
        if shared:
            return self._refuse(waiting, "not_for_all", "a capture is for one gate: send it on that gate's own command topic")
        if running is not None:
            return self._refuse(waiting, "busy", "another capture is under way at this gate; wait for its result")
        if not camera_up:
            return self._refuse(waiting, "no_camera", "the gate's camera shows nothing at present; see its status")
        capture = Capture(self._clock(), waiting.seconds, self._desk.limits.min_face_px)
        self._running[delivery.gate] = _Running(waiting, capture, [delivery])
        return None

    def _refuse(self, waiting: Waiting, reason: str, detail: str) -> Answer:
        return self._desk.refuse(waiting, reason, detail, self._wall())

    def observe(self, view: View) -> None:
        """What a gate's camera shows now."""
        running = self._running.get(view.gate)
        if running is not None:
            running.capture.observe(view)

    def camera_lost(self, gate: str) -> None:
        """The gate's camera shows nothing any more: its capture ends."""
        running = self._running.get(gate)
        if running is not None:
            running.camera_lost = True

    def finish(self) -> list[tuple[list[Delivery], Answer]]:
        """The answers of all captures that are over, each with the messages it is the answer to."""
        over = [gate for gate, one in self._running.items() if one.camera_lost or one.capture.over(self._clock())]
        ended = [self._running.pop(gate) for gate in over]
        return [(one.deliveries, self._desk.finish(one.waiting, one.crops, self._wall())) for one in ended]
