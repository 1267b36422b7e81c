"""Enrolments on their way: pictures come from the sandbox or from the camera, are embedded aside, and then the desk decides.

Nothing of this takes the engine's time: it neither decodes a foreign picture nor embeds one. At most one enrolment is aside, and the others
wait in the order in which they came.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from daemon.commands.answers import Answer
from daemon.commands.captures import Captures
from daemon.commands.deferred import Arrival, Deferred, Ended
from daemon.commands.desk import Desk
from daemon.commands.enrolment import Pictures, embedded
from daemon.core.messages import Enroll
from daemon.core.values import Delivery, Image
from daemon.edges.gallery.background import Aside
from daemon.pipeline.serving import Current

Crops = Callable[[Sequence[bytes]], list[Image]]
"""Turns JPEG files into crops, uint8 [112, 112, 3] RGB, of the one face in each. Raises EnrolError for a photo that is no good."""


@dataclass(slots=True)
class _Waiting:
    """`deliveries` are all messages that brought this command. `crops` gives its pictures, aside; it may raise EnrolError."""

    deferred: Deferred[Enroll]
    deliveries: list[Delivery]
    crops: Callable[[], list[Image]]


class Enrolling:
    """Owned by the engine. `crops` looks at photos from outside. `wall` is UTC seconds."""

    def __init__(
        self, desk: Desk, current: Current, captures: Captures, crops: Crops, wall: Callable[[], float], aside: Aside[Pictures]
    ) -> None:
        self._desk, self._current, self._captures, self._crops, self._wall, self._aside = desk, current, captures, crops, wall, aside
        self._queue: deque[_Waiting] = deque()

    @property
    def holds_others(self) -> bool:
        """Whether an enrolment has its pictures looked at or waits for it. A capture that still looks does not count."""
        return bool(self._queue)

    def begin(self, deferred: Deferred[Enroll], arrival: Arrival) -> Answer | None:
        """Begin to look at the pictures. A command that comes again, at this gate or at another, joins the one under way."""
        command = deferred.command
        for waiting in self._queue:
            if waiting.deferred.request.kept_as == deferred.request.kept_as:
                waiting.deliveries.append(arrival.delivery)
                return None
        if command.images is None:
            return self._captures.begin(deferred, arrival)
        images = command.images
        self._queue.append(_Waiting(deferred, [arrival.delivery], lambda: self._crops(images)))
        return None

    def turn(self) -> list[Ended]:
        """Enrol or refuse where the pictures have been looked at, and let the next be looked at."""
        self._queue.extend(_Waiting(taken.deferred, taken.deliveries, taken.crops) for taken in self._captures.over())
        ended = []
        while self._queue:
            first = self._queue[0]
            if not self._aside.busy:
                try:
                    self._look(first)
                except RuntimeError as error:
                    ended.append(self._end(error))
                    continue
            outcome = self._aside.outcome()
            if outcome is None:
                break
            if isinstance(outcome, Pictures) and outcome.model != self._current.serving.model.id:
                # Another model serves since a moment ago.
                first.crops = partial(list, outcome.crops)
                continue
            ended.append(self._end(outcome))
        return ended

    def close(self) -> None:
        """The daemon stops. The senders get no answer, and ask again."""
        self._aside.close()

    def _look(self, waiting: _Waiting) -> None:
        """Raises RuntimeError where the system gives no thread."""
        crops, model = waiting.crops, self._current.serving.model
        self._aside.start(lambda stopped: embedded(crops(), model))

    def _end(self, outcome: Pictures | Exception) -> Ended:
        """The first in the queue has its pictures, or will not get them."""
        waiting, now = self._queue.popleft(), self._wall()
        deliveries, deferred = tuple(waiting.deliveries), waiting.deferred

        def take() -> Pictures:
            if isinstance(outcome, Pictures):
                return outcome
            raise outcome

        try:
            return Ended(deliveries, self._desk.finish(deferred, take, now))
        except Exception as error:  # noqa: BLE001  one command must not end the gate
            return Ended(deliveries, self._desk.failed(deferred.request, error, now), error)
