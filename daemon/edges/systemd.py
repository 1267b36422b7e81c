"""What systemd is told: ready, alive, stopping, and a line for `systemctl status`. Nothing happens outside systemd."""

import os
import socket


def notify(state: str) -> bool:
    """Send a state (`NAME=value`, one per line) to the service manager. False when there is none, or it does not listen."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]  # a name in Linux's abstract namespace instead of a file
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            sock.setblocking(False)  # a manager that does not read must not stop the gate
            sock.sendto(state.encode("utf-8"), address)
    except OSError:
        return False
    return True


def ready(status: str = "") -> bool:
    """The service works: the model answers, the gates run."""
    return notify(f"READY=1\nSTATUS={_line(status)}" if status else "READY=1")


def alive() -> bool:
    """The engine has made a turn of its loop. Call it from that loop and from nowhere else."""
    return notify("WATCHDOG=1")


def stopping() -> bool:
    return notify("STOPPING=1")


def status(text: str) -> bool:
    """The line that `systemctl status` shows."""
    return notify(f"STATUS={_line(text)}")


def watchdog_interval_s() -> float | None:
    """How often to call alive(), in seconds: half of what the unit allows. None when no watchdog watches this process."""
    allowed, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    if not allowed.isdecimal() or int(allowed) == 0 or (pid and pid != str(os.getpid())):
        return None
    return int(allowed) / 1e6 / 2


def _line(text: str) -> str:
    return " ".join(text.split())
