"""Settings: fields that say their own type, range, default and description."""

import datetime
from dataclasses import MISSING, dataclass, field
from typing import Annotated, Any, Literal

import pytest
from msgspec import Meta

from daemon.core.settings import Key, SettingError, build, keys, shown

Small = Annotated[int, Meta(ge=1, le=9)]


@dataclass(frozen=True, slots=True)
class Bell:
    tone: Annotated[Literal["high", "low"], Meta(description="The tone.")] = "high"
    loud: Annotated[float, Meta(gt=0, title="volume", description="The volume.")] = 0.5


@dataclass(frozen=True, slots=True)
class Door:
    width: Annotated[Small, Meta(description="The width.")]
    note: Annotated[str, Meta(min_length=1, description="A note.")] = "none"
    sizes: Annotated[tuple[Small, ...], Meta(min_length=1, description="The sizes.")] = (1, 2)
    limit: Annotated[Annotated[float, Meta(le=1)] | None, Meta(description="The limit.")] = None
    plain: int = 3
    bell: Bell = field(default_factory=Bell)
    bells: dict[str, Bell] = field(default_factory=dict)


def test_keys_tell_what_the_fields_say() -> None:
    assert [(k.path, k.type, k.default, k.range, k.description, k.title) for k in keys(Door, "door")] == [
        ("door.width", "whole number", MISSING, "1 to 9", "The width.", ""),
        ("door.note", "string", "none", "not empty", "A note.", ""),
        ("door.sizes", "list of whole numbers", (1, 2), "not empty, each 1 to 9", "The sizes.", ""),
        ("door.limit", "number", None, "at most 1", "The limit.", ""),
        ("door.plain", "whole number", 3, "", "", ""),
        ("door.bell.tone", "string", "high", 'one of "high", "low"', "The tone.", ""),
        ("door.bell.loud", "number", 0.5, "above 0", "The volume.", "volume"),
        ("door.bells.NAME.tone", "string", "high", 'one of "high", "low"', "The tone.", ""),
        ("door.bells.NAME.loud", "number", 0.5, "above 0", "The volume.", "volume"),
    ]


def test_a_table_becomes_values_of_the_fields_types() -> None:
    built = build(Door, {"width": 5, "sizes": [9], "limit": 1, "bell": {"tone": "low"}, "bells": {"one": {"loud": 2}}})
    assert built == Door(5, sizes=(9,), limit=1.0, bell=Bell("low"), bells={"one": Bell(loud=2.0)})
    assert type(built.limit) is float and type(built.bells["one"].loud) is float


@pytest.mark.parametrize(
    ("change", "message", "hint"),
    [
        ({"width": 10}, "door.width = 10 is out of range (1 to 9)", "The width."),
        ({"width": True}, "door.width = true is not a whole number (1 to 9)", "The width."),
        ({"note": ""}, 'door.note = "" is empty', 'A note. Default: "none".'),
        ({"sizes": []}, "door.sizes = [] is empty", "The sizes. Default: [1, 2]."),
        ({"sizes": [0]}, "door.sizes = [0] is not a list of whole numbers (not empty, each 1 to 9)", "The sizes. Default: [1, 2]."),
        ({"limit": 1.5}, "door.limit = 1.5 is out of range (at most 1)", "The limit. Default: none."),
        ({"limit": [0.5]}, "door.limit = [0.5] is not a number (at most 1)", "The limit. Default: none."),
        ({"bell": {"tone": "mid"}}, 'door.bell.tone = "mid" is not one of "high", "low"', 'The tone. Default: "high".'),
        ({"bell": {"tone": ""}}, 'door.bell.tone = "" is not one of "high", "low"', 'The tone. Default: "high".'),
        ({"bell": {"tone": 1}}, 'door.bell.tone = 1 is not a string (one of "high", "low")', 'The tone. Default: "high".'),
        ({"bells": {"a": {"loud": 0}}}, "door.bells.a.loud = 0 is not a volume (above 0)", "The volume. Default: 0.5."),
        ({"bells": {"a": 1}}, "door.bells.a = 1 is not a table", "write [door.bells.a] and its keys below"),
        ({"bells": [1]}, "door.bells = [1] is not a table", "write [door.bells.NAME] and its keys below"),
        ({"bell": {"tune": "low"}}, "unknown key `door.bell.tune`", "did you mean `door.bell.tone`?"),
        ({"bell": {"q": 1}}, "unknown key `door.bell.q`", "known keys: tone, loud"),
        ({"note": datetime.date(2027, 3, 1)}, "door.note = 2027-03-01 is not a string (not empty)", 'A note. Default: "none".'),
        ({"note": ["x" * 99]}, f'door.note = ["{"x" * 58}… is not a string (not empty)', 'A note. Default: "none".'),
    ],
)
def test_a_value_that_cannot_be_used_is_named_with_its_range_and_meaning(change: dict[str, Any], message: str, hint: str) -> None:
    with pytest.raises(SettingError) as error:
        build(Door, {"width": 1, **change}, "door")
    assert (error.value.message, error.value.hint) == (message, hint)


def test_a_key_that_must_be_given() -> None:
    with pytest.raises(SettingError) as error:
        build(Door, {})
    assert (error.value.message, error.value.hint) == ("width is missing", "The width.")


def test_values_are_shown_as_toml_writes_them() -> None:
    assert [shown(value) for value in ("a\nb", True, 1, 2.0, ["x", False], ())] == ['"a\\nb"', "true", "1", "2.0", '["x", false]', "[]"]


def test_a_key_at_the_top_has_no_section() -> None:
    assert Key("", "site", "string", "", "", "", "", {}).path == "site"
