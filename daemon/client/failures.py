"""How a command can end, and what goes wrong on the way."""

from daemon.core.faults import Fault

DONE, REFUSED, USAGE, NO_ANSWER, INTERRUPTED = 0, 1, 2, 3, 130
"""The exit codes: done · refused or failed, by the gate or the broker's ACL · bad input · no answer in time, or no broker · Ctrl-C."""

SAME_VERSION = "check that the gate and ostiaryctl have the same version"
"""What to do about a message that cannot be read."""


class ClientError(Fault):
    """What went wrong, what to do about it, and the exit code that tells a script."""

    def __init__(self, code: int, message: str, hint: str) -> None:
        super().__init__(message, hint)
        self.code = code
