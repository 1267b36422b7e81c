"""The state that the engine keeps for one gate."""

from dataclasses import dataclass, field
from typing import Literal

from daemon.core.faces.turns import Turns
from daemon.core.messages import StatusMessage
from daemon.core.pace import Pace
from daemon.core.passages.claims import Mode
from daemon.core.passages.gatekeeper import Gatekeeper
from daemon.core.passages.rules import Rules
from daemon.core.status import Reason, Trouble, Word
from daemon.core.values import OPENING, CameraTrouble, Incident, LinkName
from daemon.serving.sender import GateBroker


@dataclass(slots=True)
class Gate:
    """One gate: its passages, its connection, the last known state of its camera, how its faces come, and the last status that it
    published. `down` are the connections that are down, and why. `incidents` are those of its sessions at the broker, each with
    its time (UTC seconds). `rules` are those of its model and its gallery, whatever the disk takes, and `uncalibrated` says whether nobody
    has measured it with that model. `pace` says whether it looks at enough frames; `noted` is what metrics, journal and service
    manager know, and `told` its reasons."""

    keeper: Gatekeeper
    link: GateBroker
    camera: Literal["up", "down", "ended"] = "down"
    camera_trouble: CameraTrouble | None = "down"
    camera_detail: str | None = OPENING
    live: bool = True
    stale_s: float = 2.0
    mode: Mode = "identify"
    turns: Turns = field(default_factory=Turns)
    down: dict[LinkName, str] = field(default_factory=dict)
    connections: int = 0
    """How often the connection came up on which the gate speaks."""
    incidents: dict[Incident, float] = field(default_factory=dict)
    rules: Rules = field(init=False)
    pace: Pace | None = None
    noted: Trouble | None = None
    told: tuple[Reason, ...] | None = None
    said: dict[Word, set[object]] = field(default_factory=dict)
    """The journal's lines of each reason that is not over."""
    opening: bool = True
    """Whether the camera is being opened for the first time, so that it is no news that it shows nothing."""
    uncalibrated: bool = False
    facts: object = None
    """What the last status says; see `Reports`."""
    status: StatusMessage | None = None
    status_at_s: float = 0.0

    def __post_init__(self) -> None:
        self.rules = self.keeper.rules

    def pace_lost(self) -> None:
        """A frame that was looked at came too late to decide about."""
        if self.pace is not None:
            self.pace.late()
