"""One-shot runs on alphabets that were held out: two hands, one alphabet, and right answers counted rightly."""

import numpy as np

from trainer.measure import heldout, metrics
from trainer.people.data import Crops


def characters(alphabets: dict[str, int], hands: int = 4) -> Crops:
    people = tuple(f"omniglot/images_background/{name}/character{index:02d}" for name, count in alphabets.items() for index in range(count))
    names = tuple(f"{person}/{index:04d}_{hand:02d}.png" for index, person in enumerate(people) for hand in range(1, hands + 1))
    pixels = np.zeros((len(names), 2, 2, 1), np.uint8)
    return Crops(pixels, people, np.repeat(np.arange(len(people)), hands), names, "")


def test_a_run_has_twenty_characters_of_one_alphabet_by_two_hands() -> None:
    crops = characters({"Long": 26, "Short": 19, "Other": 20})
    found = list(heldout.runs(crops))
    assert len(found) == 2 * heldout.RUNS
    for training, test in found:
        assert np.array_equal(crops.person[training], crops.person[test]) and len(set(crops.person[test].tolist())) == 20
        assert len({crops.people[who].split("/")[2] for who in crops.person[test]}) == 1
        hands = [{crops.names[row][-6:-4] for row in rows} for rows in (training, test)]
        assert len(hands[0]) == len(hands[1]) == 1 and hands[0] != hands[1]
    assert all(np.array_equal(one[0], again[0]) for one, again in zip(found, heldout.runs(crops), strict=True))


def test_shares() -> None:
    crops = characters({"Long": 26})
    known = np.eye(26)[crops.person]
    assert np.array_equal(heldout.shares(crops, known, metrics.cosine), np.ones(heldout.RUNS))
    assert np.array_equal(heldout.shares(crops, np.ones((len(crops), 3)), metrics.cosine), np.zeros(heldout.RUNS))
    # Two characters look alike: a run with both has two ties, which count as wrong, a run with one of them none.
    alike = np.eye(26)[np.maximum(crops.person, 1)]
    shares = heldout.shares(crops, alike, metrics.cosine)
    assert set(shares.tolist()) == {0.9, 1.0}


def test_nothing_to_draw() -> None:
    few, one_hand = characters({"Short": 19}), characters({"Long": 26}, hands=1)
    assert all(not len(heldout.shares(crops, np.eye(26)[crops.person], metrics.cosine)) for crops in (few, one_hand))
