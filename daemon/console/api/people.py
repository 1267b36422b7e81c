"""People: who is enrolled, and what is done about them."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query

from daemon.client.times import times
from daemon.console.api.access import Desk, Guard, Here, errors
from daemon.console.api.models import PERSON, Answers, Change, GateName, OnePerson, PeoplePage, PersonId
from daemon.console.changes import carried_out
from daemon.core import messages as m

router = APIRouter(tags=["people"], prefix="/people")
Whom = Annotated[str, Path(pattern=PERSON, description="an employee number")]
ANSWERS = errors(404, 429, 502, 503)


@router.get("", response_model=PeoplePage, responses=errors(502, 503))
async def people(
    session: Guard,
    console: Here,
    search: Annotated[str, Query(max_length=200)] = "",
    after: Annotated[PersonId | None, Query()] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    gate: Annotated[GateName | None, Query()] = None,
) -> dict[str, Any]:
    """A page of the people of all gates whose id or name has every word of `search` in it."""
    return await console.people.find(search, after, limit, gate)


@router.get("/{person}", response_model=OnePerson, responses=ANSWERS)
async def one(person: Whom, session: Guard, console: Here) -> dict[str, Any]:
    """One person, with the record at every gate."""
    return await console.people.one(person)


@router.patch("/{person}", response_model=Answers, response_model_exclude_unset=True, responses=errors(404, 415, 502, 503))
async def update(person: Whom, change: Change, session: Desk, console: Here) -> dict[str, Any]:
    """Change the record: an absent field stays, null clears it."""
    given = {name: getattr(change, name) for name in change.model_fields_set}
    return await carried_out(console, session, m.Update(**times(), person=person, **given))


@router.post("/{person}/suspend", response_model=Answers, response_model_exclude_unset=True, responses=ANSWERS)
async def suspend(person: Whom, session: Guard, console: Here) -> dict[str, Any]:
    """Let the gates reject the person, and keep the templates."""
    return await carried_out(console, session, m.Suspend(**times(), person=person))


@router.post("/{person}/resume", response_model=Answers, response_model_exclude_unset=True, responses=ANSWERS)
async def resume(person: Whom, session: Desk, console: Here) -> dict[str, Any]:
    """End a suspension."""
    return await carried_out(console, session, m.Resume(**times(), person=person))


@router.delete("/{person}", response_model=Answers, response_model_exclude_unset=True, responses=ANSWERS)
async def revoke(person: Whom, session: Desk, console: Here) -> dict[str, Any]:
    """Erase the person at every gate, from the next frame on."""
    return await carried_out(console, session, m.Revoke(**times(), person=person))
