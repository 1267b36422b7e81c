"""The section that lets Home Assistant find the gates."""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta


@dataclass(frozen=True, slots=True, kw_only=True)
class HomeAssistantConfig:
    """Whether Home Assistant finds the gates at the broker (MQTT discovery)."""

    enabled: Annotated[
        bool, Meta(description="Tell Home Assistant about the gates by MQTT discovery. Switched off again, what was told is cleared.")
    ] = False
    prefix: Annotated[
        str,
        Meta(
            title="topic without wildcards",
            pattern=r"^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*\Z",
            max_length=200,
            description="Home Assistant's discovery prefix.",
        ),
    ] = "homeassistant"
    capture_button: Annotated[
        bool,
        Meta(
            description="Offer a field for an employee number and a button that enrols whoever stands at the camera. Needs the grant "
            "`capture` in commands.grants, and no [commands.keys], because Home Assistant cannot sign."
        ),
    ] = False
