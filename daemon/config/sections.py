"""The sections of the configuration file, one frozen dataclass each: every key with its type, default, range and description."""

from dataclasses import dataclass, field
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from msgspec import Meta

from daemon.core.passages.claims import Mode
from daemon.core.people.policy import Schedule, window

NOT_A_PATH = "not a path"
"""`extra` of a key that holds a path: the pattern of the values that are none, and stay as they are."""

FilePath = Annotated[str, Meta(extra={NOT_A_PATH: ""})]
Share = Annotated[float, Meta(title="rate", gt=0, lt=1)]
Similarity = Annotated[float, Meta(title="similarity", gt=0, lt=1)]
Seconds = Annotated[float, Meta(gt=0)]


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
    password_file: Annotated[FilePath, Meta(description="A file with the camera's password, which replaces `{password}` in the URL.")] = ""
    stale_s: Annotated[
        Seconds, Meta(description="A live camera that shows nothing new for this many seconds is down, and no older frame is decided on.")
    ] = 2.0
    mode: Annotated[
        Mode,
        Meta(
            description="`identify` compares a face with everybody. `verify` compares it only with the person named by a claim (a badge). "
            "`both` verifies while there is a claim, and identifies otherwise."
        ),
    ] = "identify"


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
class DetectorConfig:
    """What finds faces."""

    kind: Annotated[str, Meta(description="`haar` (comes with OpenCV), or the path of a YuNet ONNX file.", extra={NOT_A_PATH: "haar|"})] = (
        "haar"
    )
    # A 112 px crop made from much less than 40 px holds little to recognise a person by.
    min_face_px: Annotated[
        int, Meta(ge=20, description="Smaller faces are ignored, in pixels of the frame. Below 20 pixels all faces look alike.")
    ] = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityConfig:
    """When a face is good enough to be compared. Poorer ones are counted by reason and never make a decision."""

    min_sharpness: Annotated[
        float,
        Meta(
            description="Fine detail relative to contrast: variance of the Laplacian over variance of the grey crop at 56x56. "
            "0.04 is soft, 0.3 is usual."
        ),
    ] = 0.035
    min_brightness: Annotated[float, Meta(description="Lowest mean grey level of a face (0 to 255).")] = 30.0
    max_brightness: Annotated[float, Meta(description="Highest mean grey level of a face (0 to 255).")] = 230.0
    max_yaw: Annotated[
        float,
        Meta(description="How far the nose may be from the middle of the eyes, in eye distances. Needs a detector with landmarks."),
    ] = 0.45


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionConfig:
    """How frames become one answer per passage."""

    target_fpir: Annotated[
        Share,
        Meta(description="The share of strangers' passages that may match somebody. The bundle's card has the threshold for it."),
    ] = 0.01
    threshold: Annotated[
        Similarity | None,
        Meta(description="A similarity threshold in place of the card's. Needed where the card has none for target_fpir."),
    ] = None
    target_fmr: Annotated[
        Share,
        Meta(description="For claims: the share of strangers with somebody's badge that may pass for that person, by pairs of photos."),
    ] = 0.001
    site_calibration: Annotated[
        FilePath,
        Meta(description="A file of `ostiaryd calibrate` that raises the card's threshold for this gate. Empty: none."),
    ] = ""
    margin: Annotated[float, Meta(ge=0, lt=1, description="How much more similar the best person must be than any other person.")] = 0.05
    min_frames: Annotated[int, Meta(ge=1, description="An answer needs this many good frames of a face.")] = 5
    min_s: Annotated[float, Meta(ge=0, description="An answer needs good frames over at least this many seconds.")] = 0.2
    patience: Annotated[
        int, Meta(description="After this many good frames without an answer the passage is `unknown`. At least min_frames.")
    ] = 10
    recheck_s: Annotated[Seconds, Meta(description="A face that has its answer and stays is compared again after this many seconds.")] = 1.0
    tries: Annotated[
        int, Meta(ge=0, description="How often a face that was not recognised is compared again. Each time is a stranger's chance.")
    ] = 10
    memory: Annotated[
        float, Meta(ge=0, lt=1, description="The weight of a frame relative to the next one. 0 uses each frame alone; older frames fade.")
    ] = 0.95
    lost_s: Annotated[Seconds, Meta(description="A face that is not seen for this many seconds has left, and its passage ends.")] = 1.0
    accept_valid_s: Annotated[Seconds, Meta(description="For how many seconds after its capture an accept may open the gate.")] = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LivenessConfig:
    """A second model that tells living faces from pictures of them. It can only deny."""

    model: Annotated[FilePath, Meta(description="Path of an ONNX file of MiniFASNet's layout. Empty: none, and nothing is checked.")] = ""
    require: Annotated[bool, Meta(description="An accept needs a face that was judged to be live.")] = False
    frames: Annotated[
        int, Meta(ge=1, description="How many of a passage's newest good frames are judged together, at most decision.min_frames.")
    ] = 5
    threshold: Annotated[
        float,
        Meta(title="probability", gt=0, lt=1, description="Below this mean probability of a living face, the face is taken for a spoof."),
    ] = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleConfig:
    """When people of this schedule may pass."""

    zone: Annotated[str, Meta(description="An IANA time zone, for instance Europe/Berlin or UTC.")]
    times: Annotated[
        tuple[str, ...],
        Meta(description="Lines of the form `mon-fri 07:00-19:00`. `fri 22:00-06:00` ends on Saturday."),
    ]

    def schedule(self) -> Schedule:
        """The core's form of it. Raises ScheduleError, or ZoneInfoNotFoundError and ValueError for an unknown zone."""
        return Schedule(ZoneInfo(self.zone), tuple(window(line) for line in self.times))


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockConfig:
    """Whether this machine's clock may judge validity and schedules."""

    trust: Annotated[
        Literal["synchronised", "always"],
        Meta(
            description="`synchronised` rejects people with a time rule unless the kernel says that the clock is kept by a time service. "
            "`always` trusts the clock."
        ),
    ] = "synchronised"


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolmentConfig:
    """What a photo must be to enrol somebody."""

    min_face_px: Annotated[int, Meta(description="Faces on enrolment photos must be at least this large, in pixels.")] = 50
    max_templates: Annotated[int, Meta(ge=1, description="How many templates are kept per person.")] = 10
    publish_names: Annotated[bool, Meta(description="Send people's names with decisions.")] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandsConfig:
    """What commands may do beyond the usual."""

    grants: Annotated[
        tuple[Literal["force", "replace", "capture", "reembed", "verify"], ...],
        Meta(
            description="`force` enrols somebody who looks like another person, or changes the model though templates are lost. "
            "`replace` puts another face on a record. `capture` uses the camera. `reembed` changes the model. "
            "`verify` names the next person."
        ),
    ] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditConfig:
    """The audit chain: records of every command and every decision."""

    keep_days: Annotated[
        int, Meta(ge=1, le=36_500, description="For how many days records of commands and decisions are kept. Older ones are deleted.")
    ] = 365


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
    username: Annotated[str, Meta(description="The name to log in with. Empty: log in without a name.")] = ""
    password_file: Annotated[FilePath, Meta(description="A file whose first line is the password.")] = ""
    ca_file: Annotated[FilePath, Meta(description="A CA certificate (PEM). It switches TLS on.")] = ""
    cert_file: Annotated[FilePath, Meta(description="The daemon's certificate (PEM), together with key_file.")] = ""
    key_file: Annotated[FilePath, Meta(description="The daemon's private key (PEM), together with cert_file.")] = ""
    keepalive_s: Annotated[int, Meta(description="After this many seconds of silence broker and daemon check on each other.")] = 15
    session_expiry_s: Annotated[
        int, Meta(description="For how many seconds the broker keeps commands for a gate that is offline. 0 keeps none.")
    ] = 86_400
    allow_unsigned_commands: Annotated[
        bool, Meta(description="Must be true to take commands from a broker that is not on this machine.")
    ] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsConfig:
    """The Prometheus endpoint."""

    host: Annotated[str, Meta(description="The address of the Prometheus endpoint. It has no password: keep it on loopback.")] = "127.0.0.1"
    port: Annotated[
        int, Meta(title="port number", ge=0, le=65_535, description="The port of the Prometheus endpoint. 0 switches it off.")
    ] = 9464


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything the daemon is told."""

    site: Annotated[str, Meta(description="The name of the site in MQTT topics: `ostiary/v1/<site>/<gate>/...`")]
    gates: Annotated[dict[str, GateConfig], Meta(description="One table [gates.NAME] for each camera.")]
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
    recording: RecordingConfig = field(default_factory=RecordingConfig)
    flight: FlightConfig = field(default_factory=FlightConfig)
    mqtt: MqttConfig = field(default_factory=MqttConfig)
    metrics: MetricsConfig = field(default_factory=MetricsConfig)
