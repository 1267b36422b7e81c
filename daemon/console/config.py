"""The console's settings file: the keys of client.toml at the top, and its own in [console]."""

import re
import tomllib
from dataclasses import dataclass, field, replace
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

from daemon.client.failures import ClientError
from daemon.client.settings import given_in
from daemon.config import ConfigError, is_loopback, need_private
from daemon.console.roles import RoleName
from daemon.core import settings

_FILES = ("certificate", "private_key", "users", "visitor_key")
_HEADER = re.compile(r"[A-Za-z0-9-]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleConfig:
    """The keys of [console]. Relative paths start at the file's folder."""

    host: Annotated[str, Meta(min_length=1, description="The address to listen on.")] = "127.0.0.1"
    port: Annotated[int, Meta(title="port number", ge=0, le=65_535, description="The port to listen on; 0 takes a free one.")] = 8480
    certificate: Annotated[str, Meta(description="The console's own TLS certificate (PEM). It switches TLS on.")] = ""
    private_key: Annotated[str, Meta(description="The certificate's key (PEM).")] = ""
    allowed_hosts: Annotated[
        tuple[str, ...], Meta(description="The names by which browsers reach the console, beside addresses and localhost.")
    ] = ()
    users: Annotated[str, Meta(description="The file with users, roles and hashed passwords; `ostiary-console user add` makes it.")] = ""
    session_minutes: Annotated[
        int, Meta(ge=1, le=1_440, description="A session ends so many minutes after the login, whatever it is used for.")
    ] = 30
    idle_minutes: Annotated[
        int, Meta(ge=1, le=1_440, description="A session ends earlier if no page is open and nothing is asked for so long.")
    ] = 15
    trusted_proxies: Annotated[
        tuple[str, ...], Meta(description="Addresses or networks of reverse proxies whose headers are believed.")
    ] = ()
    user_header: Annotated[str, Meta(description="The header in which a trusted proxy names the user who has logged in there.")] = ""
    role_header: Annotated[str, Meta(description="The header in which it gives the role; without it proxy_roles says it.")] = ""
    proxy_roles: Annotated[dict[str, RoleName], Meta(description="The role of each user whom a proxy names.")] = field(default_factory=dict)
    visitor_key: Annotated[
        str, Meta(description="The private key that opens pictures of unknown visitors. Without it the page is off.")
    ] = ""
    metrics: Annotated[dict[str, str], Meta(description="Links to the metrics or dashboards of gates, by the gate's name.")] = field(
        default_factory=dict
    )


@dataclass(frozen=True, slots=True)
class Settings:
    """Both halves of the file: `client` as `daemon.client.target` takes it, and the console's own."""

    client: dict[str, Any]
    console: ConsoleConfig

    @property
    def timeout_s(self) -> float:
        """How long to wait for a gate's answer."""
        return float(self.client.get("timeout", 10.0))


def read_settings(path: Path) -> Settings:
    """The settings in this file, checked. Raises ConfigError."""
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path} cannot be read ({error})", "give --settings the console's file; daemon/console/README.md has one"
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}", 'for instance a line `site = "acme"`') from None
    own = table.pop("console", {})
    try:
        client = given_in(path, table)
        console = settings.build(ConsoleConfig, own, "console")
    except ClientError as error:
        raise ConfigError(error.message, error.hint) from None
    except settings.SettingError as error:
        raise ConfigError(f"{path}: {error.message}", error.hint) from None
    placed: dict[str, Any] = {name: str((path.parent / value).absolute()) for name in _FILES if (value := getattr(console, name))}
    console = replace(console, **placed)
    _check(console)
    return Settings(client, console)


def _check(console: ConsoleConfig) -> None:
    """Raises ConfigError for what does not fit together."""
    if bool(console.certificate) != bool(console.private_key):
        raise ConfigError("console.certificate and console.private_key belong together", "give both files, or neither")
    if console.private_key:
        need_private(console.private_key, "console.private_key")
    if not is_loopback(console.host) and not console.certificate and not console.trusted_proxies:
        raise ConfigError(
            f"console.host = {console.host!r} is not this machine alone, and passwords would travel in the clear",
            "give certificate and private_key, or trusted_proxies for a reverse proxy that has TLS, or listen on 127.0.0.1",
        )
    for network in console.trusted_proxies:
        try:
            ip_network(network, strict=False)
        except ValueError as error:
            raise ConfigError(
                f"console.trusted_proxies: {error}", "give addresses such as 127.0.0.1 or networks such as 10.0.0.0/24"
            ) from None
    for name in ("user_header", "role_header"):
        value = getattr(console, name)
        if value and not _HEADER.fullmatch(value):
            raise ConfigError(f"console.{name} = {value!r} is not the name of a header", "for instance X-Remote-User")
    if console.user_header and not console.trusted_proxies:
        raise ConfigError("console.user_header is believed from nobody", "give trusted_proxies, the addresses of the reverse proxy")
    if console.role_header and not console.user_header:
        raise ConfigError("console.role_header needs console.user_header", "give the header in which the proxy names the user")
    if not console.users and not console.user_header:
        raise ConfigError(
            "nobody could log in: console.users is not given",
            'write users = "users.json" into [console], then `ostiary-console user add NAME --role admin --settings FILE`',
        )
