"""Who may call what: one dependency for every route, which gives the session."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Depends, Request

from daemon.console.api.models import Error
from daemon.console.console import Console, console_of
from daemon.console.problem import forbidden, not_logged_in
from daemon.console.roles import Role
from daemon.console.sessions import Session

Here = Annotated[Console, Depends(console_of)]


def need(role: Role) -> Callable[[Request], Session]:
    """The session of a request, if its user has this role. Raises Problem."""

    def session(request: Request) -> Session:
        found: Session | None = request.state.session
        if found is None:
            raise not_logged_in()
        if found.role < role:
            raise forbidden(role.word)
        return found

    session.role = role  # type: ignore[attr-defined]  # for the test of all routes
    return session


Viewer = Annotated[Session, Depends(need(Role.VIEWER))]
Guard = Annotated[Session, Depends(need(Role.GUARD))]
Desk = Annotated[Session, Depends(need(Role.DESK))]


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The answers of a route when something is wrong: these, and those that every route has."""
    said = {
        400: "The request cannot be read.",
        401: "Nobody is logged in, or the session has ended.",
        403: "The role is not enough, X-CSRF-Token is missing, or the request comes from somebody else's page.",
        404: "There is no such thing.",
        408: "The request did not come to its end.",
        413: "The request is too large.",
        415: "The request is not of the right type.",
        421: "The console does not know itself by this name.",
        422: "A value cannot be used.",
        429: "Too often; Retry-After says when to try again.",
        502: "A gate or the broker refused.",
        503: "No gate or no broker answers.",
    }
    return {status: {"model": Error, "description": said[status]} for status in sorted({400, 401, 403, 408, 413, 421, 422, *statuses})}
