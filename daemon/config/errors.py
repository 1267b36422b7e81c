"""The error of a configuration that cannot be used."""

from daemon.core.faults import Fault


class ConfigError(Fault):
    """The configuration cannot be used. `hint` says what to do about it."""
