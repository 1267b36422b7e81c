"""The line's functions, and the thread that walks the first half of it."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import pytest

from daemon.config import Config, DecisionConfig, GateConfig
from daemon.core.attention import Attention
from daemon.core.boxes import Box
from daemon.core.passages import defaults
from daemon.core.passages.liveness import NOT_REQUIRED
from daemon.core.values import Face, Frame, Image, Quality, View
from daemon.edges.gallery import Gallery
from daemon.edges.metrics import Metrics
from daemon.pipeline import steps
from daemon.serving.gate_worker import GateWorker
from daemon.serving.mailbox import CameraState, Looked, WorkerFailed
from tests.fixtures.desk import DIMENSION, JUDGE, NoThreshold, PaintedDetector, PaintedEmbedder

CONFIG = Config(site="hq", gates={"north": GateConfig(source="x")})


def frame(*people: int, number: int = 0) -> Frame:
    image = np.zeros((100, 140 * max(1, len(people)), 3), np.uint8)
    for place, brightness in enumerate(people):
        image[:, 140 * place + 20 : 140 * place + 120] = brightness
    return Frame("north", number, number / 10, 1000 + number / 10, image)


def gallery() -> Gallery:
    made = Gallery(DIMENSION)
    for number, brightness in enumerate((100, 170, 240)):
        made.add(number, f"p{brightness}", PaintedEmbedder().embed(np.full((1, 112, 112, 3), brightness, np.uint8))[0])
    return made


def test_every_face_gets_the_vector_of_its_own_crop_however_they_are_batched() -> None:
    views = [steps.look(frame(*people), PaintedDetector(), JUDGE) for people in [(100, 240), (), (170,)]]
    vectors = steps.embed(views, PaintedEmbedder())
    found = [[gallery().search(vector[None])[0].person if vector is not None else None for vector in row] for row in vectors]
    assert found == [["p100", "p240"], [], ["p170"]]


def test_a_poor_face_is_neither_embedded_nor_matched() -> None:
    class NoEmbedder:
        def embed(self, crops: np.ndarray) -> np.ndarray:
            raise AssertionError("nothing was fit to be embedded")

    strict = replace(JUDGE, limits=steps.limits(CONFIG, 500))
    view = steps.look(frame(100), PaintedDetector(), strict)
    assert [p.quality for p in view.probes] == [Quality.TOO_SMALL]
    assert steps.embed([view], NoEmbedder()) == [[None]]


def test_good_faces_are_cut_out_with_their_surroundings_where_liveness_is_looked_at_and_poor_ones_never() -> None:
    (probe,) = steps.look(frame(100), PaintedDetector(), JUDGE, liveness=True).probes
    assert probe.surroundings is not None and probe.surroundings.shape == (80, 80, 3)
    (probe,) = steps.look(frame(100), PaintedDetector(), JUDGE).probes
    assert probe.surroundings is None
    (probe,) = steps.look(frame(100), PaintedDetector(), replace(JUDGE, limits=steps.limits(CONFIG, 500)), liveness=True).probes
    assert probe.surroundings is None


def test_a_face_that_cannot_be_cut_out_is_left_out() -> None:
    class Nonsense(PaintedDetector):
        def detect(self, image: Image) -> list[Face]:
            return [Face(Box(1, 1, 0, 0), 1.0), Face(Box(1, 1, 50, 50), 1.0, np.ones((5, 2), np.float32))]

    assert steps.look(frame(100), Nonsense(), JUDGE).probes == ()


def test_time_and_number_walk_along() -> None:
    view = steps.look(frame(100, number=7), PaintedDetector(), JUDGE)
    assert (view.gate, view.number, view.at_s, view.captured_at) == ("north", 7, 0.7, 1000.7)


def test_the_operators_threshold_goes_before_the_cards_and_an_unresolved_cell_is_none() -> None:
    class Card(NoThreshold):
        def threshold(self, gallery_size: int, target_fpir: float) -> float | None:
            assert gallery_size >= 1 and target_fpir == 0.01
            return 0.4 if gallery_size <= 10 else None

    assert [steps.rules(CONFIG, Card(), n).threshold for n in (0, 10, 11)] == [0.4, 0.4, None]
    explicit = Config(site="hq", gates=CONFIG.gates, decision=DecisionConfig(threshold=0.7))
    assert steps.rules(explicit, Card(), 11).threshold == 0.7
    digests = {steps.policy_digest(CONFIG, steps.rules(CONFIG, Card(), n)) for n in (1, 11)}
    assert len(digests) == 2, "another threshold is another policy"


def test_a_gate_that_is_not_configured_decides_by_the_rules_that_the_cards_are_measured_with() -> None:
    class Card(NoThreshold):
        def threshold(self, gallery_size: int, target_fpir: float) -> float | None:
            return 0.6

        def pair_threshold(self, fmr: float) -> float | None:
            return 0.5 if fmr == defaults.SAME_FACE_FMR else None

        def claim_threshold(self, target_fmr: float) -> float | None:
            return 0.7

    assert CONFIG.decision == DecisionConfig() and CONFIG.decision.lost_s == defaults.LOST_S
    found = steps.rules(CONFIG, Card(), 10, "both")
    assert replace(found, liveness=NOT_REQUIRED) == defaults.rules(0.6, 0.5, 0.7)


@dataclass
class Film:
    """A camera that shows these frames and then ends, or fails."""

    frames: list[Frame]
    fails: bool = False
    live: bool = False
    state: Literal["up", "down", "ended"] = "up"
    trouble: None = None
    detail: str | None = None
    closed: bool = False
    dropped: Mapping[str, int] = field(default_factory=dict)

    def read(self, timeout_s: float) -> Frame | None:
        if self.frames:
            return self.frames.pop(0)
        if self.fails:
            raise RuntimeError("boom")
        self.state = "ended"
        return None

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("fails", [False, True])
def test_a_worker_shows_every_frame_and_says_how_it_ended(fails: bool) -> None:
    views: list[View] = []
    events: list[CameraState | WorkerFailed | Looked] = []
    ended = threading.Event()

    def tell(event: CameraState | WorkerFailed | Looked) -> None:
        events.append(event)
        if isinstance(event, WorkerFailed) or (isinstance(event, CameraState) and event.state == "ended"):
            ended.set()

    def offer(view: View, stop: threading.Event) -> bool:
        views.append(view)
        return True

    film = Film([frame(100, number=n) for n in range(5)], fails)
    worker = GateWorker("north", film, Attention(40), PaintedDetector(), JUDGE, offer, tell, Metrics(), liveness=fails)
    worker.start()
    assert ended.wait(10)
    worker.join(10)
    assert [v.number for v in views] == list(range(5)) and film.closed
    assert all((probe.surroundings is not None) == fails for view in views for probe in view.probes) and views[0].probes
    assert isinstance(events[-1], WorkerFailed) if fails else events[-1] == CameraState("north", "ended", None, False)
