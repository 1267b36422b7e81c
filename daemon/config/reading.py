"""Reading a configuration file: TOML to a Config, checked, with absolute paths."""

import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from daemon.config.errors import ConfigError
from daemon.config.kinds import NOT_A_PATH
from daemon.config.rules import check
from daemon.config.sections import Config
from daemon.core import settings

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Section = TypeVar("Section", bound="DataclassInstance")
GATE_SECTIONS = ("detector", "quality", "decision")
"""Sections that a gate may have of its own."""
ONE_OF = {"threshold", "site_calibration"}
"""A gate that gives one of them does without the site's other one."""
EXAMPLE = "deploy/config.toml is an example"


def load(path: Path) -> Config:
    """Read and check a configuration file. Raises ConfigError. Relative paths in it start at the file's folder."""
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file", f"give the path of a configuration; {EXAMPLE}") from None
    except IsADirectoryError:
        raise ConfigError(f"{path} is a folder", "give the path of the file in it, for instance config.toml") from None
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}", "the daemon's user must be able to read the file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}", EXAMPLE) from None
    return parse(table, str(path), path.parent)


def parse(table: dict[str, Any], origin: str = "configuration", folder: Path = Path()) -> Config:
    """A TOML table to a checked Config. Raises ConfigError, whose message names `origin`. Relative paths start at `folder`."""
    try:
        config = settings.build(Config, table)
    except settings.SettingError as error:
        raise ConfigError(f"{origin}: {error.message}", error.hint) from None
    config = _inherited(config, table)
    check(config, origin)
    return _with_absolute_paths(config, folder)


def _inherited(config: Config, table: dict[str, Any]) -> Config:
    """The gates' own sections, completed by the site's."""
    gates = {}
    for name, gate in config.gates.items():
        own = {section: getattr(gate, section) for section in GATE_SECTIONS}
        complete = {
            section: _over(getattr(config, section), given, table["gates"][name][section])
            for section, given in own.items()
            if given is not None
        }
        gates[name] = replace(gate, **complete)
    return replace(config, gates=gates)


def _over(site: Section, own: Section, given: Iterable[str]) -> Section:
    """The site's section with the keys that a gate gives. `own` has the defaults of all others."""
    names = set(given)
    return replace(site, **{name: getattr(own, name) for name in (names | ONE_OF if names & ONE_OF else names)})


def keys() -> Iterator[settings.Key]:
    """Every key of the configuration with its section, type, default, range and description, in the order of the sections."""
    return settings.keys(Config)


def _with_absolute_paths(section: Section, folder: Path) -> Section:
    not_a_path = {key.name: key.extra.get(NOT_A_PATH) for key in settings.keys(type(section)) if not key.section}
    changed: dict[str, Any] = {}
    for field in fields(section):
        value = getattr(section, field.name)
        pattern = not_a_path.get(field.name)
        if is_dataclass(value) and not isinstance(value, type):
            changed[field.name] = _with_absolute_paths(value, folder)
        elif isinstance(value, dict):
            changed[field.name] = {name: _with_absolute_paths(table, folder) for name, table in value.items()}
        elif pattern is not None and not re.fullmatch(pattern, value, re.DOTALL):
            changed[field.name] = str((folder / value).absolute())
    return replace(section, **changed)
