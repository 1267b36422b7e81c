"""What is wrong with photos, or with the folder for crops."""

from daemon.core.faults import Fault


class PrepareError(Fault):
    """The photos cannot be prepared; `message` and `hint` are one line each."""
