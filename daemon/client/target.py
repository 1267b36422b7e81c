"""Which gate is meant, and which broker it is at."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from daemon.client.broker import Address
from daemon.client.failures import USAGE, ClientError
from daemon.config import load, need_private, read_secret
from daemon.core import messages as m

_CONNECTION = ("host", "port", "protocol", "username", "ca_file", "cert_file", "key_file")


@dataclass(frozen=True, slots=True)
class Target:
    """A gate of a site, or all its gates."""

    address: Address
    site: str
    gate: str
    """The gate's name, or `all` or `+` for every gate."""

    @property
    def is_every_gate(self) -> bool:
        return self.gate in ("all", "+")

    def command_topics(self, op: str) -> list[str]:
        """Where this may be asked, narrowest first: a broker that tells roles apart may allow this user one of them only."""
        lanes = [lane for lane, ops in m.LANES.items() if op in ops]
        return [m.topic(self.site, self.gate, lane) for lane in sorted(lanes, key=lambda lane: lane == "command")]

    def topic(self, leaf: str) -> str:
        """The topic of what the gates say; for every gate it has a wildcard."""
        return m.topic(self.site, "+" if self.is_every_gate else self.gate, leaf)


def target(given: Mapping[str, Any], *, any_gate: bool) -> Target:
    """The target that the configuration and the options in `given` name; the options win. With `any_gate` the default is every gate.

    Raises ClientError, or ConfigError for a configuration or password file that cannot be used.
    """
    options = {name: given[name] for name in _CONNECTION if name in given}
    password_file, site, gates = "", "", ["+"] if any_gate else []
    if "config" in given:
        config = load(given["config"])
        mqtt, site = config.mqtt.of(next(iter(config.gates))), config.site
        password_file = mqtt.password_file
        gates = gates or list(config.gates)
        # The gate's own login comes along where nobody names another. Under the ACL of deploy/ it may ask nothing.
        options = {name: getattr(mqtt, name) for name in _CONNECTION} | options
    site = given.get("site", site)
    if not m.is_topic_segment(site):
        message = f"{site!r} is not the name of a site" if site else "no site is given"
        hint = "give --site, a settings file (~/.config/ostiary/client.toml), or --config with the daemon's configuration"
        raise ClientError(USAGE, message, hint)
    gate = given.get("gate", gates[0] if gates else "")  # the gates of one daemon share their people, so any of them will do
    if not (any_gate and gate == "+") and not m.is_topic_segment(gate):
        message = f"{gate!r} is not the name of a gate" if gate else "no gate is given"
        raise ClientError(USAGE, message, "give --gate NAME, or --gate all for every gate of the site")
    port = options.get("port", 1883)
    if not 0 < port < 65_536:
        raise ClientError(USAGE, f"{port} is not a port number", "give a number from 1 to 65535; 1883 is usual, 8883 with TLS")
    if options.get("key_file"):
        need_private(options["key_file"], "--key-file")
    # The configuration's password is the configuration's user's.
    password_file = given.get("password_file", "" if "username" in given else password_file)
    password = read_secret(password_file, "--password-file") if password_file else None
    own = bool("config" in given and "username" not in given and options.get("username"))
    defaults = {"host": "127.0.0.1", "port": port, "protocol": "5", "password": password, "is_gates_login": own}
    return Target(msgspec.convert(defaults | options, Address), site, gate)
