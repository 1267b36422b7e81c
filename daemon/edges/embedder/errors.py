"""What goes wrong with a model on its provider."""

from daemon.core.faults import Fault


class EmbedderError(Fault):
    """The model cannot be run as asked. `hint` says what to do about it."""
