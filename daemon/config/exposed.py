"""Passwords that everybody on the machine may read. They work all the same, but `check` and the journal say so."""

from daemon.config.secret import open_to_all
from daemon.config.sections import Config


def exposed_passwords(config: Config) -> str | None:
    """One line that names the password files which everybody may read, with what to do; None if there are none."""
    named = [gate.password_file for gate in config.gates.values()] + [config.mqtt.of(gate).password_file for gate in config.gates]
    found = [path for path in dict.fromkeys(named) if path and open_to_all(path)]
    if not found:
        return None
    return f"everybody on this machine may read {', '.join(found)}: `chmod 640 {' '.join(found)}`, owner root and the daemon's group"
