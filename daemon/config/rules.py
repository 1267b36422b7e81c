"""Rules of the configuration that concern several keys, or that a range cannot say."""

import ipaddress
from collections.abc import Iterator
from zoneinfo import ZoneInfoNotFoundError

from daemon.config.errors import ConfigError
from daemon.config.policy import DecisionConfig, LivenessConfig
from daemon.config.sections import Config, MqttConfig
from daemon.core import camera_address, sealed_box
from daemon.core.messages import is_topic_segment
from daemon.core.passages import defaults
from daemon.core.people.policy import ScheduleError
from daemon.core.people.roster_wire import LEAF
from daemon.core.region import RegionError, region
from daemon.core.signing import public_key

LEAST_MARGIN = 0.1
"""A smaller margin is meant as a cosine, as earlier versions took it: taken for standard deviations it would be several times too weak."""
MIN_RECORDING_MB = 100
"""Less room per gate does not hold half a minute of a small camera."""


def check(config: Config, origin: str) -> None:
    """Raises ConfigError for the first rule that is broken. Its message names `origin`."""
    for message, hint in _broken(config):
        raise ConfigError(f"{origin}: {message}", hint)


def _broken(config: Config) -> Iterator[tuple[str, str]]:
    """Messages and hints of the broken rules."""
    yield from _names(config)
    yield from _cameras(config)
    yield from _schedules(config)
    live, gates = config.liveness, len(config.gates)
    yield from _decision("decision", config.decision, live, config.mqtt)
    for name, gate in config.gates.items():
        if gate.decision is not None:
            yield from _decision(f"gates.{name}.decision", gate.decision, live, config.mqtt)
        try:
            region(gate.region)
        except RegionError as error:
            yield f"gates.{name}.region {error}", "[[0.2, 0.1], [0.8, 1.0]], for instance, is the middle of the picture without its top"
    if live.require and not live.model:
        yield "liveness.require = true without liveness.model", "name a model; without one nobody can pass"
    if config.recording.most_mb < MIN_RECORDING_MB * gates:
        yield (
            f"recording.most_mb = {config.recording.most_mb} is less than {MIN_RECORDING_MB} for each gate ({gates} configured)",
            "the default is 4000: a quarter of an hour of one small camera, without loss",
        )
    if config.flight.most_mb < gates:
        yield f"flight.most_mb = {config.flight.most_mb} is less than 1 for each gate ({gates} configured)", "the default is 64"
    if bool(config.mqtt.cert_file) != bool(config.mqtt.key_file):
        yield "mqtt.cert_file and mqtt.key_file belong together", "give both or neither"
    yield from _keys(config)
    yield from _roster(config)
    yield from _home_assistant(config)
    if not config.commands.keys and not config.mqtt.allow_unsigned_commands and not is_loopback(config.mqtt.host):
        yield (
            f"mqtt.host = {config.mqtt.host!r} is not on this machine, and commands are not signed",
            "anybody who can publish there could enrol a face: add [commands.keys.NAME] (`ostiaryctl keygen`), use a broker on 127.0.0.1, "
            "or set mqtt.allow_unsigned_commands = true",
        )


def _decision(section: str, decision: DecisionConfig, live: LivenessConfig, mqtt: MqttConfig) -> Iterator[tuple[str, str]]:
    if decision.threshold is not None and decision.site_calibration:
        yield (
            f"{section}.threshold replaces the card's threshold, and {section}.site_calibration raises it",
            "give one of the two",
        )
    if 0 < decision.margin < LEAST_MARGIN:
        yield (
            f"{section}.margin = {decision.margin} would hardly ask for a difference: it is in standard deviations of strangers'"
            " similarity",
            f"earlier versions took a cosine, 0.05 by default, which is {defaults.MARGIN} now; 0 asks for no difference",
        )
    if decision.share_unknown and mqtt.protocol != "5":
        yield (
            f"{section}.share_unknown needs a broker that drops the pictures in time, and mqtt.protocol is {mqtt.protocol!r}",
            'set mqtt.protocol = "5", or share_unknown = 0',
        )
    if decision.share_unknown and not decision.share_unknown_to:
        yield (
            f"{section}.share_unknown = {decision.share_unknown:g} without {section}.share_unknown_to: nobody could open the pictures",
            "make the desk's key with `ostiaryctl keygen --visitors`, and copy the line that it prints",
        )
    if decision.share_unknown_to:
        try:
            sealed_box.public_key(decision.share_unknown_to)
        except ValueError as error:
            yield (
                f"{section}.share_unknown_to is not an X25519 public key: {error}",
                "take the line that `ostiaryctl keygen --visitors` printed",
            )
    if decision.patience < decision.min_frames:
        yield (
            f"{section}.patience = {decision.patience} is less than {section}.min_frames = {decision.min_frames}",
            "an answer needs min_frames good frames; patience must be at least as many",
        )
    if live.frames > decision.min_frames:
        yield (
            f"liveness.frames = {live.frames} is more than {section}.min_frames = {decision.min_frames}",
            "an answer is given after min_frames good frames; liveness cannot judge more than these",
        )


def _names(config: Config) -> Iterator[tuple[str, str]]:
    hint = "use 1 to 64 letters, digits, '.', '_' and '-'; the names 'all' and 'roster' are taken"
    if not _is_name(config.site):
        yield f"site = {config.site!r} cannot be part of an MQTT topic", hint
    if not config.gates:
        yield "no gate is configured", "add a table [gates.NAME] with a source"
    for name in (*config.gates, *config.other_gates):
        if not _is_name(name):
            yield f"the gate name {name!r} cannot be part of an MQTT topic", hint


def _cameras(config: Config) -> Iterator[tuple[str, str]]:
    for name, gate in config.gates.items():
        if camera_address.is_address(gate.source):
            fault = camera_address.fault(gate.source, gate.username, password=bool(gate.password_file))
            if fault is not None:
                yield f"gates.{name}.source: {fault[0]}", fault[1]
        elif camera_address.is_broken_address(gate.source):
            yield f"gates.{name}.source is no URL, and looks like one: `://` is missing", "most addresses of cameras begin with rtsp://"
        elif gate.username:
            yield f"gates.{name}.username is given, and the source is no URL", "remove it, or give the camera's URL"


def _is_name(text: str) -> bool:
    return is_topic_segment(text) and text not in ("all", LEAF)


def _roster(config: Config) -> Iterator[tuple[str, str]]:
    roster, known = config.roster, dict[bytes, str]()
    for name in (*([roster.name] if roster.name else []), *roster.writers):
        if not is_topic_segment(name):
            yield f"the roster has no writer {name!r}", "use 1 to 64 letters, digits, '.', '_' and '-' for the name of a box"
    for name, writer in roster.writers.items():
        try:
            public = public_key(writer.public).public_bytes_raw()
        except ValueError as error:
            yield f"roster.writers.{name}.public is not an Ed25519 public key: {error}", "take `public_key` from the status of that box"
            continue
        if public in known:
            yield f"roster.writers.{name}.public is the key of {known[public]}", "each box has a key of its own"
        known[public] = name
    if not roster.name:
        return
    if not roster.admin:
        yield "roster.admin is missing", "the key of whoever gives the boxes the site's keys: `ostiaryctl roster init`"
    else:
        try:
            public_key(roster.admin)
        except ValueError as error:
            yield f"roster.admin is not an Ed25519 public key: {error}", "take the line that `ostiaryctl roster init` printed"
    if not roster.keeper and not any(writer.keeper for writer in roster.writers.values()):
        yield (
            "the roster has no keeper, so nobody of another box would ever be accepted",
            "set roster.keeper = true at one box, and roster.writers.NAME.keeper = true for it at all others",
        )


def _keys(config: Config) -> Iterator[tuple[str, str]]:
    commands, named = config.commands, dict[bytes, str]()
    for name, key in commands.keys.items():
        if not is_topic_segment(name):
            yield f"commands.keys: {name!r} is not the name of a key", "use 1 to 64 letters, digits, '.', '_' and '-'"
        try:
            public = public_key(key.public).public_bytes_raw()
        except ValueError as error:
            yield f"commands.keys.{name}.public is not an Ed25519 public key: {error}", "take the line that `ostiaryctl keygen` printed"
            continue
        # An answer is kept under the key: with two names for one, a command could be signed once and carried out twice.
        if public in named:
            yield f"commands.keys.{name}.public is the key of {named[public]}", "make a key for each of them: `ostiaryctl keygen`"
        named[public] = name
        for gate in key.gates:
            if gate not in config.gates:
                yield f"commands.keys.{name}.gates names the gate {gate!r}", f"this box has {', '.join(config.gates)}"
    if commands.keys and commands.grants:
        yield "commands.grants is for unsigned commands, and with [commands.keys] none is taken", "move the grants to `grants` of the keys"
    if commands.keys and config.mqtt.allow_unsigned_commands:
        yield (
            "mqtt.allow_unsigned_commands = true, but with [commands.keys] every command must be signed",
            "remove mqtt.allow_unsigned_commands, or the keys",
        )


def _home_assistant(config: Config) -> Iterator[tuple[str, str]]:
    if not config.home_assistant.capture_button:
        return
    if config.commands.keys:
        yield (
            "home_assistant.capture_button = true, but with [commands.keys] every command must be signed, and Home Assistant cannot sign",
            "remove home_assistant.capture_button; `ostiaryctl enroll PERSON --capture` signs",
        )
    if "capture" not in config.commands.grants:
        yield "home_assistant.capture_button = true without the grant", 'add "capture" to commands.grants; it then holds for every command'


def _schedules(config: Config) -> Iterator[tuple[str, str]]:
    for name, schedule in config.schedules.items():
        try:
            schedule.schedule()
        except ScheduleError as error:
            yield f"schedules.{name}.times: {error}", "for instance `mon-fri 07:00-19:00`"
        except (ZoneInfoNotFoundError, ValueError):
            yield f"schedules.{name}.zone = {schedule.zone!r} is not a time zone", "for instance Europe/Berlin or UTC"


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, by its name or address alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
