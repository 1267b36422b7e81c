"""The sections that decide who passes: every key with its type, default, range and description. `policy_digest` names their values."""

from dataclasses import dataclass
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from msgspec import Meta

from daemon.config.kinds import NOT_A_PATH, FilePath, Seconds, Share, Similarity
from daemon.core.faces.quality import MAX_BRIGHTNESS, MAX_YAW, MIN_BRIGHTNESS, MIN_SHARPNESS
from daemon.core.faces.visibility import MAX_COVERED, MIN_UPRIGHT
from daemon.core.passages import defaults
from daemon.core.people.policy import Schedule, window

LONGEST_SHARE_MIN = 1440.0
"""A picture of a stranger that is kept for longer than a day serves no desk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorConfig:
    """What finds faces."""

    kind: Annotated[str, Meta(description="`haar` (comes with OpenCV), or the path of a YuNet ONNX file.", extra={NOT_A_PATH: "haar|"})] = (
        "haar"
    )
    # A 112 px crop made from much less than 40 px holds little to recognise a person by.
    min_face_px: Annotated[
        int,
        Meta(
            ge=20,
            description="Smaller faces are ignored, in pixels of the frame. The larger, the less a frame costs. Below 20 pixels all faces "
            "look alike.",
        ),
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
    ] = MIN_SHARPNESS
    min_brightness: Annotated[float, Meta(description="Lowest mean grey level of a face (0 to 255).")] = MIN_BRIGHTNESS
    max_brightness: Annotated[float, Meta(description="Highest mean grey level of a face (0 to 255).")] = MAX_BRIGHTNESS
    max_yaw: Annotated[
        float,
        Meta(description="How far the nose may be from the middle of the eyes, in eye distances. Needs a YuNet file."),
    ] = MAX_YAW
    min_upright: Annotated[
        float, Meta(title="probability", ge=0, le=1, description="Lowest probability that a face is upright. 0 takes turned faces too.")
    ] = MIN_UPRIGHT
    max_covered: Annotated[
        float,
        Meta(
            title="probability",
            ge=0,
            le=1,
            description="Highest probability that eyes, or nose and mouth, are covered. 1 compares covered faces too, and strangers in the "
            "same mask, helmet or sunglasses are then taken for each other.",
        ),
    ] = MAX_COVERED


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionConfig:
    """How frames become one answer per passage."""

    target_fpir: Annotated[
        Share,
        Meta(description="The share of strangers' passages that may match somebody. The bundle's card has the threshold for it."),
    ] = defaults.TARGET_FPIR
    threshold: Annotated[
        Similarity | None,
        Meta(description="A similarity threshold in place of the card's. Needed where the card has none for target_fpir."),
    ] = None
    target_fmr: Annotated[
        Share,
        Meta(description="For claims: the share of strangers with somebody's badge that may pass for that person, by pairs of photos."),
    ] = defaults.TARGET_FMR
    site_calibration: Annotated[
        FilePath,
        Meta(description="A file of `ostiaryd calibrate` that raises the card's threshold for this gate. Empty: none."),
    ] = ""
    margin: Annotated[
        float,
        Meta(
            ge=0,
            lt=10,
            description="How much more similar the best person must be than any other, in standard deviations of the similarity of two "
            "strangers, which the card tells.",
        ),
    ] = defaults.MARGIN
    min_frames: Annotated[int, Meta(ge=1, description="An answer needs this many good frames of a face.")] = defaults.MIN_FRAMES
    min_s: Annotated[float, Meta(ge=0, description="An answer needs good frames over at least this many seconds.")] = defaults.MIN_S
    patience: Annotated[
        int, Meta(description="After this many good frames without an answer the passage is `unknown`. At least min_frames.")
    ] = defaults.PATIENCE
    recheck_s: Annotated[Seconds, Meta(description="A face that has its answer and stays is compared again after this many seconds.")] = (
        defaults.RECHECK_S
    )
    tries: Annotated[
        int, Meta(ge=0, description="How often a face that was not recognised is compared again. Each time is a stranger's chance.")
    ] = defaults.TRIES
    memory: Annotated[
        float, Meta(ge=0, lt=1, description="The weight of a frame relative to the next one. 0 uses each frame alone; older frames fade.")
    ] = defaults.MEMORY
    lost_s: Annotated[Seconds, Meta(description="A face that is not seen for this many seconds has left, and its passage ends.")] = (
        defaults.LOST_S
    )
    accept_valid_s: Annotated[Seconds, Meta(description="For how many seconds after its capture an accept may open the gate.")] = 3.0
    share_unknown: Annotated[
        float,
        Meta(
            ge=0,
            le=LONGEST_SHARE_MIN,
            description="For how many minutes the broker keeps a sealed picture of somebody whom the gate does not know, for a desk that "
            "enrols or dismisses them. 0: no such picture leaves the gate.",
        ),
    ] = 0.0
    share_unknown_to: Annotated[
        str, Meta(description="The public key that these pictures are sealed to: X25519, 32 bytes in base64. Only its holder sees them.")
    ] = ""


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
