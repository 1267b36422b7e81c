"""The configuration file: one frozen dataclass per TOML section. An unknown key is an error that names the nearest known one."""

import difflib
import ipaddress
import tomllib
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from daemon.core.faults import Fault
from daemon.core.messages import is_topic_segment
from daemon.core.passages import defaults
from daemon.core.passages.claims import Mode
from daemon.core.people.policy import Schedule, ScheduleError, window


class ConfigError(Fault):
    """The configuration cannot be used. `hint` says what to do about it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateConfig:
    """One camera. `source` is an rtsp:// or http:// URL, a device (/dev/video0), a video file or a folder of pictures."""

    source: str
    fps: float = 25.0
    """Frames per second of a folder of pictures; videos carry their own rate."""
    password_file: str = ""
    """A file holding the camera's password, put into the URL in place of `{password}`, so that it stands in no configuration."""
    stale_s: float = 2.0
    """A live camera that shows nothing new for this long is down, and no older frame is decided upon."""
    mode: Mode = "identify"
    """`identify` searches among all; `verify` compares with whom a claim (a badge) names, and lets nobody in without one; `both` does the
    one or the other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreConfig:
    """How people and templates are kept in `state_dir`."""

    key_file: str = ""
    """The key that everything in the store is sealed with; empty means `key` in `state_dir`. systemd's credential goes before both."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """The bundle, and where it runs."""

    bundle: str = ""
    """Path of a bundle; empty means the one that comes with the daemon."""
    next: str = ""
    """Path of a second bundle, for the command `reembed` to change to, or back from; empty means none."""
    provider: Literal["auto", "cpu", "cuda"] = "auto"
    """`cuda` refuses to start unless the graph really runs there; `auto` takes CUDA where it works."""
    threads: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorConfig:
    """Who finds faces: `haar` (comes with OpenCV) or the path of a YuNet ONNX file."""

    kind: str = "haar"
    min_face_px: int = 40
    """Smaller faces are not looked for. A 112 px crop made from much less than 40 px holds little to know a person by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityConfig:
    """When a face is good enough to be scored. Poorer ones are counted by reason and never make a decision."""

    min_sharpness: float = 0.035
    """Fine detail against contrast: variance of the Laplacian over variance of the grey crop at 56×56. 0.04 is soft, 0.3 usual."""
    min_brightness: float = 30.0
    """Mean grey level of the face, 0 to 255; also below."""
    max_brightness: float = 230.0
    max_yaw: float = 0.45
    """How far the nose may lie from the middle of the eyes, in eye distances (needs a detector with landmarks)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionConfig:
    """How frames become one answer per passage."""

    target_fpir: float = 0.01
    """Of all strangers' passages, the share that may find somebody; the bundle's card says which threshold holds that."""
    threshold: float | None = None
    """An explicit similarity threshold, in place of the card's. Needed where the card cannot resolve the target."""
    target_fmr: float = 0.001
    """Of all strangers with somebody's badge, the share that may be taken for them (by pairs of photos): for gates that verify claims."""
    site_calibration: str = ""
    """A file of `ostiaryd calibrate` that raises the card's threshold for this gate; empty means none. Not beside `threshold`."""
    margin: float = defaults.MARGIN
    """How much nearer the best person must be than any other person."""
    min_frames: int = defaults.MIN_FRAMES
    min_s: float = defaults.MIN_S
    """An answer needs so many good frames of a face, over at least this time."""
    patience: int = defaults.PATIENCE
    """After this many good frames without an answer the passage is `unknown`."""
    recheck_s: float = defaults.RECHECK_S
    """An answered face that stays is looked at again this often."""
    tries: int = defaults.TRIES
    """So many further looks a face gets that was not recognised. Each is a stranger's chance."""
    memory: float = defaults.MEMORY
    """What a frame weighs beside the next one, 0 to 1: frames are fused, and older ones fade."""
    lost_s: float = defaults.LOST_S
    """A face not seen for this long has left: its passage ends."""
    accept_valid_s: float = 3.0
    """For how long after its capture an accept may open the gate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LivenessConfig:
    """A second model that tells living faces from pictures of them. It can only deny."""

    model: str = ""
    """Path of an ONNX file of MiniFASNet's layout; empty means none, and nothing is looked at."""
    require: bool = False
    """An accept needs a face that was judged to be live."""
    frames: int = 5
    """So many of a passage's newest good frames are judged together: their mean probability of a living face ..."""
    threshold: float = 0.5
    """... must be at least this, or the face is taken for a spoof."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleConfig:
    """When people of this schedule may pass."""

    zone: str
    """An IANA time zone, for instance `Europe/Berlin`."""
    times: tuple[str, ...]
    """Lines of the form `mon-fri 07:00-19:00`; `fri 22:00-06:00` goes on into Saturday."""

    def schedule(self) -> Schedule:
        """The core's form of it. Raises ScheduleError, or ZoneInfoNotFoundError and ValueError for a zone that is none."""
        return Schedule(ZoneInfo(self.zone), tuple(window(line) for line in self.times))


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockConfig:
    """Whether this machine's clock may judge validity and schedules."""

    trust: Literal["synchronised", "always"] = "synchronised"
    """`synchronised`: while the kernel says that a time service keeps it in step; else who has a rule of time is rejected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolmentConfig:
    """What a photo must be to enrol somebody."""

    min_face_px: int = 50
    max_templates: int = 10
    """Templates kept per person."""
    publish_names: bool = False
    """Send people's names with decisions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandsConfig:
    """What commands may do beyond the usual."""

    grants: tuple[Literal["force", "replace", "capture", "reembed", "verify"], ...] = ()
    """`force` enrols somebody who looks like another person, or changes the model though somebody's templates are lost by it; `replace`
    puts another face on a record, `capture` uses the camera, `reembed` changes the model, `verify` says who comes next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditConfig:
    """The audit chain: records of every command and every decision."""

    keep_days: int = 365
    """Older records are let go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingConfig:
    """The frames that the gates look at, kept sealed in `state_dir`/recordings: pictures of everybody who passes."""

    enabled: bool = False
    most_mb: int = 4000
    """What they may take on the disk, of all gates together; the oldest go."""
    keep_days: float = 3.0
    """None is kept for longer, also after recording was switched off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlightConfig:
    """The flight recorder: what the gates saw in the last minutes, without pictures, sealed in `state_dir`/flight."""

    minutes: float = 60.0
    """None is kept for longer; 0 switches it off."""
    most_mb: int = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttConfig:
    """The broker."""

    host: str = "127.0.0.1"
    port: int = 1883
    protocol: Literal["5", "3.1.1"] = "5"
    username: str = ""
    password_file: str = ""
    ca_file: str = ""
    """A CA certificate switches TLS on."""
    cert_file: str = ""
    key_file: str = ""
    keepalive_s: int = 15
    session_expiry_s: int = 86_400
    """How long the broker keeps commands for a gate that is offline."""
    allow_unsigned_commands: bool = False
    """Must be set in so many words to take commands from a broker that is not on this machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsConfig:
    """The Prometheus endpoint. Port 0 switches it off."""

    host: str = "127.0.0.1"
    port: int = 9464


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything the daemon is told."""

    site: str
    gates: dict[str, GateConfig]
    state_dir: str = "/var/lib/ostiary"
    store: StoreConfig = field(default_factory=StoreConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    detector: DetectorConfig = field(default_factory=DetectorConfig)
    quality: QualityConfig = field(default_factory=QualityConfig)
    decision: DecisionConfig = field(default_factory=DecisionConfig)
    liveness: LivenessConfig = field(default_factory=LivenessConfig)
    schedules: dict[str, ScheduleConfig] = field(default_factory=dict)
    clock: ClockConfig = field(default_factory=ClockConfig)
    enrolment: EnrolmentConfig = field(default_factory=EnrolmentConfig)
    commands: CommandsConfig = field(default_factory=CommandsConfig)
    audit: AuditConfig = field(default_factory=AuditConfig)
    recording: RecordingConfig = field(default_factory=RecordingConfig)
    flight: FlightConfig = field(default_factory=FlightConfig)
    mqtt: MqttConfig = field(default_factory=MqttConfig)
    metrics: MetricsConfig = field(default_factory=MetricsConfig)


_SECTIONS = {
    "store": StoreConfig, "model": ModelConfig, "detector": DetectorConfig, "quality": QualityConfig, "decision": DecisionConfig,
    "clock": ClockConfig, "enrolment": EnrolmentConfig, "commands": CommandsConfig, "audit": AuditConfig, "recording": RecordingConfig,
    "flight": FlightConfig, "liveness": LivenessConfig, "mqtt": MqttConfig, "metrics": MetricsConfig,
}  # fmt: skip


def load(path: Path) -> Config:
    """Read and check a configuration file. Raises ConfigError. Relative paths in it are taken from the file's folder."""
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file", "give the path of a configuration; deploy/config.toml is an example") from None
    except IsADirectoryError:
        raise ConfigError(f"{path}: a folder", "give the path of the file in it, config.toml for instance") from None
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}", "the daemon's user must be able to read it") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}", "the file is TOML; deploy/config.toml is an example") from None
    return parse(table, str(path), path.parent)


def parse(table: dict[str, Any], origin: str = "configuration", folder: Path = Path()) -> Config:
    """A TOML table to a Config, with its relative paths taken from `folder`. Raises ConfigError."""
    _check_keys(table, Config, origin, "")
    for name, section in _SECTIONS.items():
        _check_keys(table.get(name), section, origin, f"{name}.")
    gates = table.get("gates")
    for gate, keys in gates.items() if isinstance(gates, dict) else ():
        _check_keys(keys, GateConfig, origin, f"gates.{gate}.")
    schedules = table.get("schedules")
    for name, keys in schedules.items() if isinstance(schedules, dict) else ():
        _check_keys(keys, ScheduleConfig, origin, f"schedules.{name}.")
    try:
        config = msgspec.convert(table, Config)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{origin}: {error}", "deploy/config.toml shows every key with its type and default") from None
    config = _with_absolute_paths(config, folder)
    _check_values(config, origin)
    return config


def _check_keys(table: object, section: type, origin: str, prefix: str) -> None:
    known = [f.name for f in fields(section)]
    for key in table if isinstance(table, dict) else ():
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
            hint = f"did you mean `{prefix}{near[0]}`?" if near else f"known keys: {', '.join(known)}"
            raise ConfigError(f"{origin}: unknown key `{prefix}{key}`", hint)


def _with_absolute_paths(config: Config, folder: Path) -> Config:
    def absolute(text: str) -> str:
        return str((folder / text).absolute()) if text else text

    def source(text: str) -> str:
        return text if "://" in text or text.startswith("/dev/") else absolute(text)

    return replace(
        config,
        state_dir=absolute(config.state_dir),
        gates={n: replace(g, source=source(g.source), password_file=absolute(g.password_file)) for n, g in config.gates.items()},
        store=replace(config.store, key_file=absolute(config.store.key_file)),
        model=replace(config.model, bundle=absolute(config.model.bundle), next=absolute(config.model.next)),
        decision=replace(config.decision, site_calibration=absolute(config.decision.site_calibration)),
        liveness=replace(config.liveness, model=absolute(config.liveness.model)),
        detector=replace(config.detector, kind=config.detector.kind if config.detector.kind == "haar" else absolute(config.detector.kind)),
        mqtt=replace(
            config.mqtt,
            password_file=absolute(config.mqtt.password_file),
            ca_file=absolute(config.mqtt.ca_file),
            cert_file=absolute(config.mqtt.cert_file),
            key_file=absolute(config.mqtt.key_file),
        ),
    )


_SEGMENT_HINT = "use letters, digits, '.', '_' and '-'; the name 'all' is taken"


def _check_values(config: Config, origin: str) -> None:
    def need(holds: bool, message: str, hint: str) -> None:
        if not holds:
            raise ConfigError(f"{origin}: {message}", hint)

    need(is_topic_segment(config.site) and config.site != "all", f"site = {config.site!r} cannot stand in an MQTT topic", _SEGMENT_HINT)
    need(bool(config.gates), "no gate is configured", "add a table [gates.NAME] with a source")
    for name, gate in config.gates.items():
        need(is_topic_segment(name) and name != "all", f"gate name {name!r} cannot stand in an MQTT topic", _SEGMENT_HINT)
        need(bool(gate.source), f"gates.{name}.source is empty", "give a URL, a device, a video file or a folder of pictures")
        need(gate.fps > 0 and gate.stale_s > 0, f"gates.{name}: fps and stale_s must be above 0", "leave them out for the defaults")
    for name, schedule in config.schedules.items():
        try:
            schedule.schedule()
        except ScheduleError as error:
            need(False, f"schedules.{name}: {error}", "for instance `mon-fri 07:00-19:00`")
        except (ZoneInfoNotFoundError, ValueError):
            need(False, f"schedules.{name}.zone = {schedule.zone!r} is no time zone", "for instance Europe/Berlin, or UTC")
    d = config.decision
    need(
        0 < d.target_fpir < 1,
        f"decision.target_fpir = {d.target_fpir} is no rate",
        "0.01 lets one stranger's search in a hundred find somebody",
    )
    need(
        0 < d.target_fmr < 1,
        f"decision.target_fmr = {d.target_fmr} is no rate",
        "0.001 takes one stranger in a thousand for the claimed person",
    )
    need(
        d.threshold is None or 0 < d.threshold < 1,
        f"decision.threshold = {d.threshold} is no usable similarity",
        "similarities are cosines; a gate's threshold lies between 0 and 1",
    )
    need(
        d.threshold is None or not d.site_calibration,
        "decision.threshold stands in place of the card's, and decision.site_calibration raises the card's",
        "give one of the two",
    )
    need(0 <= d.margin < 1, f"decision.margin = {d.margin} is out of range", "0 to 1; 0.05 is the default")
    need(d.min_frames >= 1, f"decision.min_frames = {d.min_frames} is below 1", "5 is the default")
    need(
        d.patience >= d.min_frames,
        f"decision.patience = {d.patience} is shorter than min_frames = {d.min_frames}",
        "patience counts good frames and must be at least min_frames",
    )
    need(d.min_s >= 0 and d.recheck_s > 0, "decision.min_s is below 0, or recheck_s not above 0", "0.2 and 1.0 are the defaults")
    need(d.tries >= 0, f"decision.tries = {d.tries} is below 0", "10 is the default")
    need(0 <= d.memory < 1, f"decision.memory = {d.memory} is out of range", "0 (each frame alone) to below 1; 0.95 is the default")
    need(
        d.lost_s > 0 and d.accept_valid_s > 0, "decision.lost_s and decision.accept_valid_s must be above 0", "1.0 and 3.0 are the defaults"
    )
    live = config.liveness
    need(bool(live.model) or not live.require, "liveness.require without liveness.model", "name a model, or nobody could ever pass")
    need(
        1 <= live.frames <= d.min_frames,
        f"liveness.frames = {live.frames} is not 1 to decision.min_frames = {d.min_frames}",
        "an answer is given after min_frames good frames, and it cannot be of more",
    )
    need(0 < live.threshold < 1, f"liveness.threshold = {live.threshold} is no usable probability", "between 0 and 1; 0.5 is the default")
    need(
        config.detector.min_face_px >= 20, "detector.min_face_px is below 20", "a face of fewer than 20 pixels cannot be told from another"
    )
    need(config.enrolment.max_templates >= 1, "enrolment.max_templates is below 1", "10 is the default")
    keep = config.audit.keep_days
    need(1 <= keep <= 36_500, f"audit.keep_days = {keep} is out of range", "1 to 36500 (a hundred years); 365 is the default")
    r, f, gates = config.recording, config.flight, len(config.gates)
    need(
        r.most_mb >= 100 * gates,
        f"recording.most_mb = {r.most_mb} is below 100 for each of {gates} gates",
        "4000 is the default: a quarter of an hour of a small camera, and its pictures are lossless",
    )
    need(0 < r.keep_days <= 36_500, f"recording.keep_days = {r.keep_days} is out of range", "above 0; 3 is the default")
    need(0 <= f.minutes <= 52_560_000, f"flight.minutes = {f.minutes} is out of range", "0 for no flight recorder; 60 is the default")
    need(f.most_mb >= gates, f"flight.most_mb = {f.most_mb} is below 1 for each of {gates} gates", "64 is the default")
    need(config.model.threads >= 1, "model.threads is below 1", "1 is the default")
    need(1 <= config.mqtt.port <= 65_535, f"mqtt.port = {config.mqtt.port} is no port", "1 to 65535")
    need(0 <= config.metrics.port <= 65_535, f"metrics.port = {config.metrics.port} is no port", "1 to 65535, or 0 for no metrics")
    need(bool(config.mqtt.cert_file) == bool(config.mqtt.key_file), "mqtt.cert_file and mqtt.key_file go together", "give both or neither")
    need(
        config.mqtt.allow_unsigned_commands or _is_loopback(config.mqtt.host),
        f"the broker {config.mqtt.host} is not on this machine and commands are not signed",
        "anybody who can publish there could enrol a face; use a broker on 127.0.0.1, or set mqtt.allow_unsigned_commands = true",
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class _SiteFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    thresholds: dict[str, float]


def read_site_calibration(path: str) -> dict[str, float]:
    """The thresholds of a file of `ostiaryd calibrate`, by the id of the model they are for. Raises ConfigError."""
    try:
        thresholds = msgspec.toml.decode(Path(path).read_bytes(), type=_SiteFile).thresholds
    except (OSError, msgspec.MsgspecError) as error:
        hint = "make it with `ostiaryd calibrate` as the daemon's user, who must be able to read it"
        raise ConfigError(f"decision.site_calibration: {path} cannot be read ({error})", hint) from None
    for model, threshold in thresholds.items():
        if not 0 < threshold < 1:
            raise ConfigError(f"{path}: {threshold} of {model} is no usable similarity", "calibrate anew: `ostiaryd calibrate`")
    return thresholds


def read_secret(path: str, key: str) -> str:
    """The first line of a secret file named by the configuration key `key`. Raises ConfigError."""
    try:
        lines = Path(path).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{key}: {path} cannot be read ({error})", "a text file, its first line the secret, readable by the daemon's user"
        ) from None
    if not lines or not lines[0]:
        raise ConfigError(f"{key}: {path} is empty", "its first line must be the secret")
    return lines[0]
