"""Errors that people read."""


class Fault(Exception):
    """Something is wrong that a person can mend: `message` says what, `hint` what to do about it; one line each."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message, self.hint = message, hint
