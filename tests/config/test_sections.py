"""The configuration's values as decisions name them."""

from pathlib import Path

from daemon.config import parse
from daemon.pipeline import steps

SAID = {
    "site": "hq",
    "gates": {"north": {"source": "rtsp://camera/1"}},
    "decision": {
        "target_fpir": 0.02, "threshold": 0.5, "target_fmr": 0.001, "site_calibration": "", "margin": 0, "min_frames": 5, "min_s": 0.2,
        "patience": 10, "recheck_s": 1, "tries": 10, "memory": 0.95, "lost_s": 2, "accept_valid_s": 3.0,
    },
    "quality": {
        "min_sharpness": 0.035, "min_brightness": 30, "max_brightness": 230.0, "max_yaw": 0.45, "min_upright": 0.5, "max_covered": 0.5,
    },
    "detector": {"kind": "/yunet.onnx", "min_face_px": 40},
    "liveness": {"model": "/live.onnx", "require": True, "frames": 5, "threshold": 0.5},
    "schedules": {"office": {"zone": "UTC", "times": ["mon-fri 07:00-19:00"]}},
    "clock": {"trust": "always"},
}  # fmt: skip


class Card:
    strangers = None
    measured_here = False

    def threshold(self, gallery_size: int, target_fpir: float) -> float:
        return 0.43

    def pair_threshold(self, fmr: float) -> float:
        return 0.31

    def claim_threshold(self, target_fmr: float) -> float:
        return 0.37


def test_the_digest_of_a_policy_is_the_same_from_release_to_release() -> None:
    """Decisions and golden replays carry it: it may only change when a rule does. Every value is given here, so defaults may change."""
    config = parse(SAID, folder=Path("/"))
    assert steps.policy_digest(config, steps.rules(config, Card(), templates=10)) == "36b48f4ecf86"
