"""Messages to systemd: ready, alive, stopping. Without systemd nothing happens."""

import os
import socket


def notify(state: str) -> bool:
    """Send a state (`NAME=value`, one per line) to the service manager. False where there is none, or it does not listen."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]  # a name in Linux's abstract namespace, not a file
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            sock.setblocking(False)  # a manager that does not read must not stop the gate
            sock.sendto(state.encode("utf-8"), address)
    except OSError:
        return False
    return True


def ready() -> bool:
    """The service works: the model answers and the gates run."""
    return notify("READY=1")


def status(line: str) -> bool:
    """What the service does, in one line for `systemctl status`."""
    return notify("STATUS=" + " ".join(line.split()))


def alive() -> bool:
    """The engine has made a turn of its loop. Call this from that loop only."""
    return notify("WATCHDOG=1")


def stopping() -> bool:
    return notify("STOPPING=1")
