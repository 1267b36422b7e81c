"""The settings file of a desk program: broker, site, gate and login of the person or program that uses it."""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta

from daemon.client.failures import USAGE, ClientError
from daemon.config import load
from daemon.core import settings

SYSTEM = Path("/etc/ostiary/client.toml")
_FILES = ("password_file", "ca_file", "cert_file", "key_file", "key")
_LOGIN = ("username", "password_file", "cert_file", "key_file")
_ANSWERS = ("key", "gate_key", "timeout")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSettings:
    """Every key is one of ostiaryctl's options, and the option wins. Relative paths start at the file's folder."""

    site: Annotated[str, Meta(description="The site's name in the topics.")] = ""
    gate: Annotated[str, Meta(description="The gate; `all` for every gate of the site.")] = ""
    host: Annotated[str, Meta(description="The broker's host.")] = "127.0.0.1"
    port: Annotated[int, Meta(title="port number", ge=1, le=65_535, description="The broker's port.")] = 1883
    protocol: Annotated[Literal["5", "3.1.1"], Meta(description="The version of MQTT.")] = "5"
    username: Annotated[str, Meta(description="The login at the broker.")] = ""
    password_file: Annotated[str, Meta(description="A file whose first line is the password.")] = ""
    ca_file: Annotated[str, Meta(description="A CA certificate (PEM). It switches TLS on.")] = ""
    cert_file: Annotated[str, Meta(description="This user's certificate (PEM).")] = ""
    key_file: Annotated[str, Meta(description="The certificate's key (PEM).")] = ""
    key: Annotated[str, Meta(description="A file of `ostiaryctl keygen` that signs commands.")] = ""
    gate_key: Annotated[tuple[str, ...], Meta(description="Believe only what these public keys of gates have signed.")] = ()
    timeout: Annotated[float, Meta(gt=0, le=86_400 * 365, description="How many seconds to wait for an answer.")] = 10.0


def client_settings(path: Path | None = None) -> dict[str, Any]:
    """What stands in the settings file at `path`, else in the user's own, else in the machine's; nothing where there is none.

    Only keys that the file has, with absolute paths. Raises ClientError for a file that cannot be used.
    """
    for place in (path,) if path is not None else (_own(), SYSTEM):
        try:
            text = place.read_text("utf-8")
        except (FileNotFoundError, NotADirectoryError):
            if path is not None:
                raise ClientError(USAGE, f"{place}: no such file", "give --settings a file with site, gate, username and so on") from None
        except PermissionError:
            # The machine's file may be for root or a group only; then it says nothing to others.
            if place != SYSTEM or path is not None:
                raise ClientError(USAGE, f"{place}: you may not read it", "chmod or chown it, or run this as its owner") from None
        except (OSError, UnicodeDecodeError) as error:
            raise ClientError(USAGE, f"{place} cannot be read ({error})", "it is a TOML file with site, gate, username and so on") from None
        else:
            return _read(place, text)
    return {}


def completed(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options in `given`, and what the settings say beside them. An option wins.

    With `config` the settings count only where they are about the same site and broker: a password is shown to no other broker. Then they
    replace the login of the configuration, which is the gate's own. Raises ClientError and ConfigError.
    """
    found = client_settings(given.get("settings"))
    if "username" in given:  # the password of the settings is the settings' user's
        found = {name: value for name, value in found.items() if name not in ("username", "password_file")}
    if "config" in given:
        config = load(given["config"])
        place = (found.get("site"), found.get("host", "127.0.0.1"), found.get("port", 1883))
        if place != (config.site, config.mqtt.host, config.mqtt.port):
            return dict(given)
        login = dict.fromkeys(_LOGIN, "") if any(found.get(name) for name in _LOGIN) else {}
        found = login | {name: value for name, value in found.items() if name in (*_LOGIN, *_ANSWERS)}
    if "key" in found:
        found["key"] = Path(found["key"])
    return found | dict(given)


def _own() -> Path:
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path("~/.config").expanduser()) / "ostiary" / "client.toml"


def _read(path: Path, text: str) -> dict[str, Any]:
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ClientError(USAGE, f"{path} is not valid TOML: {error}", 'for instance a line `site = "acme"`') from None
    return given_in(path, table)


def given_in(path: Path, table: Mapping[str, Any]) -> dict[str, Any]:
    """What the table of the settings file at `path` says: only keys that it has, with absolute paths. Raises ClientError."""
    try:
        read = settings.build(ClientSettings, dict(table))
    except settings.SettingError as error:
        raise ClientError(USAGE, f"{path}: {error.message}", error.hint) from None
    given = {field.name: getattr(read, field.name) for field in fields(read) if field.name in table}
    return given | {name: str((path.parent / given[name]).absolute()) for name in _FILES if given.get(name)}
