"""Why a connection ended, and what the person who set it up should do about it."""

from collections.abc import Sequence
from dataclasses import dataclass

from daemon.edges.mqtt.client import Setup


@dataclass(frozen=True, slots=True)
class Ending:
    """How a connection ended."""

    why: str
    """Our own reason; empty if we had none."""
    said: str
    """The broker's reason; empty if it gave none."""
    reached: bool
    """Whether there was a connection at all."""
    greeted: bool
    """Whether the broker answered it."""
    up_s: float | None
    """How long it was up; None if it never was."""

    @property
    def taken_over(self) -> bool:
        """Whether another client has come with the gate's id."""
        return self.said == "Session taken over"

    def detail(self, setup: Setup, *, repeated: bool) -> str:
        """One line for the operator. `repeated` says that the connection before this one did not last either."""
        line = self.why or f"disconnected from {setup.address} ({self.said or 'connection lost'})"
        if not self.reached:
            return line
        if self.taken_over or (self.up_s is not None and not self.why and repeated):
            line += f"; another client may be using the id {setup.client_id}: check that no second daemon runs"
        if not self.greeted and setup.tls is not None and not setup.config.cert_file:
            line += " before it answered; if the broker asks for a certificate, set mqtt.cert_file and mqtt.key_file"
        elif not self.greeted and setup.tls is not None:
            line += f" before it answered; does the broker take the certificate {setup.config.cert_file}? Its log says"
        elif not self.greeted and setup.is_v5:
            line += ' before it answered; if the broker does not speak MQTT 5, set mqtt.protocol = "3.1.1"'
        return line


def refused_connection(reason: str, setup: Setup) -> str:
    """What it means that the broker refused the connection with `reason`."""
    if reason in ("Not authorized", "Bad user name or password"):
        return f"the broker refused the login ({reason}): check mqtt.username, mqtt.password_file and the broker's password file"
    if reason in ("Unsupported protocol version", "Unspecified error") and setup.is_v5:
        return f'the broker refused the connection ({reason}): if it does not speak MQTT 5, set mqtt.protocol = "3.1.1"'
    return f"the broker refused the connection ({reason})"


def refused_subscription(topics: Sequence[str], setup: Setup) -> str:
    """What it means that the broker refused to send the commands on `topics`."""
    who = setup.config.username or setup.client_id
    return f"the broker does not let {who} read {' and '.join(topics)} at QoS 1: allow it in the broker's ACL"
