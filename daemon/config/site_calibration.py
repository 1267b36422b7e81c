"""The file of `ostiaryd calibrate` that `decision.site_calibration` names."""

from datetime import datetime
from pathlib import Path

import msgspec

from daemon.config.errors import ConfigError


class SiteCalibration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a file of `ostiaryd calibrate` says: a threshold for each model, by its id, and the gates it was measured at, and when. Without
    `gates`, as in earlier files, it holds for every gate; earlier files do not say when either."""

    thresholds: dict[str, float]
    gates: tuple[str, ...] = ()
    measured_at: datetime | None = None


def read_site_calibration(path: str) -> SiteCalibration:
    """Read a file of `ostiaryd calibrate`. Raises ConfigError."""
    try:
        found = msgspec.toml.decode(Path(path).read_bytes(), type=SiteCalibration)
    except (OSError, msgspec.MsgspecError) as error:
        hint = "make it with `ostiaryd calibrate` as the daemon's user, who must be able to read it"
        raise ConfigError(f"decision.site_calibration: {path} cannot be read ({error})", hint) from None
    for model, threshold in found.thresholds.items():
        if not 0 < threshold < 1:
            raise ConfigError(
                f"{path}: {threshold} for the model {model} is not a similarity (above 0 and below 1)",
                "make the file again with `ostiaryd calibrate`",
            )
    return found
