"""Log in, log out, and who is logged in."""

import asyncio
import logging
import time

from fastapi import APIRouter, Request, Response

from daemon.console.api.access import Here, Viewer, errors
from daemon.console.api.models import LoggedIn, Login, SessionNow
from daemon.console.console import now_s
from daemon.console.guard import cookie_name, set_cookie
from daemon.console.problem import Problem, later
from daemon.console.roles import role_of
from daemon.console.throttle import WAIT_S
from daemon.core.messages import utc

log = logging.getLogger("ostiary.console")
router = APIRouter(tags=["session"])


@router.post("/session", status_code=200, responses=errors(415, 429, 503))
async def log_in(login: Login, request: Request, response: Response, console: Here) -> LoggedIn:
    """Log in. The answer sets the cookie; scripts take the token."""
    address: str = request.state.address
    if console.users is None:
        raise Problem(403, "proxy", "users log in at the reverse proxy", "open the console through the proxy")
    if not console.throttle.allows(address, login.user, now_s()):
        log.warning("login refused: too many tries from %s", address)
        raise later("too_many", "too many wrong passwords", WAIT_S)
    async with console.passwords.one():
        user = await asyncio.to_thread(console.users.checked, login.user, login.password)
    if console.users.trouble is not None:
        log.error("%s; %s", console.users.trouble.message, console.users.trouble.hint)
        raise Problem(503, "users", "the console cannot read its users file", "the console's log says why")
    if user is None:
        log.warning("login failed from %s", address)
        raise Problem(401, "login", "the user or the password is wrong", "try again; an administrator can set a new password")
    console.throttle.succeeded(address, login.user)
    old = request.state.session
    if old is not None:
        console.sessions.end(old)
    session = console.sessions.begin(login.user, role_of(user.role), user.stamp, now_s(), time.time())
    text = console.sessions.text(session)
    browser = "sec-fetch-site" in request.headers or "origin" in request.headers
    set_cookie(response, request.state.secure, text)
    log.info("login user=%s role=%s from %s", session.user, session.role.word, address)
    return LoggedIn(
        user=session.user, role=session.role.word, csrf=session.csrf, token=None if browser else text, expires_at=utc(session.until)
    )


@router.get("/session", responses=errors())
async def session_now(session: Viewer, console: Here) -> SessionNow:
    """Who is logged in, until when, and what the console can do."""
    return SessionNow(
        user=session.user,
        role=session.role.word,
        csrf=session.csrf,
        expires_at=utc(session.until),
        site=console.site,
        visitors=bool(console.config.visitor_key),
        metrics=console.config.metrics,
    )


@router.delete("/session", status_code=204, responses=errors())
async def log_out(session: Viewer, request: Request, response: Response, console: Here) -> None:
    """Log out: the session ends, also where a copy of its cookie or token is used."""
    console.sessions.end(session)
    log.info("logout user=%s", session.user)
    response.delete_cookie(cookie_name(request.state.secure), path="/", secure=request.state.secure, httponly=True, samesite="strict")
