"""What is wrong with data."""

from daemon.core.faults import Fault


class DataError(Fault):
    """The data cannot be used; `message` and `hint` are one line each."""
