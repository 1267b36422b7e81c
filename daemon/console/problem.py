"""What goes wrong for somebody at the console: an HTTP status, what is wrong, the next step, and one word for programs."""

from collections.abc import Mapping
from typing import Any

from daemon.core.faults import Fault


class Problem(Fault):
    """An answer that is not what was asked for. `more` is told beside it."""

    def __init__(self, status: int, code: str, error: str, hint: str, **more: Any) -> None:
        super().__init__(error, hint)
        self.status, self.code, self.more = status, code, more
        self.headers: dict[str, str] = {}

    def body(self) -> Mapping[str, Any]:
        """The problem as the API tells it."""
        return {"error": self.message, "hint": self.hint, "code": self.code, **self.more}


def later(code: str, error: str, after_s: float, status: int = 429) -> Problem:
    """What may be tried again after some seconds."""
    seconds = max(1, round(after_s))
    made = Problem(status, code, error, f"try again in {seconds} s")
    made.headers["Retry-After"] = str(seconds)
    return made


def not_logged_in() -> Problem:
    """Nobody is logged in, or not any more."""
    return Problem(401, "login", "nobody is logged in, or the session has ended", "log in at /login, or with POST /api/session")


def forbidden(need: str) -> Problem:
    """The role is not enough."""
    return Problem(403, "role", f"this needs the role {need}", "ask somebody with that role, or the administrator for it", need=need)


def invalid(found: Any) -> Problem:
    """What is wrong with the values of a request, without repeating them."""
    first = found[0] if found else {"loc": (), "msg": "it cannot be read"}
    place = ".".join(str(part) for part in first["loc"] if part not in ("body", "query", "path"))
    what = str(first["msg"]).removeprefix("Value error, ")
    status, code = (400, "malformed") if first.get("type") in ("json_invalid", "missing_json") else (422, "invalid")
    return Problem(status, code, f"{place}: {what}" if place else what, "see /api/openapi.json for what can be given")
