"""The cohort of a gate: what its faces have in common is taken away, and nobody can turn that against others."""

import numpy as np
import pytest

from daemon.core.passages.cohort import FACES, Cohort, Common, centre, centred
from daemon.core.values import Spread, Vector
from tests.fixtures.cameras import D, again, people

STRANGERS = Spread(0.0, 1 / np.sqrt(D))
"""Random directions of 128 dimensions are as alike as that."""
SAME = 0.75
NOBODY = Common(0, np.zeros(D))


def common(vectors: list[Vector]) -> Common:
    return Common(len(vectors), np.mean(vectors, axis=0, dtype=np.float64))


def cohort(faces: list[Vector]) -> Cohort:
    found = Cohort()
    for face in faces:
        found.take(face, SAME)
    return found


@pytest.mark.parametrize("camera", [0.2, 0.4, 0.6])
@pytest.mark.parametrize(("passed", "enrolled"), [(0, 20), (20, 0), (20, 20), (0, 4)])
def test_under_one_camera_strangers_are_as_unlike_as_on_the_card_again(camera: float, passed: int, enrolled: int) -> None:
    everybody = people(passed + enrolled + 40, camera)
    seen, known, strangers = everybody[:passed], everybody[passed : passed + enrolled], everybody[passed + enrolled :]
    away = centre(seen, common(known) if known else NOBODY, STRANGERS)
    raw = [float(a @ b) for a, b in zip(strangers[::2], strangers[1::2], strict=True)]
    after = [centred(a, b[None], away) for a, b in zip(strangers[::2], strangers[1::2], strict=True)]
    few = passed + enrolled < 10
    assert np.mean(raw) == pytest.approx(camera, abs=0.06)
    assert np.mean(after) < camera * (0.85 if few else 0.45)
    assert centred(again(strangers[0], 3), strangers[0][None], away) > 0.7, "the same face stays the same face"


def test_by_many_cameras_next_to_nothing_is_taken_away() -> None:
    everybody = people(64, 0.0)
    away = centre(everybody[:20], common(everybody[20:40]), STRANGERS)
    assert float(np.linalg.norm(away)) < 0.1
    probe = again(everybody[50], 1)
    assert centred(probe, everybody[50][None], away) == pytest.approx(float(probe @ everybody[50]), abs=0.02)


def test_a_model_whose_strangers_are_alike_keeps_what_its_card_has_too() -> None:
    """A model may have a mean of its own. It belongs to the threshold, and only what the camera adds is taken away."""
    everybody = people(80, 0.9)
    away = centre(everybody[:20], common(everybody[20:40]), Spread(0.8, 0.02))
    after = [centred(a, b[None], away) for a, b in zip(everybody[40:60], everybody[60:], strict=True)]
    assert np.mean(after) == pytest.approx(0.8, abs=0.03)
    assert not centre(everybody[:20], NOBODY, Spread(0.93, 0.01)).any(), "they are less alike than the card says"


def test_nothing_is_known_without_anybody_and_little_with_one() -> None:
    (one,) = people(1, 0.0)
    assert not centre([], NOBODY, STRANGERS).any()
    away = centre([], common([one]), STRANGERS)
    assert centred(again(one, 1), one[None], away) > 0.7
    assert centred(one, np.empty((0, D), np.float32), away) == -1.0


def test_whoever_passes_a_thousand_times_counts_once() -> None:
    everybody = people(12, 0.3)
    attacker, victim = everybody[0], everybody[1]
    calm = cohort(everybody[2:])
    before = centred(again(victim, 1), victim[None], calm.centre(again(victim, 1), common(everybody[1:5]), STRANGERS, SAME))
    for walk in range(1000):
        calm.take(again(attacker, walk, 0.3), SAME)
    assert len(calm.faces) == 11
    after = centred(again(victim, 1), victim[None], calm.centre(again(victim, 1), common(everybody[1:5]), STRANGERS, SAME))
    assert after == pytest.approx(before, abs=0.05)


def test_an_attacker_with_a_thousand_faces_shuts_nobody_else_out() -> None:
    """Masks, make-up, other people sent along: faces that the gate does not know for one. The enrolled people keep their weight."""
    enrolled = people(8, 0.3)
    look = people(1, 0.3, seed=9)[0]
    flooded = Cohort()
    for walk in range(1000):
        flooded.take(again(look, walk, 1.2), SAME)
    assert len(flooded.faces) == FACES
    for who in enrolled:
        probe = again(who, 5)
        assert centred(probe, who[None], flooded.centre(probe, common(enrolled), STRANGERS, SAME)) > 0.7


def test_twins_and_double_enrolments_do_not_lock_out_others() -> None:
    known = people(6, 0.3)
    doubled = [known[0], again(known[0], 1, 0.1), again(known[0], 2, 0.1), *known[1:]]
    for who in known:
        probe = again(who, 7)
        away = Cohort().centre(probe, common(doubled), STRANGERS, SAME)
        assert centred(probe, who[None], away) > (0.5 if who is known[0] else 0.7)


def test_the_own_earlier_passages_do_not_count_against_anybody() -> None:
    guard, *others = people(6, 0.3)
    alone = cohort([again(guard, walk, 0.3) for walk in range(50)])
    probe = again(guard, 99, 0.3)
    with_others = common([guard, *others])
    assert np.array_equal(alone.centre(probe, with_others, STRANGERS, SAME), Cohort().centre(probe, with_others, STRANGERS, SAME))


def test_what_is_no_unit_vector_is_dropped() -> None:
    found = Cohort()
    for bad in (np.full(D, np.nan), np.zeros(D), np.full(D, 2.0), np.full(D, np.inf)):
        found.take(bad.astype(np.float32), SAME)
    assert found.faces == []
    broken = Common(3, np.full(D, np.nan))
    assert not centre(people(3, 0.3), broken, STRANGERS).any(), "a damaged gallery takes nothing away; its vectors match nobody"
    assert np.isnan(centred(np.full(D, np.nan, np.float32), np.ones((1, D), np.float32), np.zeros(D)))


def test_the_newest_faces_are_kept() -> None:
    everybody = people(FACES + 5, 0.0)
    found = cohort(everybody)
    assert len(found.faces) == FACES and found.faces[-1] is everybody[-1] and found.faces[0] is everybody[5]
    found.take(again(everybody[10], 1, 0.1), SAME)
    assert len(found.faces) == FACES and not any(face is everybody[10] for face in found.faces)
    found.forget()
    assert found.faces == []
