"""Gates and decisions, as they are and as they come."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from daemon.console.api.access import Here, Viewer, errors
from daemon.console.api.models import Decisions, GateName, GatesNow, PersonId, Word

router = APIRouter(tags=["live"])


@router.get("/gates", response_model=GatesNow, responses=errors())
async def gates(session: Viewer, console: Here) -> dict[str, Any]:
    """All gates with what they last said of themselves, and whether the broker is there."""
    return {"link": console.state.link, "gates": console.state.gates()}


@router.get("/decisions", response_model=Decisions, responses=errors())
async def decisions(
    session: Viewer,
    console: Here,
    gate: Annotated[GateName | None, Query()] = None,
    decision: Annotated[Word | None, Query()] = None,
    person: Annotated[PersonId | None, Query()] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> dict[str, Any]:
    """The last decisions since the console's start, newest first, and what will never come."""
    return console.state.decisions(gate, decision, person, limit)


@router.get("/events", response_class=StreamingResponse, responses={200: {"content": {"text/event-stream": {}}}, **errors(429, 503)})
async def events(session: Viewer, console: Here) -> StreamingResponse:
    """Server-sent events: hello, decision, gap, gate, link, people (from guard on), visitor and visitor_gone (from desk on), reload.

    After `hello` and `reload` ask for the present state. The stream ends with the session.
    """
    console.streams.room(session)
    hello = ("hello", {"user": session.user, "site": console.site, "link": console.state.link})
    return StreamingResponse(console.streams.follow(session, [hello]), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})
