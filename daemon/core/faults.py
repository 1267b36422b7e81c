"""Errors that people read: one line that says what is wrong, and one that says what to do."""


class Fault(Exception):
    """Something is wrong that a person can repair: `message` says what, `hint` what to do about it; one line each."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message, self.hint = message, hint


def first_line(error: BaseException) -> str:
    """What a library's error says, in one line of at most 300 characters; the name of its class where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
