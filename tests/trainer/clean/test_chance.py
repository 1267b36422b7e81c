"""What is known of strangers, and what chance is made of it."""

import math
from statistics import NormalDist

import numpy as np
import pytest

from daemon.core.bundle import Calibration, FmrPoint
from trainer.clean import chance
from trainer.clean.chance import Cautious


def test_a_table_gives_back_its_points_and_goes_on_as_a_normal_distribution() -> None:
    normal = NormalDist(0.1, 0.15)
    known = chance.of_points([(rate, normal.inv_cdf(1 - rate)) for rate in (0.1, 0.01, 0.001)])
    assert known is not None
    for rate in (0.3, 0.1, 0.05, 0.01, 1e-4, 1e-7):
        assert known.at(rate) == pytest.approx(normal.inv_cdf(1 - rate), abs=1e-6)
        assert known.rate(known.at(rate)) == pytest.approx(rate, rel=1e-4)


def test_counted_pairs_show_what_a_rate_reaches_within_a_bin() -> None:
    similarity = np.random.default_rng(1).normal(0.2, 0.1, 100_000)
    known = chance.of_counts(chance.counted(similarity))
    assert known is not None
    for rate in (0.1, 0.01):
        assert known.at(rate) == pytest.approx(np.quantile(similarity, 1 - rate), abs=2e-4)


def test_a_few_doubles_hardly_move_what_is_known_of_strangers() -> None:
    rng = np.random.default_rng(1)
    strangers = rng.normal(0.2, 0.1, 1770)
    with_doubles = np.concatenate([strangers, np.full(3, 0.98)])
    one, other = (chance.of_counts(chance.counted(found)) for found in (strangers, with_doubles))
    assert one is not None and other is not None
    assert abs(one.at(1e-4) - other.at(1e-4)) < 0.05


def test_too_few_pairs_or_all_the_same_say_nothing() -> None:
    assert chance.of_counts(chance.counted(np.linspace(0, 1, 299))) is None
    assert chance.of_counts(chance.counted(np.ones(5000))) is None
    assert chance.of_points([(0.1, 0.5)]) is None
    card = Calibration((), (FmrPoint(0.1, None, 10), FmrPoint(0.01, None, 10)), 5, 10)
    assert chance.of_card(card) is None


def test_the_table_in_which_strangers_are_more_alike_decides() -> None:
    loose, strict = (chance.of_points([(0.1, 0.3 + by), (0.01, 0.5 + by)]) for by in (0.0, 0.1))
    assert loose is not None and strict is not None
    both = Cautious((loose, strict))
    assert both.at(0.01) == strict.at(0.01) and both.rate(0.55) == strict.rate(0.55)
    assert Cautious(()).at(0.01) == math.inf and Cautious(()).rate(0.99) == 1.0
    assert both.rate(math.nan) == 1.0


def test_the_share_of_strangers_rises_down_the_list() -> None:
    share = chance.false_share(np.array([1e-9, 1e-6, 1e-6, 1e-2]), 1_000_000)
    assert share.tolist() == pytest.approx([1e-3, 1 / 3, 1 / 3, 1.0])
