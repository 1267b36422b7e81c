"""The pages: templates with the session's role and token. All else they get from the API."""

from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from daemon.console.console import console_of
from daemon.console.problem import Problem
from daemon.console.roles import Role
from daemon.console.visitors import off
from daemon.pages.template import render

STATIC = Path(__file__).with_name("static")
PAGES = {
    "/": ("live", Role.VIEWER),
    "/people": ("people", Role.GUARD),
    "/enrol": ("enrol", Role.DESK),
    "/health": ("health", Role.VIEWER),
    "/visitors": ("visitors", Role.DESK),
}
"""The pages, and the role that each of them needs."""

router = APIRouter(include_in_schema=False)


@router.get("/login")
async def login(request: Request) -> Response:
    """Where one logs in; whoever has done so is sent on."""
    if request.state.session is not None:
        return RedirectResponse("/", 303)
    return page(request, "login")


async def show(request: Request) -> Response:
    """One of the PAGES."""
    name, need = PAGES[request.url.path]
    session = request.state.session
    if session is None:
        return RedirectResponse(f"/login?next={request.url.path}", 303)
    if session.role < need:
        return page(request, "forbidden", 403, need=need.word)
    if name == "visitors" and not console_of(request).config.visitor_key:
        return _error(request, off())
    return page(request, name)


for path in PAGES:
    router.add_api_route(path, show, methods=["GET"])


def page(request: Request, name: str, code: int = 200, **more: Any) -> HTMLResponse:
    """The page of the template `name`.html."""
    session, console = request.state.session, console_of(request)
    values = {
        "user": session.user if session is not None else None,
        "role": session.role.word if session is not None else None,
        "csrf": session.csrf if session is not None else "",
        "site": console.site,
        "page": name,
        "visitors": bool(console.config.visitor_key),
    }
    return HTMLResponse(render("daemon.console", f"{name}.html", **values, **more), code)


def shown(request: Request, problem: Problem) -> Response:
    """A problem as its reader wants it: JSON below /api, else a page."""
    headers = {**problem.headers, **({"WWW-Authenticate": "Bearer"} if problem.status == 401 else {})}
    if request.url.path.startswith(("/api", "/static")):
        return JSONResponse(problem.body(), problem.status, headers)
    answer = _error(request, problem)
    answer.headers.update(headers)
    return answer


def _error(request: Request, problem: Problem) -> HTMLResponse:
    return page(request, "error", problem.status, status=problem.status, error=problem.message, hint=problem.hint)
