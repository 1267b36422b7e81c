"""Enrol: pictures from a form, or whoever stands before a gate's camera."""

from typing import Any

from fastapi import APIRouter, Request
from pydantic import ValidationError

from daemon.client.times import CAPTURE_LIFETIME_S, times
from daemon.console import pictures
from daemon.console.api.access import Desk, Here, errors
from daemon.console.api.models import Assign, Capture, Enrolled, Record, Upload
from daemon.console.api.people import Whom
from daemon.console.changes import carried_out
from daemon.console.console import Console
from daemon.console.multipart import Form, read_form
from daemon.console.problem import Problem, forbidden, invalid
from daemon.console.roles import Role
from daemon.console.sessions import Session
from daemon.core import messages as m

router = APIRouter(tags=["enrol"], prefix="/people")
ANSWERS = errors(404, 415, 429, 502, 503)
_LISTS, _FLAGS = ("gates",), ("force", "replace", "dry_run")


def _form_schema() -> dict[str, Any]:
    schema = Upload.model_json_schema(ref_template="#/components/schemas/{model}")
    files = {"type": "array", "items": {"type": "string", "format": "binary"}, "minItems": 1, "maxItems": m.MAX_IMAGES}
    # A form has no null: a field that is not given is absent, or empty.
    fields = {name: its["anyOf"][0] if "anyOf" in its else its for name, its in schema["properties"].items()}
    return {"type": "object", "properties": {"pictures": files, **fields}, "required": ["pictures"], "additionalProperties": False}


@router.post(
    "/{person}/pictures", response_model=Enrolled, response_model_exclude_unset=True, responses=ANSWERS,
    openapi_extra={"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _form_schema()}}}},
)  # fmt: skip
async def upload(person: Whom, request: Request, session: Desk, console: Here) -> dict[str, Any]:
    """Enrol a person from 1 to 10 pictures of any usual format, or add them. An empty field is one that is not given."""
    console.line.need()
    async with console.uploads.one():
        form = await read_form(request.headers.get("content-type", ""), request.stream())
        asked = _asked(form)
        need_grants(session, asked.force or asked.replace)
        if asked.at != "all":
            _need_gate(console, asked.at)
        if not form.files:
            raise Problem(422, "no_pictures", "no picture was sent", f"give 1 to {m.MAX_IMAGES} in `pictures`")
        done = await pictures.made(form.files, console.decoders)
        told = [{"file": one.file, "taken": one.jpeg is not None, "words": one.words} for one in done]
        images = [one.jpeg for one in done if one.jpeg is not None]
        if not images:
            raise Problem(422, "no_pictures", f"{done[0].file}: {done[0].words}", "choose other pictures", pictures=told)
        command = m.Enroll(**times(), person=person, images=images, **grants(asked), **record(asked))
        answers = await carried_out(console, session, command, None if asked.at == "all" else asked.at)
        return {**answers, "pictures": told}


@router.post("/{person}/capture", response_model=Enrolled, response_model_exclude_unset=True, responses=ANSWERS)
async def capture(person: Whom, asked: Capture, session: Desk, console: Here) -> dict[str, Any]:
    """Enrol whoever stands before the camera of the gate."""
    need_grants(session, asked.force or asked.replace)
    _need_gate(console, asked.gate)
    command = m.Enroll(
        **times(CAPTURE_LIFETIME_S), person=person, capture=m.Capture(seconds=asked.seconds), **grants(asked), **record(asked)
    )
    return {**await carried_out(console, session, command, asked.gate), "pictures": []}


def _need_gate(console: Console, gate: str) -> None:
    if gate not in console.state.statuses:
        raise Problem(404, "unknown_gate", f"there is no gate {gate}", "GET /api/gates has all gates")


def need_grants(session: Session, wants: bool) -> None:
    if wants and session.role < Role.ADMIN:
        raise forbidden(Role.ADMIN.word)


def grants(asked: Capture | Upload | Assign) -> dict[str, Any]:
    return {name: getattr(asked, name) for name in ("force", "replace", "dry_run") if hasattr(asked, name)}


def record(asked: Record) -> dict[str, Any]:
    return {name: getattr(asked, name) for name in Record.model_fields}


def _asked(form: Form) -> Upload:
    """The fields of a form, checked. Raises Problem."""
    given: dict[str, Any] = {}
    for name, value in form.fields:
        if name in _LISTS:
            given.setdefault(name, []).extend([value] if value else [])
        elif name in given:
            raise Problem(422, "invalid", f"{name} is given twice", "give it once")
        elif value or name not in Upload.model_fields:
            given[name] = value == "true" or value == "on" if name in _FLAGS and value in ("true", "on", "false") else value
    given = {name: value for name, value in given.items() if value != []}
    try:
        return Upload.model_validate(given)
    except ValidationError as error:
        raise invalid(error.errors()) from None
