"""From the model's answers to a judgement, and the card's edges."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from daemon.core.boxes import Box
from daemon.core.bundle import golden_crop
from daemon.core.faces.quality import Judge
from daemon.core.faces.turns import Turns
from daemon.core.faces.visibility import SCHEMA, Card, Golden, VisibilityError, check_golden, judge, read_card
from daemon.core.values import Face, Probe, Quality, View
from tests.core.faces.test_quality import FRAME, LIMITS, texture

UPRIGHT, TURNED = (0.9, 0.05, 0.03, 0.02), (0.3, 0.6, 0.05, 0.05)
CARD = Card(SCHEMA, "2026-01-01T00:00:00+00:00", "arcface-112-v1", "00", "none", "", 0.5, (), (Golden(3, (1.0, 0.0, 0.0, 0.0, 0.1, 0.2)),))


def answer(turn: tuple[float, ...] = UPRIGHT, eyes: float = 0.1, mouth: float = 0.1) -> np.ndarray:
    return np.array([*turn, eyes, mouth], np.float32)


@pytest.mark.parametrize(
    ("seen", "quality"),
    [
        (answer(), Quality.OK),
        (answer(eyes=0.5, mouth=0.5), Quality.OK),
        (answer(eyes=0.51), Quality.COVERED),
        (answer(mouth=0.51), Quality.COVERED),
        (answer(TURNED), Quality.NOT_UPRIGHT),
        (answer(TURNED, eyes=0.9), Quality.NOT_UPRIGHT),
        (answer(eyes=float("nan")), Quality.COVERED),
        (answer(mouth=float("nan")), Quality.COVERED),
        (answer((float("nan"),) * 4), Quality.NOT_UPRIGHT),
    ],
)
def test_an_answer_becomes_a_judgement_and_doubt_never_passes(seen: np.ndarray, quality: Quality) -> None:
    assert judge(seen, 0.5, 0.5) is quality


def test_both_rules_can_be_switched_off_but_not_for_an_answer_that_is_no_number() -> None:
    assert judge(answer(TURNED, eyes=1.0), 0.0, 1.0) is Quality.OK
    assert judge(answer(TURNED, eyes=float("nan")), 0.0, 1.0) is Quality.COVERED
    assert judge(answer(eyes=0.0), 0.5, float("nan")) is Quality.COVERED and judge(answer(), float("nan"), 1.0) is Quality.NOT_UPRIGHT


def test_only_faces_that_nothing_else_speaks_against_are_shown_to_the_model_in_one_batch() -> None:
    batches: list[np.ndarray] = []

    def sees(crops: np.ndarray) -> np.ndarray:
        batches.append(crops)
        return np.stack([answer(TURNED), answer(eyes=0.9), answer()])

    faces = [Face(Box(100, 100, side, side), 1.0) for side in (100, 20, 100, 100)]
    crops = [texture(60 + index, 190) for index in range(4)]
    found = Judge(LIMITS, sees).judge(faces, FRAME, crops)
    assert found == [Quality.NOT_UPRIGHT, Quality.TOO_SMALL, Quality.COVERED, Quality.OK]
    (batch,) = batches
    assert np.array_equal(batch, np.stack([crops[0], crops[2], crops[3]]))
    assert Judge(LIMITS, sees).judge(faces[1:2], FRAME, crops[1:2]) == [Quality.TOO_SMALL] and len(batches) == 1
    assert Judge(replace(LIMITS, min_upright=0.0, max_covered=1.0), sees).judge(faces[:1] * 3, FRAME, crops[:3]) == [Quality.OK] * 3


def test_a_card_is_read_back_and_a_wrong_one_is_refused() -> None:
    text = msgspec.json.encode(CARD).decode()
    assert read_card(text) == CARD
    wrong = [None, "", "{}", text.replace('"schema":1', '"schema":2'), text.replace("v1", "v2"), text.replace("0.1,0.2", "0.1")]
    for one in wrong:
        with pytest.raises(VisibilityError):
            read_card(one)
    with pytest.raises(VisibilityError, match="golden answers are missing"):
        read_card(msgspec.json.encode(msgspec.structs.replace(CARD, golden=())).decode())


def test_the_golden_answers_must_be_met() -> None:
    right = np.array([CARD.golden[0].answer], np.float32)

    def sees(crops: np.ndarray) -> np.ndarray:
        assert np.array_equal(crops, golden_crop(3)[None])
        return said

    said = right
    check_golden(CARD, sees)
    for wrong in (right + 0.01, right * np.nan, right[:, :5]):
        said = wrong
        with pytest.raises(VisibilityError, match="golden check failed"):
            check_golden(CARD, sees)


def view(*qualities: Quality) -> View:
    probes = tuple(Probe(Face(Box(0, 0, 50, 50), 1.0), np.zeros((112, 112, 3), np.uint8), quality) for quality in qualities)
    return View("north", 0, 0.0, 0.0, probes)


def test_a_camera_on_its_side_is_told_from_a_tilted_head() -> None:
    turns = Turns()
    for _ in range(10):
        turns.see(view(Quality.NOT_UPRIGHT))
    assert not turns.most, "one passer-by"
    for _ in range(10):
        turns.see(view(Quality.NOT_UPRIGHT, Quality.BLURRED))
    assert turns.most
    for _ in range(30):
        turns.see(view(Quality.OK))
    assert not turns.most, "the camera was turned"
