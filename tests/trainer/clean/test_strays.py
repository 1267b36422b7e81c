"""Pictures that do not belong to their person."""

import numpy as np

from tests.trainer.clean.crowd import crowd, rows_of
from trainer.clean import pairs, strays
from trainer.clean.strays import Stray


def found(vectors: np.ndarray, person: np.ndarray, people: int) -> list[Stray]:
    return strays.strays(vectors, person, pairs.of_people(vectors, person, people).strangers[0])


def test_people_with_their_own_pictures_have_no_strays() -> None:
    for seed in range(3):
        made = crowd([1, 2, 3, 6, 12] * 20, seed)
        assert found(made.vectors, made.crops.person, 100) == []


def test_a_wrong_label_is_found_and_surely_so() -> None:
    made = crowd([5] * 60)
    person = made.crops.person.copy()
    person[rows_of(made, 3)[0]] = 7
    (stray,) = found(made.vectors, person, 60)
    assert stray.person == 7 and stray.rows.tolist() == rows_of(made, 3)[:1].tolist() and stray.sure
    assert stray.rest.tolist() == rows_of(made, 7).tolist()


def test_two_people_under_one_name_are_two_groups() -> None:
    made = crowd([6] * 60)
    person = made.crops.person.copy()
    person[rows_of(made, 3)[:2]] = 7
    strayed = {stray.person: stray for stray in found(made.vectors, person, 60)}
    assert strayed.keys() == {7} and strayed[7].rows.tolist() == rows_of(made, 3)[:2].tolist() and strayed[7].sure


def test_of_two_pictures_neither_is_surely_wrong() -> None:
    made = crowd([2] * 60)
    person = made.crops.person.copy()
    person[1], person[3] = 1, 0
    assert {(stray.person, stray.sure) for stray in found(made.vectors, person, 60)} == {(0, False), (1, False)}


def test_a_person_of_strangers_and_all_the_same_picture() -> None:
    made = crowd([1] * 60)
    person = np.where(made.crops.person < 4, 0, made.crops.person)
    assert {stray.person for stray in found(made.vectors, person, 60)} == {0}
    same = np.tile(made.vectors[:1], (60, 1))
    assert found(same, np.repeat(np.arange(20), 3), 20) == []
