"""What a gate decides by unless its configuration says otherwise.

The numbers stand here once: the configuration takes its defaults from here, and the trainer measures the thresholds of a bundle's card with
a gate that has them. A change here makes the thresholds of every card doubtful, so calibrate the bundles anew.
"""

from daemon.core.passages.rules import Rules

MARGIN = 0.27
"""In standard deviations of the similarity of two strangers: what 0.27 of them is of one model is another difference of another."""
MIN_FRAMES = 5
MIN_S = 0.2
PATIENCE = 10
RECHECK_S = 1.0
TRIES = 10
MEMORY = 0.95
LOST_S = 1.0

TARGET_FPIR = 0.01
"""The share of strangers' passages that may match somebody."""
TARGET_FMR = 0.001
"""The share of strangers with somebody's badge that may pass for that person."""

SAME_FACE_FMR = 0.001
"""A frame less like its track's face than one pair of strangers in a thousand does not show that face. No configuration changes it."""


UNTOLD_DEVIATION = 0.2
"""The deviation of a card that does not tell its own: larger than that of any model measured here (0.04 to 0.19)."""


def rules(threshold: float | None, same: float, pair: float | None = None, deviation: float = UNTOLD_DEVIATION) -> Rules:
    """The rules of a gate that does not adapt, with the default configuration, at these thresholds (see `Rules`). `deviation` is of the
    similarity of two strangers."""
    return Rules(
        threshold=threshold,
        margin=MARGIN * deviation,
        min_frames=MIN_FRAMES,
        min_s=MIN_S,
        patience=PATIENCE,
        recheck_s=RECHECK_S,
        tries=TRIES,
        memory=MEMORY,
        same=same,
        pair=pair,
    )
