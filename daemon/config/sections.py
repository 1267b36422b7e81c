"""The configuration file: one frozen dataclass per section, every key with its type, default, range and description."""

from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

from msgspec import Meta

from daemon.config.home_assistant import HomeAssistantConfig
from daemon.config.kinds import NOT_A_PATH, Corner, FilePath, Seconds
from daemon.config.policy import ClockConfig, DecisionConfig, DetectorConfig, LivenessConfig, QualityConfig, ScheduleConfig
from daemon.config.secret import read_secret
from daemon.core.faces.quality import MIN_ENROLMENT_PX
from daemon.core.passages.claims import Mode
from daemon.core.people.roster_head import LONGEST_LIFE_S

Grants = tuple[Literal["force", "replace", "capture", "reembed", "verify", "roster"], ...]
Ops = tuple[Literal["enroll", "revoke", "suspend", "resume", "update", "verify", "list", "get", "reembed", "resync", "ping"], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GateConfig:
    """One camera."""

    source: Annotated[
        str,
        Meta(
            description="An rtsp:// or http:// URL, a device (/dev/video0), a video file or a folder of pictures.",
            min_length=1,
            extra={NOT_A_PATH: ".*://.*"},
        ),
    ]
    fps: Annotated[float, Meta(gt=0, description="Frames per second of a folder of pictures. Videos carry their own rate.")] = 25.0
    username: Annotated[
        str, Meta(description="The name to log in to the camera with. It may stand in the URL instead. Empty: no name, or the URL's.")
    ] = ""
    password_file: Annotated[
        FilePath,
        Meta(
            description="A file whose first line is the camera's password. It goes with the user name, or replaces `{password}` in the URL."
        ),
    ] = ""
    transport: Annotated[
        Literal["tcp", "udp"],
        Meta(description="How an RTSP camera sends its pictures. With `udp`, packets that are lost spoil pictures, which are dropped."),
    ] = "tcp"
    stale_s: Annotated[
        Seconds, Meta(description="A live camera that shows nothing new for this many seconds is down, and no older frame is decided on.")
    ] = 2.0
    quiet_s: Annotated[
        float,
        Meta(
            ge=0,
            description="A live camera in whose picture nothing has moved for this many seconds is called frozen, unless the noise of its "
            "sensor shows that it lives. 0: never. Nothing is decided on still pictures in any case.",
        ),
    ] = 300.0
    rotate: Annotated[
        Literal[0, 90, 180, 270],
        Meta(description="Turn the pictures clockwise by this many degrees, for a camera that hangs on its side or upside down."),
    ] = 0
    mode: Annotated[
        Mode,
        Meta(
            description="`identify` compares a face with everybody. `verify` compares it only with the person named by a claim (a badge). "
            "`both` verifies while there is a claim, and identifies otherwise."
        ),
    ] = "identify"
    region: Annotated[
        tuple[Corner, ...],
        Meta(
            description="Only faces whose middle is in this part of the picture count: the corners [x, y] of a polygon, or two opposite "
            "corners of a box, as shares of the upright picture's width and height. Empty: all of it."
        ),
    ] = ()
    detector: DetectorConfig | None = None
    """Where it differs from the site's, as the next two: complete, with what this gate does not name taken from the site. `Config.at`
    gives what holds here."""
    quality: QualityConfig | None = None
    decision: DecisionConfig | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreConfig:
    """How people and templates are kept in `state_dir`."""

    key_file: Annotated[
        FilePath,
        Meta(description="The key that seals the store. Empty: the file `key` in state_dir. systemd's credential comes before both."),
    ] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """The bundle, and where it runs."""

    bundle: Annotated[FilePath, Meta(description="Path of a bundle. Empty: the one that comes with the daemon.")] = ""
    next: Annotated[
        FilePath, Meta(description="Path of a second bundle, which `ostiaryctl reembed` changes to, or back from. Empty: none.")
    ] = ""
    provider: Annotated[
        Literal["auto", "cpu", "cuda"],
        Meta(
            description="`cuda` refuses to start unless the model really runs on the GPU. `auto` uses the GPU where it works. "
            "`cpu` never does."
        ),
    ] = "auto"
    threads: Annotated[int, Meta(ge=1, description="How many threads one inference on the CPU uses.")] = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolmentConfig:
    """What a photo must be to enrol somebody."""

    min_face_px: Annotated[int, Meta(description="Faces on enrolment photos must be at least this large, in pixels.")] = MIN_ENROLMENT_PX
    max_templates: Annotated[int, Meta(ge=1, description="How many templates are kept per person.")] = 10
    confirm: Annotated[
        Literal["none", "capture"],
        Meta(
            description="`capture` rejects people who were enrolled from photos (`unconfirmed`) until a gate's camera has seen them too "
            "(enroll with capture), and keeps only what the camera saw."
        ),
    ] = "none"
    publish_names: Annotated[bool, Meta(description="Send people's names with decisions.")] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyConfig:
    """Somebody's key for commands. `ostiaryctl keygen` makes it, and prints this table."""

    public: Annotated[str, Meta(description="The public half of the key: Ed25519, 32 bytes in base64.")]
    ops: Annotated[Ops, Meta(description="The commands that this key may sign. An empty list: none.")]
    gates: Annotated[
        tuple[str, ...],
        Meta(
            description="The gates at which this key may act. It then enrols people for these gates only, and changes nobody who may pass "
            "others. Empty: all gates."
        ),
    ] = ()
    grants: Annotated[Grants, Meta(description="What commands with this key may do beyond the usual, as in `commands.grants`.")] = ()
    rate: Annotated[
        float, Meta(ge=1, description="How many commands with this key are taken per minute. `revoke` and `suspend` are always taken.")
    ] = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandsConfig:
    """Who may ask something, and what commands may do beyond the usual."""

    grants: Annotated[
        Grants,
        Meta(
            description="`force` enrols somebody like another person, or changes the model though templates are lost. "
            "`replace` puts another face on a record. `capture` uses the camera. `reembed` changes the model. "
            "`verify` names the next person. `roster` reads it anew."
        ),
    ] = ()
    keys: dict[str, KeyConfig] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditConfig:
    """The audit chain: records of every command and every decision."""

    keep_days: Annotated[
        int, Meta(ge=1, le=36_500, description="For how many days records of commands and decisions are kept. Older ones are deleted.")
    ] = 365


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxConfig:
    """The messages that wait while the broker is away."""

    most: Annotated[
        int,
        Meta(
            ge=1000,
            le=10_000_000,
            description="How many messages may wait for the broker. Then the oldest are dropped, and a message on `gap` says which.",
        ),
    ] = 100_000
    keep_days: Annotated[
        float, Meta(gt=0, le=36_500, description="For how many days a message may wait for the broker. Older ones are dropped likewise.")
    ] = 7.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingConfig:
    """The frames that the gates look at, kept sealed in `state_dir`/recordings: pictures of everybody who passes."""

    enabled: Annotated[bool, Meta(description="Record the frames that the gates look at: pictures of everybody who passes.")] = False
    most_mb: Annotated[
        int,
        Meta(description="How many MB all recordings together may take on the disk, at least 100 for each gate. The oldest are deleted."),
    ] = 4000
    keep_days: Annotated[
        float,
        Meta(
            gt=0,
            le=36_500,
            description="For how many days recordings are kept, also after recording was switched off. Older ones are deleted.",
        ),
    ] = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FlightConfig:
    """The flight recorder: what the gates saw in the last minutes, without pictures, sealed in `state_dir`/flight."""

    minutes: Annotated[
        float,
        Meta(
            ge=0,
            le=52_560_000,
            description="How many minutes of what the gates saw the flight recorder keeps, without pictures. 0 switches it off.",
        ),
    ] = 60.0
    most_mb: Annotated[
        int,
        Meta(description="How many MB all flight records together may take on the disk, at least 1 for each gate. The oldest are deleted."),
    ] = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttConfig:
    """The broker."""

    host: Annotated[str, Meta(description="The broker's name or address.")] = "127.0.0.1"
    port: Annotated[int, Meta(title="port number", ge=1, le=65_535, description="The broker's port.")] = 1883
    protocol: Annotated[
        Literal["5", "3.1.1"],
        Meta(description="The version of MQTT. `3.1.1` is for brokers without version 5; refusals by the broker's ACL then go unnoticed."),
    ] = "5"
    username: Annotated[
        str, Meta(description="The name to log in with; `{gate}` in it is the gate's name. Empty: log in without a name.")
    ] = ""
    password_file: Annotated[FilePath, Meta(description="A file whose first line is the password; `{gate}` in it is the gate's name.")] = ""
    ca_file: Annotated[FilePath, Meta(description="A CA certificate (PEM). It switches TLS on.")] = ""
    cert_file: Annotated[FilePath, Meta(description="The gate's certificate (PEM), with key_file; `{gate}` in it is the gate's name.")] = ""
    key_file: Annotated[FilePath, Meta(description="The gate's private key (PEM), with cert_file; `{gate}` in it is the gate's name.")] = ""
    keepalive_s: Annotated[int, Meta(description="After this many seconds of silence broker and daemon check on each other.")] = 15
    session_expiry_s: Annotated[
        int, Meta(description="For how many seconds the broker keeps commands for a gate that is offline. 0 keeps none.")
    ] = 86_400
    allow_unsigned_commands: Annotated[
        bool, Meta(description="Must be true to take unsigned commands from a broker that is not on this machine.")
    ] = False

    def of(self, gate: str) -> "MqttConfig":
        """As one gate uses it: with its name in the place of `{gate}`."""
        own = {name: getattr(self, name).replace("{gate}", gate) for name in ("username", "password_file", "cert_file", "key_file")}
        return replace(self, **own)

    def password(self) -> str | None:
        """The password of a gate's own form (`of`), None where it logs in without one. Raises ConfigError."""
        return read_secret(self.password_file, "mqtt.password_file") if self.password_file else None


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsConfig:
    """The Prometheus endpoint."""

    host: Annotated[str, Meta(description="The address of the Prometheus endpoint. It has no password: keep it on loopback.")] = "127.0.0.1"
    port: Annotated[
        int, Meta(title="port number", ge=0, le=65_535, description="The port of the Prometheus endpoint. 0 switches it off.")
    ] = 9464


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterConfig:
    """Another box of the fleet."""

    public: Annotated[str, Meta(description="The key that the box signs with: `public_key` in its status, Ed25519, 32 bytes in base64.")]
    keeper: Annotated[bool, Meta(description="The box is a keeper: it says what the whole roster is.")] = False
    retired: Annotated[
        bool,
        Meta(
            description="The box is gone, stolen perhaps: its records still shut out and let nobody in, until another desk decides about "
            "the person. Leave its entry here."
        ),
    ] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RosterConfig:
    """The people whom the boxes of a site share through the broker."""

    name: Annotated[
        str, Meta(description="The name of this box in the roster. Empty: it shares nobody, and nothing of the other keys counts.")
    ] = ""
    keeper: Annotated[bool, Meta(description="This box says what the whole roster is. At least one box of the fleet must.")] = False
    admin: Annotated[
        str, Meta(description="The key of whoever gives the boxes the site's keys: Ed25519, 32 bytes in base64 (`ostiaryctl roster init`).")
    ] = ""
    head_life_s: Annotated[
        float,
        Meta(
            ge=60,
            le=LONGEST_LIFE_S,
            description="For how many seconds the word of this keeper counts. So long people of other boxes are accepted at boxes that do "
            "not hear it any more.",
        ),
    ] = 300.0
    writers: dict[str, WriterConfig] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogConfig:
    """What the journal says."""

    people: Annotated[
        bool,
        Meta(
            description="The journal names people by their ids. Otherwise it has the pseudonyms of the audit chain, which name nobody "
            "after a revocation."
        ),
    ] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything the daemon is told."""

    site: Annotated[str, Meta(description="The name of the site in MQTT topics: `ostiary/v1/<site>/<gate>/...`")]
    gates: Annotated[dict[str, GateConfig], Meta(description="One table [gates.NAME] for each camera.")]
    other_gates: Annotated[tuple[str, ...], Meta(description="Gates of the site at other computers that a person's record may name.")] = ()
    state_dir: Annotated[FilePath, Meta(description="Where people, templates and waiting messages are kept.")] = "/var/lib/ostiary"
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
    outbox: OutboxConfig = field(default_factory=OutboxConfig)
    recording: RecordingConfig = field(default_factory=RecordingConfig)
    flight: FlightConfig = field(default_factory=FlightConfig)
    mqtt: MqttConfig = field(default_factory=MqttConfig)
    roster: RosterConfig = field(default_factory=RosterConfig)
    home_assistant: HomeAssistantConfig = field(default_factory=HomeAssistantConfig)
    metrics: MetricsConfig = field(default_factory=MetricsConfig)
    log: LogConfig = field(default_factory=LogConfig)

    def at(self, gate: str) -> "Config":
        """What holds at one gate: the site's configuration, with the gate's own detector, quality and decision."""
        own = self.gates[gate]
        return replace(
            self, detector=own.detector or self.detector, quality=own.quality or self.quality, decision=own.decision or self.decision
        )
