"""APCER and BPCER of labels and probabilities that were made up, so that the right figures are known."""

from math import isnan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.presentations import Presentations, Share

MADE = Presentations(
    living=[0.95, 0.9, 0.9, 0.8, 0.7, 0.6, 0.55, 0.5, 0.4, 0.1, None],
    attacks={"print": [0.0, 0.1, 0.1, 0.6], "screen": [0.0, 0.2, 0.5, 0.8, None], "mask": [None, None]},
)


def test_each_kind_of_attack_has_its_own_rate_and_the_threshold_itself_passes() -> None:
    assert MADE.apcer(0.5) == {"print": Share(1, 4), "screen": Share(2, 4), "mask": Share(0, 0)}
    assert MADE.bpcer(0.5) == Share(2, 10)
    assert [share.rate for share in MADE.apcer(0.5).values()][:2] == [0.25, 0.5]


def test_the_worst_kind_counts_and_a_kind_without_an_answer_is_not_a_good_one() -> None:
    assert MADE.worst(0.5) == Share(2, 4)
    assert MADE.worst(0.99) == Share(0, 4)
    assert Presentations([], {"mask": [None]}).worst(0.5) is None and isnan(Share(0, 0).rate)
    # Of equal rates the one that is known less well.
    assert Presentations([], {"many": [0.0] * 50, "few": [0.0] * 3}).worst(0.5) == Share(0, 3)


def test_what_has_no_answer_is_counted_beside() -> None:
    living, attacks = MADE.unanswered()
    assert living == Share(1, 11) and attacks == {"print": Share(0, 4), "screen": Share(1, 5), "mask": Share(2, 2)}


def test_the_intervals_are_wilsons() -> None:
    # 15 of 100, by hand: (0.15 + 1.9208/100 ± 1.96·sqrt(0.15·0.85/100 + 0.9604/1e4)) / 1.038416
    share = Share(15, 100)
    assert share.low == pytest.approx(0.0931, abs=1e-4) and share.high == pytest.approx(0.2328, abs=1e-4)
    assert Share(0, 3).high == pytest.approx(0.5615, abs=1e-3) and Share(0, 3).low == 0


def test_bpcer_at_a_target_needs_enough_attacks_of_every_kind() -> None:
    kinds = {"print": [i / 100 for i in range(20)], "screen": [i / 50 for i in range(20)]}
    made = Presentations([i / 20 for i in range(20)], kinds)
    at = made.threshold_for(0.1)  # two of each kind may pass, so the third one, 0.34 of the screens, may not
    assert at is not None and 0.34 < at < 0.36
    assert made.worst(at) == Share(2, 20) and made.bpcer(at) == Share(7, 20)
    assert made.threshold_for(0.01) is None
    assert Presentations([0.9], {**kinds, "mask": [0.1]}).threshold_for(0.1) is None
    assert Presentations([0.9], {"print": [1.0] * 20}).threshold_for(0.1) is None, "no threshold refuses certainty"
    assert Presentations([0.9], {}).threshold_for(0.1) is None


answers = st.lists(st.none() | st.floats(0, 1), max_size=30)


@given(answers, st.dictionaries(st.sampled_from("abc"), answers), st.floats(0, 1), st.floats(0, 1), st.sampled_from([0.1, 0.2, 0.5]))
def test_a_higher_threshold_trades_one_error_for_the_other(
    living: list[float | None], attacks: dict[str, list[float | None]], one: float, other: float, target: float
) -> None:
    made, low, high = Presentations(living, attacks), min(one, other), max(one, other)
    assert made.bpcer(low).count <= made.bpcer(high).count
    before, after = made.apcer(low), made.apcer(high)
    assert all(before[kind].count >= after[kind].count for kind in attacks)
    for share in (made.bpcer(low), *before.values()):
        assert share.low <= (share.rate if share.of else 0.5) <= share.high
    at = made.threshold_for(target)
    if at is not None:
        worst = made.worst(at)
        assert worst is not None and worst.rate <= target
