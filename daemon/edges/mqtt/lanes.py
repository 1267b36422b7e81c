"""A gate's two connections: one for everything it says and is asked, one for the commands that shut somebody out."""

import threading

from daemon.core.values import Outgoing
from daemon.edges.mqtt.link import MqttLink


class Lanes:
    """A broker keeps the commands for a client in one queue. With a connection of their own, revocations wait behind nothing else, and a
    broker whose queue for the other commands is full does not drop them."""

    def __init__(self, main: MqttLink, urgent: MqttLink) -> None:
        self._main, self._urgent = main, urgent

    def start(self) -> None:
        """Connect both in the background and keep trying."""
        self._main.start()
        self._urgent.start()

    @property
    def connected(self) -> bool:
        """Whether messages go out."""
        return self._main.connected

    def is_alive(self) -> bool:
        """Whether both network threads run."""
        return self._main.is_alive() and self._urgent.is_alive()

    def publish(self, message: Outgoing) -> bool:
        """Hand a message over; see `MqttLink.publish`."""
        return self._main.publish(message)

    def acknowledge(self, receipt: tuple[int, int, int]) -> None:
        """Acknowledge a Delivery on the connection that it came on: the other one does not know the receipt."""
        self._main.acknowledge(receipt)
        self._urgent.acknowledge(receipt)

    def stop(self, farewell: Outgoing | None, timeout_s: float) -> None:
        """Publish the farewell, and end both connections at the same time."""
        other = threading.Thread(target=self._urgent.stop, args=(None, timeout_s))
        other.start()
        self._main.stop(farewell, timeout_s)
        other.join()
