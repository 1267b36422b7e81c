"""The end of a gate that is no longer configured: what it still has to say, its retained status, and its sessions at the broker."""

from collections.abc import Sequence

from daemon.config import MqttConfig
from daemon.core.values import LinkName, Outgoing
from daemon.edges.mqtt.visit import Visit

LINKS: tuple[LinkName, ...] = ("commands", "urgent", "out")


def take_leave(config: MqttConfig, client_id: str, status_topic: str, messages: Sequence[Outgoing]) -> list[int]:
    """Log in as the gate, drop the commands that wait for it, publish these messages in order, and clear its retained status. Returns the
    rows of the messages that the broker has taken. Waits for the broker, so it is not for the engine's thread. Raises VisitError.

    `config` is the gate's own form, and `client_id` the beginning of the ids of its connections.
    """
    taken: list[int] = []
    for link in LINKS:
        with Visit(config, f"{client_id}-{link}", "keep its login and its part of the ACL until its status is gone") as visit:
            if link == "out":
                for message in messages:
                    visit.publish(message.topic, message.payload, retain=False)
                    taken.append(message.row)
                visit.publish(status_topic, b"", retain=True)
    return taken
