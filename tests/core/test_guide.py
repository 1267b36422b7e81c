"""Who should walk past a gate next, and what is missing for its calibration."""

import numpy as np
import pytest

from daemon.core import guide
from daemon.core.site import Passing, Site
from tests.fixtures.walks import PEOPLE, TEMPLATES, unit, walks

ENROLLED = ["A", "B"]


def test_everybody_once_then_strangers_then_who_has_walked_least() -> None:
    passings: list[Passing] = []
    asked = []
    for _ in range(8):
        person = guide.next_walker(ENROLLED, passings)
        asked.append(person)
        name = guide.stranger(len(passings)) if person == guide.STRANGER else person
        passings.append(Passing(name, PEOPLE["C"][None]))
    s = guide.STRANGER
    assert asked == ["A", "B", s, s, s, "A", "B", "A"]
    assert guide.next_walker([], []) == s


def test_a_stranger_who_comes_again_has_one_name() -> None:
    first = Passing(guide.name_of_stranger(PEOPLE["A"][None], [], 0.9), PEOPLE["A"][None])
    assert first.person == "stranger 1" and guide.is_stranger(first.person) and not guide.is_stranger("stranger")
    assert guide.name_of_stranger(unit(1, 0.1)[None], [first], 0.9) == "stranger 1"
    assert guide.name_of_stranger(PEOPLE["B"][None], [first], 0.9) == "stranger 2"


def test_a_walk_is_compared_with_everybody() -> None:
    looks = np.stack([PEOPLE["B"], unit(0.6, 0.8)])
    found = guide.whose(looks, {**TEMPLATES, "Z": np.zeros((0, 8), np.float32)}, "A")
    assert found.nearest == "B" and found.similarity == pytest.approx(1.0) and found.own == pytest.approx(0.6)
    assert guide.whose(looks, TEMPLATES, guide.STRANGER).own is None
    assert guide.whose(looks, {}, "A") == guide.Resemblance(None, -1.0, None)


def test_what_is_missing_is_said_in_words() -> None:
    assert "nobody has walked past yet" in str(guide.judged([], TEMPLATES, 0.01))
    assert "too few" in str(guide.judged([walks("A")], {"A": TEMPLATES["A"]}, 0.01))
    assert isinstance(guide.judged([walks("A", "B", 0.5)], TEMPLATES, 0.01), Site)
    assert [guide.wanted(rate) for rate in (0.01, 0.1, 0.5)] == [99, 9, 4]
