"""The file of `ostiaryd calibrate` that `decision.site_calibration` names."""

from pathlib import Path

import msgspec

from daemon.config.errors import ConfigError


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
            raise ConfigError(
                f"{path}: {threshold} for the model {model} is not a similarity (above 0 and below 1)",
                "make the file again with `ostiaryd calibrate`",
            )
    return thresholds
