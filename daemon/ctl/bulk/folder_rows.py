"""A folder to rows: a sub-folder, or a single picture, for each person, whose name is `E1042` or `E1042 Ada Lovelace`."""

import unicodedata
from pathlib import Path

from daemon.client.failures import USAGE, ClientError
from daemon.core.file_names import PICTURES, left_by_a_system
from daemon.ctl.bulk.rows import Row, Value, need_no_errors, trouble

_EXPECTED = "give a folder with a sub-folder of pictures for each person: people/E1042/a.jpg, or people/E1042 Ada Lovelace/a.jpg"


def read_folder(folder: Path) -> list[Row]:
    """The people of a folder, in the order of their numbers. Raises ListedError and ClientError."""
    try:
        entries = sorted(one for one in folder.iterdir() if not left_by_a_system([one.name]))
    except OSError as error:
        raise ClientError(USAGE, f"{folder}: {error.strerror}", _EXPECTED) from None
    rows, errors = dict[str, Row](), list[str]()
    for entry in entries:
        is_folder = entry.is_dir()
        if not is_folder and not is_picture(entry):
            errors.append(f"{entry.name!r} is neither a folder nor a picture; move it elsewhere")
            continue
        person, fields = _named(entry.name if is_folder else entry.stem)
        said = trouble(person, fields)
        before = rows.get(person)
        if said is None and before is not None and before.fields != fields:
            said = f"{before.where} and this have one number, and two names"
        if said is not None:
            errors.append(f"{entry.name!r}: {said}")
        rows[person] = Row(entry.name, person, fields, (*(before.photos if before is not None else ()), entry))
    need_no_errors(folder, errors)
    if not rows:
        raise ClientError(USAGE, f"{folder} is empty", _EXPECTED)
    return [rows[person] for person in sorted(rows)]


def pictures_in(path: Path) -> list[Path]:
    """The picture itself, or the pictures directly in a folder by their names. Raises OSError."""
    if not path.is_dir():
        return [path]
    return sorted(one for one in path.iterdir() if is_picture(one) and not left_by_a_system([one.name]) and not one.is_dir())


def is_picture(path: Path) -> bool:
    """Whether the name is a picture's."""
    return path.suffix.lower() in PICTURES


def _named(text: str) -> tuple[str, dict[str, Value]]:
    """The number, and the name behind the first space. A Mac writes é as two letters."""
    person, _, name = unicodedata.normalize("NFC", text).strip().partition(" ")
    return person, {"name": name.strip()} if name.strip() else {}
