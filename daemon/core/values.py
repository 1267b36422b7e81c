"""The values that travel from camera to broker. All are frozen, with one word per thing (see ARCHITECTURE.md)."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

import numpy as np
import numpy.typing as npt

from daemon.core.boxes import Box

Image = npt.NDArray[np.uint8]
"""A picture, uint8 [height, width, 3]. Frames are BGR as OpenCV delivers them; crops are RGB as the bundle expects them."""

Vector = npt.NDArray[np.float32]
"""An embedding, float32 [dimension], unit length."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture of one camera.

    `at_s` is the time of capture in seconds on a clock that never steps; only differences mean anything. Ages, tracks and
    timeouts use it. `captured_at` is the same instant for people and records (UTC seconds since the epoch).
    """

    gate: str
    number: int
    at_s: float
    captured_at: float
    image: Image


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """A face that the detector found: its box, the detector's score, its landmarks if the detector gives them, and the aligner's anchors.

    `landmarks` is float32 [5, 2] in frame pixels: the picture's left eye, right eye, nose, left and right corner of the mouth. `anchors`
    are the same five points as the aligner wants them in the crop: they place the crop, and say nothing about how the head is turned.
    `square`: the box is a cascade's, a square, which is wider than the face and less high.
    """

    box: Box
    score: float
    landmarks: npt.NDArray[np.float32] | None = None
    square: bool = False
    anchors: npt.NDArray[np.float32] | None = None


class Quality(StrEnum):
    """Whether a face can be scored; if not, why."""

    OK = "ok"
    TOO_SMALL = "too_small"
    BLURRED = "blurred"
    TOO_DARK = "too_dark"
    TOO_BRIGHT = "too_bright"
    PROFILE = "profile"
    CUT = "cut"
    NOT_UPRIGHT = "not_upright"
    COVERED = "covered"


@dataclass(frozen=True, slots=True, eq=False)
class Probe:
    """A face of one frame that needs an answer. `crop` is uint8 [112, 112, 3] RGB, aligned.

    `surroundings` is the face with what is around it, uint8 [80, 80, 3] BGR. It is there if the face can be scored and a liveness model is
    used. `portrait` is the face with more around it, uint8 [H, W, 3] BGR, if it can be scored and the gate shares unknown faces
    (`portrait.py`).
    """

    face: Face
    crop: Image
    quality: Quality
    surroundings: Image | None = None
    portrait: Image | None = None


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """What one frame showed, ready for the engine: every face in it, whether it can be scored or not. `thorough` is False if faces were
    looked for only where some were already: whoever has just come may be missing."""

    gate: str
    number: int
    at_s: float
    captured_at: float
    probes: tuple[Probe, ...]
    thorough: bool = True


@dataclass(frozen=True, slots=True)
class Match:
    """The nearest enrolled person to one probe.

    `person` is None when nobody is enrolled. `rival` is the best similarity of any *other* person (-1 when there is none). `centred` is the
    similarity to `person` after what all faces at the gate have in common was taken away (`cohort.py`); None where a gate does not ask.
    Similarities are cosines in [-1, 1].
    """

    person: str | None
    similarity: float
    rival: float
    centred: float | None = None


@dataclass(frozen=True, slots=True)
class Spread:
    """How alike two strangers are: the mean and the standard deviation of their similarity."""

    mean: float
    deviation: float


@dataclass(frozen=True, slots=True)
class Sighting:
    """One face of one frame on its track. `match` is None when the face was too poor to be scored."""

    track: int
    number: int
    at_s: float
    captured_at: float
    box: Box
    quality: Quality
    match: Match | None


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody enrolled. `person` is an employee number; times are UTC seconds; no `gates` means all of them, no `schedule` any time.

    `unconfirmed`: the templates come from photos, and a gate's camera has not yet seen the person whom they should show.
    `shared`: another box has a say in it, so the record holds only while the box knows the whole roster. `disputed`: two desks disagree.
    """

    person: str
    name: str | None = None
    suspended: bool = False
    valid_from: float | None = None
    valid_until: float | None = None
    gates: tuple[str, ...] | None = None
    consent: str | None = None
    enrolled_at: float = 0.0
    schedule: str | None = None
    unconfirmed: bool = False
    shared: bool = False
    disputed: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """One enrolled crop and each model's vector of it. `number` is never used again after a removal.

    `crop` is the aligned face as a PNG file, kept so that another model can embed it. It is empty if it was not read or does not open.
    `vectors` maps the id of a bundle to the one vector that it made.
    """

    number: int
    person: str
    crop: bytes
    vectors: Mapping[str, Vector]


@dataclass(frozen=True, slots=True, eq=False)
class Embedded:
    """One model's vector of the template with this number."""

    number: int
    person: str
    vector: Vector


class Verdict(StrEnum):
    """What the gate decides. Only `accept` opens it."""

    ACCEPT = "accept"
    REJECT = "reject"
    UNKNOWN = "unknown"


class Liveness(StrEnum):
    """Whether the liveness model took a passage's face for a living one. The names are part of the MQTT contract."""

    LIVE = "live"
    SPOOF = "spoof"
    NOT_EVALUATED = "not_evaluated"


class Reason(StrEnum):
    """Why a decision is what it is. The names are part of the MQTT contract."""

    MATCHED = "matched"
    VERIFIED = "verified"
    SUSPENDED = "suspended"
    UNCONFIRMED = "unconfirmed"
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    NOT_PERMITTED_HERE = "not_permitted_here"
    NOT_PERMITTED_NOW = "not_permitted_now"
    ROSTER_STALE = "roster_stale"
    CLOCK_UNTRUSTED = "clock_untrusted"
    CLAIM_MISMATCH = "claim_mismatch"
    SPOOF_SUSPECTED = "spoof_suspected"
    AMBIGUOUS = "ambiguous"
    NO_MATCH = "no_match"
    UNSCORABLE = "unscorable"


# ---- what crosses between the broker's thread and the engine


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message that the broker delivered on a command topic of `gate`.

    `receipt` is opaque to the engine, which hands it back to acknowledge the message once its result is durable.
    """

    gate: str
    topic: str
    payload: bytes
    retained: bool
    receipt: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Published:
    """The broker acknowledged or refused an outgoing message. `row` is its number in the outbox; `error` names a refusal (by an ACL,
    say)."""

    gate: str
    row: int
    error: str | None = None
    late: bool = False
    """It was not sent: the broker did not answer while the message was still live. It is to be offered again, as a late one."""


CameraTrouble = Literal["down", "frozen", "behind"]
"""What is wrong with a live camera: it gives no pictures, it shows the same picture all the time, or its pictures come too late."""

OPENING, STREAM_OPEN = "it is being opened", "its stream is open, and no whole picture has come yet"
"""What is known of a camera until its first picture has come or its first try has failed."""

Incident = Literal["session_taken_over", "session_lost"]
"""Another client used the gate's id, or the broker has forgotten the gate's session and with it the commands that waited there."""


LinkName = Literal["out", "commands", "urgent", "roster"]
"""A gate's connections: for what it says, for commands, and for the commands that shut somebody out; and that of a box to the roster."""


@dataclass(frozen=True, slots=True)
class Link:
    """A connection of `gate` to its broker came up or went down; `detail` says why."""

    gate: str
    up: bool
    detail: str
    name: LinkName = "out"
    incident: Incident | None = None
    begun: bool = False
    """Nothing waited for the link at the broker: the session is a new one. Said only where the engine asks for what is retained."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message on its way out. `row` is its number in the outbox, or 0 if it need not survive a restart (status).

    `live_until_s` (on a clock that never steps) is set for a message that says it is live. It is sent only if the broker answers before.
    """

    row: int
    topic: str
    payload: bytes
    retain: bool = False
    expiry_s: int | None = None
    live_until_s: float | None = None
