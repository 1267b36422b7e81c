"""The composition root of the console: everything is made and connected here."""

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from daemon.client.keys import believed, read_signer, read_visitor_key
from daemon.client.link import Link
from daemon.client.room import Room
from daemon.client.said import Answered, GateStatus, LinkState, Odd, Said, Shared
from daemon.client.target import target
from daemon.console import pages
from daemon.console.api import enrol, live, openapi, people, session, visitors
from daemon.console.api.models import PERSON
from daemon.console.config import Settings
from daemon.console.console import Console
from daemon.console.guard import Guard
from daemon.console.line import WAITING, Line, hears
from daemon.console.people import People
from daemon.console.problem import Problem, invalid
from daemon.console.sessions import Sessions
from daemon.console.state import CHANGES, State
from daemon.console.streams import Streams
from daemon.console.throttle import Throttle
from daemon.console.users import Users
from daemon.console.visitors import Visitors
from daemon.core import messages as m
from daemon.core.contract import VERSION
from daemon.core.plain import printable

log = logging.getLogger("ostiary.console")
TICK_S = 0.5
LONGEST_WARNING = 300


def build(settings: Settings, stopping: Callable[[], bool] = lambda: False) -> tuple[ASGIApp, FastAPI]:
    """The application that a server runs, and the FastAPI within it. It connects when it starts.

    `stopping` says whether the server is about to end. Raises ConfigError and ClientError for settings that cannot be used.
    """
    config, given = settings.console, settings.client
    to = target(given, any_gate=True)
    signer = read_signer(Path(given["key"])) if given.get("key") else None
    gates = believed(given.get("gate_key", ()))
    users = Users(Path(config.users)) if config.users else None
    sessions = Sessions(config.session_minutes, config.idle_minutes, lambda name: _stamp(users, name))
    streams = Streams()
    state = State(streams)
    unknown = Visitors(read_visitor_key(Path(config.visitor_key)) if config.visitor_key else None, streams)

    relay: list[Callable[[Said], None]] = []
    link = Link(
        to, program="ostiary-console", signer=signer, gates=gates, hear=lambda said: relay[0](said), decisions=True,
        visitors=bool(config.visitor_key),
    )  # fmt: skip

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        line = Line(link, settings.timeout_s)
        console = Console(config, to.site, users, sessions, Throttle(), streams, state, line, People(line, state), unknown)
        app.state.console = console
        room = Room(WAITING)
        relay.append(hears(asyncio.get_running_loop(), lambda said: _hear(console, said), room))
        await asyncio.to_thread(link.__enter__)
        ticking = asyncio.create_task(_tick(console, stopping))
        try:
            yield
        finally:
            ticking.cancel()
            streams.close()
            room.close()
            await asyncio.to_thread(link.__exit__)

    app = FastAPI(
        title="Ostiary console", version=VERSION, lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None,
        redirect_slashes=False, telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
        description="Gates, decisions and people, as the console's pages have them. Errors are {error, hint, code}.",
    )  # fmt: skip
    for part in (session, live, people, enrol, visitors, openapi):
        app.include_router(part.router, prefix="/api")
    app.include_router(pages.router)
    app.mount("/static", StaticFiles(directory=pages.STATIC))
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _failed)
    return Guard(app, config, sessions, pages.shown), app


def _stamp(users: Users | None, name: str) -> str | None:
    user = users.find(name) if users is not None else None
    return user.stamp if user is not None else None


def _hear(console: Console, said: Said) -> None:
    """Everything that comes over the link, in the loop."""
    match said:
        case m.DecisionMessage():
            console.state.decided(said)
        case m.GapMessage():
            console.state.missing(said)
        case GateStatus():
            console.state.said(said.gate, said.seen)
        case Answered() if said.result.op in CHANGES and _is_person(said.result.person):
            console.people.changed(said.gate, said.result)
            console.state.changed(said.gate, said.result)
        case Shared():
            if (why := console.visitors.heard(said)) is not None:
                _warn(console, said.topic, why)
        case Odd():
            _warn(console, said.topic, said.why)
        case LinkState():
            console.state.tick(console.line.state)


def _is_person(person: str | None) -> bool:
    """Whether an answer is about somebody who can be asked for: nobody's text becomes a question to all gates."""
    return person is not None and re.fullmatch(PERSON, person) is not None


def _warn(console: Console, topic: str, why: str) -> None:
    """A line about a message that cannot be used, and not one for each of a flood."""
    now_s, odd = time.monotonic(), console.odd
    if not odd.lines.allows(now_s):
        odd.unsaid += 1
        return
    log.warning("%s: %s", printable(topic[:LONGEST_WARNING]), printable(why[:LONGEST_WARNING]))
    if odd.unsaid:
        log.warning("%d more messages that cannot be used", odd.unsaid)
        odd.unsaid = 0


async def _tick(console: Console, stopping: Callable[[], bool]) -> None:
    """What happens without a message: sessions end, statuses become stale, the server is to stop."""
    while True:
        try:
            _tend(console, time.monotonic())
        except Exception:  # sessions must end whatever happens to one of these steps
            log.exception("the console has failed at its regular work; it is tried again")
        if stopping():
            console.streams.close()
        await asyncio.sleep(TICK_S)


def _tend(console: Console, now_s: float) -> None:
    for one in console.streams.watching():
        one.used_s = now_s
    console.sessions.sweep(now_s)
    console.state.tick(console.line.state)
    console.visitors.tick()


async def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return pages.shown(request, error)


async def _invalid(request: Request, error: Exception) -> Response:
    found: Any = error.errors() if isinstance(error, RequestValidationError) else []
    return pages.shown(request, invalid(found))


async def _http(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    known = {
        400: ("malformed", "the request cannot be read", "see /api/openapi.json"),
        404: ("not_found", "there is no such page", "the console's pages are named at its head"),
        405: ("method", "this cannot be done here", "see /api/openapi.json for what can"),
        415: ("type", "the request is not of the right type", "send Content-Type: application/json"),
    }
    code, what, hint = known.get(status, ("http", "the request cannot be answered", "see /api/openapi.json"))
    problem = Problem(status, code, what, hint)
    if isinstance(error, HTTPException) and error.headers:
        problem.headers = {name: value for name, value in error.headers.items() if name.lower() == "allow"}
    return pages.shown(request, problem)


async def _failed(request: Request, error: Exception) -> Response:
    return pages.shown(request, Problem(500, "failed", "the console has failed at this", "its log says why; try again"))
