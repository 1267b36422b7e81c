"""What a broker accepts, as its answer to the connection (CONNACK) says."""

from dataclasses import dataclass

from paho.mqtt.properties import Properties


@dataclass(frozen=True, slots=True)
class Limits:
    """A broker's limits on what it is sent. The defaults are those of MQTT 5 for a broker that names none."""

    packet_bytes: int | None = None
    """Maximum Packet Size; None is no limit."""
    receive_maximum: int = 65_535
    """Receive Maximum: how many messages may be without an answer."""
    maximum_qos: int = 2
    retain_available: bool = True

    def obstacle(self) -> str | None:
        """Why a gate cannot work with this broker, and what to do about it; None if it can."""
        if self.maximum_qos < 1:
            return "the broker accepts messages at QoS 0 only, and a gate sends at QoS 1: allow QoS 1 in the broker's configuration"
        if not self.retain_available:
            return "the broker stores no retained messages, and a gate's status is one: allow them in the broker's configuration"
        return None


def limits(properties: Properties | None) -> Limits:
    """The limits in the properties of a CONNACK. MQTT 3.1.1 has no properties."""
    packet_bytes = getattr(properties, "MaximumPacketSize", None)
    return Limits(
        packet_bytes=None if packet_bytes is None else int(packet_bytes),
        receive_maximum=int(getattr(properties, "ReceiveMaximum", 65_535)),
        maximum_qos=int(getattr(properties, "MaximumQoS", 2)),
        retain_available=bool(getattr(properties, "RetainAvailable", True)),
    )
