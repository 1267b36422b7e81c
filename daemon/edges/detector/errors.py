"""What is wrong with a detector."""

from daemon.core.faults import Fault


class DetectorError(Fault):
    """The detector cannot be opened, or fails. `hint` says what to do about it."""
