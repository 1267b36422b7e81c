"""The collapse alarm: when it sounds, and when it must not."""

import math

import pytest

from trainer.learn.watch import Watch

LN_2 = math.log(2)


def looks(watch: Watch, *seen: tuple[float, float]) -> list[bool]:
    return [watch(loss, distance) is not None for loss, distance in seen]


@pytest.mark.parametrize("stuck_at", [0.2, LN_2])
def test_a_loss_at_the_margin_with_shrunk_distances_is_a_collapse(stuck_at: float) -> None:
    near = (stuck_at * 1.019, 0.69)
    assert looks(Watch(stuck_at), (stuck_at * 1.5, 1.4), (stuck_at, 0.71), near) == [False, False, True]


def test_batch_hard_with_the_soft_margin_may_stand_at_ln_2_while_people_stay_apart() -> None:
    assert looks(Watch(LN_2), *[(0.69, 1.38), (LN_2, 1.35), (0.70, 1.3), (0.69, 0.8)]) == [False] * 4


def test_shrinking_alone_is_no_collapse() -> None:
    assert looks(Watch(0.2), (0.3, 1.4), (0.1, 0.6), (0.2 * 1.03, 0.6), (0.2 * 0.97, 0.6)) == [False] * 4
    assert looks(Watch(None), (0.3, 1.4), (0.2, 0.6)) == [False, False]


@pytest.mark.parametrize("stuck_at", [0.2, None])
def test_everybody_alike_is_a_collapse_whatever_the_loss(stuck_at: float | None) -> None:
    assert looks(Watch(stuck_at), (5.0, 0.29)) == [True]
    assert looks(Watch(stuck_at), (5.0, 0.31)) == [False]


def test_a_resumed_run_remembers_its_first_look() -> None:
    assert looks(Watch(0.2), (0.2, 0.6)) == [False]
    assert looks(Watch(0.2, first=1.4), (0.2, 0.6)) == [True]


@pytest.mark.parametrize("seen", [(1.0, 0.1), (0.2, 0.6)])
def test_a_warning_is_one_line_that_says_what_to_try(seen: tuple[float, float]) -> None:
    said = Watch(0.2, first=1.4)(*seen)
    assert said is not None and "\n" not in said
    for advice in ("lower learning rate", "smaller P and K at first", "cleaner labels", "semi-hard"):
        assert advice in said
