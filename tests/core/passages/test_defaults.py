"""The gate's default rules: who changes one makes the thresholds of every card doubtful."""

from daemon.core.passages import defaults
from daemon.core.passages.rules import Rules


def test_the_cards_that_come_along_were_calibrated_with_these_rules() -> None:
    """If this fails, calibrate the bundle in daemon/models anew (trainer/README.md) and then change the numbers here."""
    expected = Rules(
        threshold=0.6, margin=0.27 * 0.2, min_frames=5, min_s=0.2, patience=10, recheck_s=1.0, tries=10, memory=0.95, same=0.5, pair=0.7
    )
    assert defaults.rules(0.6, 0.5, 0.7) == expected
    assert defaults.rules(0.6, 0.5, 0.7, deviation=0.1).margin == 0.27 * 0.1
    assert (defaults.LOST_S, defaults.SAME_FACE_FMR) == (1.0, 0.001)
