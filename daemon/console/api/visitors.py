"""Unknown visitors: see, dismiss, or say who they are."""

from typing import Annotated, Any

from fastapi import APIRouter, Path
from fastapi.responses import Response

from daemon.client.times import times
from daemon.console.api.access import Desk, Here, errors
from daemon.console.api.enrol import grants, need_grants, record
from daemon.console.api.models import SEGMENT, Answers, Assign, Visitors
from daemon.console.changes import carried_out, note
from daemon.core import messages as m

router = APIRouter(tags=["visitors"], prefix="/visitors")
Which = Annotated[str, Path(pattern=SEGMENT)]


@router.get("", response_model=Visitors, responses=errors(404))
async def visitors(session: Desk, console: Here) -> dict[str, Any]:
    """Everybody unknown whose picture is still there, the newest first."""
    return {"visitors": console.visitors.all()}


@router.get("/{id}/picture", response_class=Response, responses={200: {"content": {"image/jpeg": {}}}, **errors(404, 502)})
async def picture(id: Which, session: Desk, console: Here) -> Response:
    """The picture, which no browser keeps."""
    jpeg = console.visitors.picture(console.visitors.find(id))
    return Response(jpeg, media_type="image/jpeg")


@router.post("/{id}/dismiss", status_code=204, responses=errors(404, 502, 503))
async def dismiss(id: Which, session: Desk, console: Here) -> None:
    """Take the picture from the broker, for everybody."""
    visitor = console.visitors.find(id)
    note(session, "dismiss", id, visitor.message.gate)
    await console.line.publish(visitor.topic, b"", retain=True)
    console.visitors.gone(id)


@router.post("/{id}/assign", response_model=Answers, response_model_exclude_unset=True, responses=errors(404, 415, 502, 503))
async def assign(id: Which, asked: Assign, session: Desk, console: Here) -> dict[str, Any]:
    """Enrol the visitor as this person, or add the picture to the person. Then the picture is taken from the broker."""
    need_grants(session, asked.force or asked.replace)
    visitor = console.visitors.find(id)
    jpeg = console.visitors.picture(visitor)
    command = m.Enroll(**times(), person=asked.person, images=[jpeg], **grants(asked), **record(asked))
    done = await carried_out(console, session, command)
    if any(one["status"] == "done" for one in done["answers"]):
        await console.line.publish(visitor.topic, b"", retain=True)
        console.visitors.gone(id)
    return done
