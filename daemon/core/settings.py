"""Settings: the keys of a TOML file as the fields of dataclasses.

A field's type, default, range and description stand once, beside the field:

    tries: Annotated[int, Meta(ge=0, description="How many further looks an unrecognised face gets.")] = 10

`build` checks a table against such a dataclass, and `keys` lists its keys for documents and tests.
"""

import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from daemon.core.faults import Fault

T = TypeVar("T")
NOUNS = {float: ("number", "numbers"), int: ("whole number", "whole numbers"), str: ("string", "strings"), bool: ("true or false",) * 2}
LONGEST = 60
"""A longer value is cut off in a message."""
NOTES = ("title", "description", "extra", "gt", "ge", "lt", "le", "min_length")


class SettingError(Fault):
    """A value or a key that cannot be used. The message names the key with its section."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a section. `section` is empty at the top of the file; `default` is MISSING for a key that must be given.

    `type` and `range` are words: "whole number" and "1 to 65535". An empty range allows every value of the type. `title` is a better word
    for a value in the range, "port number", or empty.
    """

    section: str
    name: str
    type: str
    default: object
    range: str
    description: str
    title: str
    extra: Mapping[str, Any]

    @property
    def path(self) -> str:
        """The key's name with its section: `mqtt.port`."""
        return joined(self.section, self.name)


def keys(kind: type[Any], section: str = "") -> Iterator[Key]:
    """All keys of a dataclass, and those of the tables in it: `gates.NAME` is the section of a table for each name. A table that is None by
    default repeats another one's keys, and is left out."""
    for key, hint in _fields(kind, section):
        bare, _ = _unwrapped(hint)
        if (table := _table(bare)) is not None and key.default is None:
            continue
        if table is not None:
            yield from keys(table, key.path)
        elif (entry := _entry(bare)) is not None:
            yield from keys(entry, f"{key.path}.NAME")
        else:
            yield key


def build(kind: type[T], table: object, section: str = "") -> T:
    """A TOML table to a dataclass of type `kind`. Raises SettingError."""
    if not isinstance(table, dict):
        raise SettingError(f"{_said(section, table)} is not a table", f"write [{section}] and its keys below")
    known = {key.name: (key, hint) for key, hint in _fields(kind, section)}
    for name in table:
        if name not in known:
            near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
            hint = f"did you mean `{joined(section, near[0])}`?" if near else f"known keys: {', '.join(known)}"
            raise SettingError(f"unknown key `{joined(section, '…' if _may_be_secret(name) else name)}`", hint)
    for name, (key, _) in known.items():
        if key.default is MISSING and name not in table:
            raise SettingError(f"{key.path} is missing", key.description or f"write [{key.path}] and its keys below")
    return kind(**{name: _value(value, *known[name]) for name, value in table.items()})


def joined(section: str, name: str) -> str:
    """A key's name with its section."""
    return f"{section}.{name}" if section else name


def shown(value: object) -> str:
    """A value as TOML writes it."""
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(shown, value))}]"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (str, bool)) else str(value)


def _value(value: object, key: Key, hint: Any) -> Any:
    bare, _ = _unwrapped(hint)
    if (table := _table(bare)) is not None:
        return build(table, value, key.path)
    if (entry := _entry(bare)) is not None:
        if not isinstance(value, dict):
            raise SettingError(f"{_said(key.path, value)} is not a table", f"write [{key.path}.NAME] and its keys below")
        return {name: build(entry, inner, f"{key.path}.{name}") for name, inner in value.items()}
    try:
        return msgspec.convert(value, hint)
    except msgspec.ValidationError:
        raise _refused(value, key, bare) from None


def _refused(value: object, key: Key, bare: Any) -> SettingError:
    allowed = f" ({key.range})" if key.range else ""
    if get_origin(bare) is Literal and isinstance(value, str):
        problem = f"is not {key.range}"
    elif key.range.startswith("not empty") and value in ("", []):
        problem = "is empty"
    elif not key.title and bare in NOUNS and _fits(value, bare):
        problem = f"is out of range{allowed}"
    else:
        problem = f"is not {'' if bare is bool else 'a '}{key.title or key.type}{allowed}"
    default = "" if key.default is MISSING else f" Default: {'none' if key.default is None else shown(key.default)}."
    return SettingError(f"{_said(key.path, value)} {problem}", key.description + default)


def _said(path: str, value: object) -> str:
    text = shown(value)
    if path.endswith("password_file") or _may_be_secret(text):
        text = "…"
    return f"{path} = {text if len(text) <= LONGEST else f'{text[:LONGEST]}…'}"


def _may_be_secret(text: str) -> bool:
    """Addresses have passwords in them, in the wrong place of a file too. What may be one is not repeated."""
    return "://" in text or "@" in text


def _fits(value: object, bare: Any) -> bool:
    try:
        msgspec.convert(value, bare)
    except msgspec.ValidationError:
        return False
    return True


def _fields(kind: type[Any], section: str) -> Iterator[tuple[Key, Any]]:
    hints = get_type_hints(kind, include_extras=True)
    for field in fields(kind):
        default = field.default if field.default_factory is MISSING else field.default_factory()
        yield _key(section, field.name, hints[field.name], default), hints[field.name]


def _key(section: str, name: str, hint: Any, default: object) -> Key:
    bare, notes = _unwrapped(hint)
    allowed = _range(bare, notes)
    if get_origin(bare) is tuple:
        item, item_notes = _unwrapped(get_args(bare)[0])
        noun = "list of points" if get_origin(item) is tuple else f"list of {NOUNS.get(_plain(item), ('', 'tables'))[1]}"
        each = _range(item, item_notes)
        allowed = ", ".join(filter(None, (allowed, f"each {each}" if each else "")))
    else:
        noun = NOUNS.get(_plain(bare), ("table", ""))[0]
    return Key(section, name, noun, default, allowed, notes.get("description", ""), notes.get("title", ""), notes.get("extra", {}))


def _range(bare: Any, notes: Mapping[str, Any]) -> str:
    if get_origin(bare) is Literal:
        return f"one of {', '.join(map(shown, get_args(bare)))}"
    if "ge" in notes and "le" in notes:
        return f"{notes['ge']} to {notes['le']}"
    words = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}
    bounds = [f"{word} {notes[name]}" for name, word in words.items() if name in notes]
    return " and ".join(["not empty"] if notes.get("min_length") else bounds)


def _plain(bare: Any) -> Any:
    """The type of a choice's words: `str` for Literal["a", "b"]."""
    return type(get_args(bare)[0]) if get_origin(bare) is Literal else bare


def _table(bare: Any) -> type[Any] | None:
    """The type itself if it is a dataclass: a table of keys."""
    return bare if isinstance(bare, type) and is_dataclass(bare) else None


def _entry(bare: Any) -> type[Any] | None:
    """The dataclass in `dict[str, dataclass]`: a table for each name."""
    return _table(get_args(bare)[1]) if get_origin(bare) is dict else None


def _unwrapped(hint: Any) -> tuple[Any, dict[str, Any]]:
    """A type without its annotations and without None, and what the annotations say."""
    notes: dict[str, Any] = {}
    while True:
        if get_origin(hint) is Annotated:
            hint, *metas = get_args(hint)
            notes |= {
                name: getattr(m, name) for m in metas for name in NOTES if isinstance(m, msgspec.Meta) and getattr(m, name) is not None
            }
        elif type(None) in get_args(hint):
            (hint,) = (kind for kind in get_args(hint) if kind is not type(None))
        else:
            return hint, notes
