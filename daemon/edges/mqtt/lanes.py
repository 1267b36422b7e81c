"""A gate's connections to its broker: one for what it says, one for commands, one for the commands that shut somebody out."""

import threading

from daemon.config import MqttConfig
from daemon.core.messages import command_topics, urgent_topics
from daemon.core.values import LinkName, Outgoing
from daemon.edges.mqtt.link import MqttLink
from daemon.edges.mqtt.news import Deliver


def client_id(site: str, gate: str, tag: str) -> str:
    """The beginning of the ids of a gate's connections. `tag` is the box's own word.

    No name has a colon, so no two gates have the same id. A box whose tag has no colon in front was made before that, and the broker keeps
    its commands under ids with hyphens: it stays with these.
    """
    return f"ostiary:{site}:{gate}{tag}" if tag.startswith(":") else f"ostiary-{site}-{gate}-{tag}"


class Lanes:
    """A flood of commands stops one connection only: decisions go on, and revocations wait behind nothing else, neither on the wire nor in
    the broker's queue, which drops what it has no room for."""

    def __init__(
        self, config: MqttConfig, *, site: str, gate: str, client_id: str, password: str | None, offline: bytes, deliver: Deliver
    ) -> None:
        """`client_id` is the beginning of the ids of all three. See `MqttLink`."""

        def link(name: LinkName, topics: tuple[str, ...] = (), will: bytes | None = None) -> MqttLink:
            return MqttLink(
                config, site=site, gate=gate, client_id=f"{client_id}-{name}", password=password, offline=will, deliver=deliver, name=name,
                topics=topics,
            )  # fmt: skip

        self._out = link("out", will=offline)
        self._in = (link("commands", command_topics(site, gate)), link("urgent", urgent_topics(site, gate)))

    def start(self) -> None:
        """Connect in the background and keep trying."""
        for one in (self._out, *self._in):
            one.start()

    @property
    def connected(self) -> bool:
        """Whether messages go out."""
        return self._out.connected

    @property
    def ready(self) -> bool:
        """Whether messages go out and commands come in."""
        return self._out.connected and all(one.connected for one in self._in)

    def is_alive(self) -> bool:
        """Whether all network threads run."""
        return self._out.is_alive() and all(one.is_alive() for one in self._in)

    def publish(self, message: Outgoing) -> bool:
        """Hand a message over; see `MqttLink.publish`."""
        return self._out.publish(message)

    def publish_aside(self, message: Outgoing) -> bool:
        """Hand over a large message that nobody waits for: it leaves on the connection for commands, and no decision waits behind it."""
        return self._in[0].publish(message)

    def acknowledge(self, receipt: tuple[int, int, int]) -> None:
        """Acknowledge a Delivery on the connection that it came on: the other one does not know the receipt."""
        for one in self._in:
            one.acknowledge(receipt)

    def stop(self, farewell: Outgoing | None, timeout_s: float) -> None:
        """Publish the farewell, and end the connections, all at the same time."""
        others = [threading.Thread(target=one.stop, args=(None, timeout_s)) for one in self._in]
        for other in others:
            other.start()
        self._out.stop(farewell, timeout_s)
        for other in others:
            other.join()
