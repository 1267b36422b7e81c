"""deploy/config.toml and the table of keys in daemon/README.md say of every key what its field says."""

import re
import tomllib
from dataclasses import MISSING

import pytest

from daemon.config import keys, load, parse
from daemon.core.settings import Key, shown
from tests.conftest import ROOT

EXAMPLE = ROOT / "deploy" / "config.toml"
# A key without a value in TOML (None) is commented out; without the `#` the file must still be valid.
TEXT = re.sub(r"^# ([a-z_]+ = |\[commands\.keys|\[roster\.writers)", r"\1", EXAMPLE.read_text("utf-8"), flags=re.MULTILINE)
NAMES = {"gates": "north", "schedules": "office", "commands.keys": "hr-1", "roster.writers": "box-south"}
"""What the example calls the tables of which there may be several."""
KEYS = {key.path: key for key in keys()}


def comments() -> dict[str, str]:
    """The comment above each key of the example, by the key's path."""
    found, section, lines = {}, "", list[str]()
    for line in TEXT.splitlines():
        if line.startswith("["):
            section = re.sub(rf"^({'|'.join(NAMES)})\..*", r"\1.NAME", line.strip("[]"))
        elif (shows := re.match(r"[a-z_]+(?= = )", line)) is not None:
            found[".".join(filter(None, (section, shows[0])))] = " ".join(lines)
        lines = [*lines, line[2:]] if line.startswith("# ") else []
    return found


def test_the_example_is_valid_with_and_without_what_is_commented_out() -> None:
    assert list(load(EXAMPLE).gates) == ["north"]
    assert parse(tomllib.loads(TEXT)).decision.threshold == 0.5


def test_the_example_shows_every_key_and_no_other() -> None:
    assert set(comments()) == set(KEYS) and len(KEYS) > 60


@pytest.mark.parametrize("path", KEYS)
def test_the_example_shows_the_default_and_the_description(path: str) -> None:
    table, there = tomllib.loads(TEXT), path
    for kind, name in NAMES.items():
        there = there.replace(f"{kind}.NAME", f"{kind}.{name}")
    for part in there.split("."):
        table = table[part]
    default = KEYS[path].default
    if default is not MISSING and default is not None:
        assert shown(table) == shown(default)
    assert KEYS[path].description and KEYS[path].description in comments()[path]


def row(key: Key) -> str:
    default = "must be given" if key.default is MISSING else "none" if key.default is None else f"`{shown(key.default)}`"
    return f"| `{key.path}` | {key.type} | {default} | {key.range or '–'} | {key.description} |"


def test_the_readme_has_the_table_of_the_keys() -> None:
    text = (ROOT / "daemon" / "README.md").read_text("utf-8")
    table = text.split("| key | type | default | range | meaning |\n|---|---|---|---|---|\n", 1)[1].split("\n\n")[0]
    assert table.splitlines() == [row(key) for key in KEYS.values()]


@pytest.mark.parametrize("path", KEYS)
def test_a_description_is_one_line_of_sentences_that_fits_a_hint_and_a_table(path: str) -> None:
    said = KEYS[path].description
    assert re.fullmatch(r"[^\n|]{10,250}[.`]", said)
