"""How visits and decisions are put together."""

import cv2
import numpy as np

from bench.live import LATE_S, Row, Sent, Told, judged, number_in, with_number
from bench.scenes import decoded


def visit(camera: str, number: int, who: int, began: float) -> list[Sent]:
    return [Sent(camera, number, who, place, began + place / 30) for place in range(72)]


def test_a_visit_is_right_missed_or_wrong() -> None:
    sent = [*visit("0", 0, 0, 100.0), *visit("0", 1, 1, 110.0), *visit("1", 0, 1, 100.0), *visit("1", 1, 0, 200.0)]
    told = [Told("0", "anna", 101.0, 101.1), Told("0", "anna", 111.0, 111.1), Told("1", None, 101.0, 101.2)]
    row = Row()
    judged(row, sent, told, ["anna", "bert"], began=99.0, ended=120.0)
    assert (row.visits, row.missed, row.wrong) == (3, 2, 1)
    (capture_ms,), (sight_ms,) = row.from_capture_ms, row.from_sight_ms
    assert round(capture_ms) == 100 and 500 < sight_ms < 1100


def test_a_decision_after_its_person_has_long_gone_is_none() -> None:
    row, late = Row(), 100.0 + 71 / 30 + LATE_S + 0.1
    judged(row, visit("0", 0, 0, 100.0), [Told("0", "anna", late, late)], ["anna"], began=99.0, ended=120.0)
    assert (row.visits, row.missed) == (1, 1)


def test_the_number_in_a_picture_survives_a_camera() -> None:
    grey = np.full((480, 640, 3), 120, np.uint8)
    for number in (0, 1, 500, 1022):
        jpeg = cv2.imencode(".jpg", with_number(grey, number), [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()
        assert number_in(decoded(jpeg)) == number
