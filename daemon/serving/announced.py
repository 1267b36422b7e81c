"""What a gate's status says of its configuration, for programs at a desk."""

from dataclasses import dataclass

from daemon.config import Config
from daemon.core import sealed_box


@dataclass(frozen=True, slots=True)
class Announced:
    """Stays the same while the daemon runs. `fixed`: decision.threshold is taken as it is. `share_unknown` is in minutes. `metrics` is
    host:port. `schedules` and `gates` are the names that a person's record may have."""

    fixed: bool
    share_unknown: float
    metrics: str | None
    schedules: list[str]
    gates: list[str]


def announced(config: Config, gate: str) -> Announced:
    """What the status of this gate says."""
    decision, host, port = config.at(gate).decision, config.metrics.host, config.metrics.port
    return Announced(
        fixed=decision.threshold is not None and config.gates[gate].mode != "verify",
        share_unknown=decision.share_unknown,
        metrics=(f"[{host}]:{port}" if ":" in host else f"{host}:{port}") if port else None,
        schedules=sorted(config.schedules),
        gates=sorted({*config.gates, *config.other_gates}),
    )


def shared(config: Config, gate: str) -> str | None:
    """What this gate shares of people whom it does not know, for its operator; None for nothing."""
    decision = config.at(gate).decision
    if not decision.share_unknown:
        return None
    key = sealed_box.fingerprint(sealed_box.public_key(decision.share_unknown_to))
    return f"sealed pictures of unknown people are at the broker for {decision.share_unknown:g} min, for the holder of key {key}"
