"""People as a file or a folder names them, before anything is sent."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import msgspec

from daemon.client.failures import USAGE, ClientError
from daemon.core import messages as m
from daemon.core.counts import counted

Value = str | datetime | list[str] | None
_NOBODY = UUID(int=0)
_LONG_AGO = datetime(2000, 1, 2, tzinfo=UTC)


class ListedError(ClientError):
    """Everything that is wrong with a file, a line each in `lines`."""

    def __init__(self, message: str, hint: str, lines: Sequence[str]) -> None:
        super().__init__(USAGE, message, hint)
        self.lines = tuple(lines)


@dataclass(frozen=True, slots=True)
class Row:
    """A person. `where` says where in the file or folder they are named.

    `fields` has what is given of name, valid_from, valid_until, gates, schedule and consent. None is an empty cell: nothing for an
    enrolment, and no limit for a change of the record.
    """

    where: str
    person: str
    fields: Mapping[str, Value] = field(default_factory=dict)
    photos: tuple[Path, ...] = ()
    """Picture files, and folders of them."""


def trouble(person: str, fields: Mapping[str, Value]) -> str | None:
    """What a gate would say against this number or record, None for nothing."""
    try:
        command = m.Update(command_id=_NOBODY, issued_at=_LONG_AGO, expires_at=_LONG_AGO, person=person, **{"name": None, **fields})  # type: ignore[arg-type]
        m.parse_command(m.encode(command))
    except m.MessageError as error:
        what, _, where = error.detail.rpartition(" - at `$.")
        column = where.rstrip("`").split("[")[0]
        if column == "person":
            return f"{json.dumps(person)} is not an employee number: letters, digits and . _ @ -, 64 at most, the first a letter or digit"
        return f"{column}: {what}" if column else error.detail
    except UnicodeEncodeError:
        return "it has letters that cannot be read as UTF-8"
    except (ValueError, msgspec.MsgspecError) as error:  # years outside of the contract's
        return str(error)
    begin, end = fields.get("valid_from"), fields.get("valid_until")
    if isinstance(begin, datetime) and isinstance(end, datetime) and begin >= end:
        return "valid_until is not after valid_from"
    return None


def need_no_errors(path: Path, errors: Sequence[str]) -> None:
    """Raises ListedError if there are any."""
    if errors:
        raise ListedError(f"{path} has {counted(len(errors), 'error')}; nothing was sent", "correct them all, and run it again", errors)
