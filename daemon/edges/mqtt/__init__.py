"""One gate's links to its broker. A connection has one last will, the gate's retained status, so every gate has links of its own (`Lanes`).

A `MqttLink` runs one network thread. The thread makes a `Connection`, serves it until it ends, waits as long as `Backoff` says, and
makes the next one. Nothing passes from one connection to the next but the `News` that the engine still has to hear.

**The rule for threads.** Only the network thread calls paho. Other threads leave what they want (a message, an acknowledgement, the end)
in the connection, under its lock, and ring a `Bell`. Under a lock nothing blocks and nothing of paho is called. The one foreign function
that is called under a lock is the engine's mailbox (`deliver`), so that whoever reads the news that the connection is up finds it up. The
mailbox never calls back.
"""

from daemon.edges.mqtt.lanes import Lanes, client_id
from daemon.edges.mqtt.leaving import take_leave
from daemon.edges.mqtt.link import MqttLink
from daemon.edges.mqtt.visit import Visit, VisitError, aside

__all__ = ["Lanes", "MqttLink", "Visit", "VisitError", "aside", "client_id", "take_leave"]
