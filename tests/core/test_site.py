"""Site calibration: what people at one gate look like to it."""

import numpy as np
import numpy.typing as npt
import pytest

from daemon.core.site import ABOVE, Passing, SiteError, beyond, judge
from tests.fixtures.walks import TEMPLATES, unit, walks

PLENTY = 0.2
"""A target that five people are enough for."""


def test_the_threshold_lies_just_above_the_most_alike_pair() -> None:
    site = judge([walks("A", "B", 0.55), walks("C", "D", 0.4), *map(walks, "BDE")], TEMPLATES, PLENTY)
    assert site.threshold == pytest.approx(0.55 + ABOVE, abs=1e-5)
    assert (site.people, site.passages, site.ignored) == (5, 5, ())
    assert [(pair.a, pair.b) for pair in site.pairs[:2]] == [("A", "B"), ("C", "D")]
    assert site.own == pytest.approx([1.0] * 5)


def test_one_person_under_two_ids_locks_nobody_out() -> None:
    twice = {**TEMPLATES, "A-2": TEMPLATES["A"]}
    site = judge([walks("C", "D", 0.4), *map(walks, "ABDE")], twice, PLENTY)
    assert [(pair.a, pair.b) for pair in site.ignored] == [("A", "A-2")]
    assert site.threshold == pytest.approx(0.4 + ABOVE, abs=1e-5)


def test_strangers_who_are_not_enrolled_count_too() -> None:
    stranger = Passing("X", unit(0.6, 0, 0, 0, 0, 0.8)[None])
    assert judge([stranger, *map(walks, "ABCDE")], TEMPLATES, PLENTY).threshold == pytest.approx(0.6 + ABOVE, abs=1e-5)


def test_few_people_leave_room_for_a_stranger_who_is_more_alike() -> None:
    walking = [walks("A", "B", 0.4), *map(walks, "BCDE")]
    found = [judge(walking, TEMPLATES, target).threshold for target in (0.2, 0.1, 0.01, 0.001)]
    assert found == sorted(found) and found[0] == pytest.approx(0.405, abs=1e-5) and found[-1] < 1.0
    assert found[2] == pytest.approx(0.4 + (1 - np.log(6) / np.log(100)) * 0.6, abs=1e-5)


def test_what_is_left_to_guess_shrinks_with_every_person() -> None:
    shares = [beyond(people, 0.01) for people in (0, 4, 10, 30, 98, 99, 500)]
    assert shares == sorted(shares, reverse=True) and shares[0] == 1.0
    assert shares[-3] > 0 and shares[-2:] == [pytest.approx(0.0, abs=1e-9), 0.0]


@pytest.mark.parametrize(
    ("passings", "templates", "says"),
    [
        ([walks("A"), walks("B")], {"A": TEMPLATES["A"], "B": TEMPLATES["B"]}, "2 people: too few"),
        ([Passing("X", unit(0, 0, 0, 0, 0, 1)[None])], TEMPLATES, "no enrolled person walks past"),
        ([walks(name) for name in "ABCDE"], dict.fromkeys("ABCDE", TEMPLATES["A"]), "as alike here as two passages of one person"),
    ],
)
def test_too_little_to_judge_by_says_what_is_missing(
    passings: list[Passing], templates: dict[str, npt.NDArray[np.float32]], says: str
) -> None:
    with pytest.raises(SiteError, match=says):
        judge(passings, templates, PLENTY)
