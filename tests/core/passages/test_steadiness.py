"""Which faces get a vector: all until there is an answer, few after it, and at once whoever may be somebody else."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
import pytest

from daemon.core.boxes import Box
from daemon.core.passages.evidence import Evidence
from daemon.core.passages.gatekeeper import Decision, Gatekeeper
from daemon.core.passages.liveness import LivenessRules
from daemon.core.passages.match import best_two
from daemon.core.passages.rules import Rules
from daemon.core.passages.steadiness import ALIKE, REFRESH_S, Shown, picture
from daemon.core.values import Face, Image, Match, Probe, Quality, Vector, Verdict, View
from tests.fixtures.stories import ALICE, BOB, RULES, STRANGER, Story, crop, face, said

# ---- the picture


def noisy(image: Image, strength: float) -> Image:
    other = np.random.default_rng(7).integers(0, 255, (16, 16, 3), np.uint8).repeat(7, 0).repeat(7, 1)
    return np.asarray(cv2.addWeighted(image, 1 - strength, other, strength, 0), np.uint8)


def test_light_and_contrast_change_no_picture_and_another_face_does() -> None:
    seen = picture(crop(ALICE))
    assert seen.shape == (256,) and float(seen @ seen) == pytest.approx(1) and float(seen.sum()) == pytest.approx(0, abs=1e-4)
    assert float(seen @ picture((crop(ALICE) // 2 + 40).astype(np.uint8))) > 0.999
    assert float(seen @ picture(crop(BOB))) < 0.5


@pytest.mark.parametrize("value", [0, 255])
def test_a_crop_without_contrast_is_like_nothing_not_even_itself(value: int) -> None:
    plain = np.full((112, 112, 3), value, np.uint8)
    assert not Shown(1.0, picture(plain)).still(plain, 1.0)


def test_a_face_still_shows_the_same_for_a_moment() -> None:
    shown = Shown(0.0, picture(crop(ALICE)))
    assert shown.still(crop(ALICE), 0.0) and shown.still(crop(ALICE), 0.17)
    for at_s in (REFRESH_S, -0.1, float("nan")):
        assert not shown.still(crop(ALICE), at_s)
    assert not shown.still(crop(BOB), 0.1)
    strengths = [step / 100 for step in range(100)]
    still = [shown.still(noisy(crop(ALICE), strength), 0.1) for strength in strengths]
    changed = still.index(False)
    assert 0 < changed < 50 and not any(still[changed:])
    assert float(shown.picture @ picture(noisy(crop(ALICE), strengths[changed]))) < ALIKE


# ---- which faces


PATIENT = replace(RULES, patience=20)


@dataclass
class Camera:
    """Thirty frames a second. Each frame shows faces at their places, and each face has its vector if the gate wants it."""

    rules: Rules = PATIENT
    fps: float = 30.0
    number: int = 0
    always: bool = False
    """Embed whatever the gate wants."""
    asked: list[bool] = field(default_factory=list)
    """For each frame, whether the first face was embedded."""

    def __post_init__(self) -> None:
        self.keeper = Gatekeeper("north", self.rules, 0.5)
        self.gallery = {"alice": ALICE, "bob": BOB}

    def sees(
        self,
        *faces: tuple[Vector, float],
        times: int = 1,
        shows: Callable[[int], Image] | None = None,
        quality: Quality = Quality.OK,
        size: float = 80,
    ) -> list[Decision]:
        """`shows` is what the first face looks like in the n-th of these frames, if it does not look like itself."""
        told: list[Decision] = []
        for n in range(times):
            at_s = self.number / self.fps
            probes = tuple(
                Probe(Face(Box(x, 100, size, size), 1.0), shows(n) if shows is not None and not i else crop(vector), quality)
                for i, (vector, x) in enumerate(faces)
            )
            view = View("north", self.number, at_s, 1000 + at_s, probes)
            wanted = self.keeper.wants(view)
            assert wanted == self.keeper.wants(view), "asking changes nothing"
            wanted = [True] * len(wanted) if self.always else wanted
            vectors = [vector if needed else None for (vector, _), needed in zip(faces, wanted, strict=True)]
            told += self.keeper.observe(view, vectors, self.find, lambda person, now: None, self.compare)
            self.asked += wanted[:1]
            self.number += 1
        return told

    def find(self, vectors: np.ndarray) -> list[Match]:
        names, known = list(self.gallery), np.stack(list(self.gallery.values()))
        return [Match(names[owner], best, rival) for owner, best, rival in (best_two(known @ v, np.arange(len(names))) for v in vectors)]

    def compare(self, vector: Vector, person: str) -> float:
        return float(self.gallery[person] @ vector)

    def count(self, what: Callable[[], object]) -> int:
        """In how many of the frames of this step the first face was embedded."""
        self.asked.clear()
        what()
        return sum(self.asked)


A, B, S = (ALICE, 100.0), (BOB, 100.0), (STRANGER, 100.0)


def test_after_the_accept_a_face_is_embedded_five_times_a_second() -> None:
    camera = Camera()
    assert said(camera.sees(A, times=6)) == [("accept", "matched", "alice")]
    assert camera.asked == [True] * 6
    assert camera.count(lambda: camera.sees(A, times=300)) in range(50, 63)
    assert camera.asked[:13] == [False] * 5 + [True] + [False] * 5 + [True, False]


@pytest.mark.parametrize(("fps", "embedded"), [(5, 50), (10, 50), (15, 50), (25, 50)])
def test_a_slow_camera_is_looked_at_as_often(fps: float, embedded: int) -> None:
    camera = Camera(fps=fps)
    camera.sees(A, times=10)
    assert abs(camera.count(lambda: camera.sees(A, times=round(10 * fps))) - embedded) <= 12


def test_a_stranger_is_embedded_with_every_frame_until_the_last_look() -> None:
    camera = Camera()
    assert said(camera.sees(S, times=20)) == [("unknown", "no_match", None)]
    looks_s = RULES.recheck_s * RULES.tries
    assert all(camera.asked) and camera.count(lambda: camera.sees(S, times=int(looks_s * 30))) == int(looks_s * 30)
    assert camera.count(lambda: camera.sees(S, times=300)) < 70
    camera.gallery["somebody"] = STRANGER
    camera.keeper.refresh()
    assert said(camera.sees(S)) == [("accept", "matched", "somebody")]


def test_whoever_is_forgotten_is_looked_at_in_the_next_frame() -> None:
    camera = Camera()
    camera.sees(A, times=7)
    del camera.gallery["alice"]
    camera.keeper.forget("alice")
    assert said(camera.sees(A)) == [("unknown", "no_match", None)]


def test_after_a_change_of_model_every_frame_counts_until_there_is_evidence() -> None:
    camera = Camera()
    camera.sees(A, times=7)
    camera.keeper.begin_anew()
    assert camera.count(lambda: camera.sees(A, times=6)) == 6 and not camera.sees(A, times=1)
    assert camera.count(lambda: camera.sees(A, times=5)) <= 1


def test_while_a_claim_stands_every_frame_may_settle_it() -> None:
    camera = Camera(replace(RULES, pair=0.5, patience=20, threshold=None))
    assert camera.count(lambda: camera.sees(A, times=10)) < 10, "nobody claims anything, and there is evidence"
    camera.keeper.claims.present("bob", camera.number / 30, camera.number / 30 + 5)
    assert camera.count(lambda: camera.sees(A, times=17)) == 17
    assert said(camera.sees(A)) == [("reject", "claim_mismatch", "bob")]
    assert camera.count(lambda: camera.sees(A, times=12)) <= 3


def test_somebody_in_doubt_is_embedded_with_every_frame() -> None:
    camera = Camera(replace(RULES, memory=0.1, same=-1.0))
    camera.sees(A, times=6)
    # What the embedder sees has changed, and the picture has not.
    changed = face(0, 0, 1)
    told = camera.sees((changed, 100.0), times=15, shows=lambda _: crop(ALICE))
    assert not told and next(iter(camera.keeper.passages.values())).doubts == 1
    assert camera.count(lambda: camera.sees((changed, 100.0), times=14, shows=lambda _: crop(ALICE))) == 14
    assert said(camera.sees((changed, 100.0), times=2, shows=lambda _: crop(ALICE))) == [("unknown", "no_match", None)]


def test_at_a_closed_gate_nothing_is_embedded() -> None:
    camera = Camera(replace(RULES, threshold=None))
    camera.sees(A, times=5)
    assert not any(camera.asked)


def test_a_poor_face_is_never_embedded_and_the_next_good_one_is() -> None:
    camera = Camera()
    camera.sees(A, times=6)
    assert camera.count(lambda: camera.sees(A, quality=Quality.COVERED)) == 0
    assert camera.count(lambda: camera.sees(A)) == 1
    assert camera.count(lambda: camera.sees(A, times=3)) == 0


def test_a_frame_that_was_not_embedded_is_no_evidence_and_no_poor_one() -> None:
    camera = Camera()
    camera.sees(A, times=6)
    (passage,) = camera.keeper.passages.values()
    good, seen = passage.evidence.good, passage.seen
    camera.sees(A, times=3)
    (sighting,) = camera.keeper.sightings
    assert (passage.evidence.good, passage.seen) == (good, seen + 3)
    assert sighting.number == 8 and sighting.quality is Quality.OK and sighting.match is not None and sighting.match.person == "alice"


# ---- somebody else in the same place


def fading(fade: int) -> Callable[[int], Image]:
    return lambda n: np.asarray(cv2.addWeighted(crop(ALICE), 1 - (n + 1) / (fade + 1), crop(BOB), (n + 1) / (fade + 1), 0), np.uint8)


@pytest.mark.parametrize("fade", [0, 2, 4])
@pytest.mark.parametrize("phase", range(7))
def test_whoever_takes_the_place_of_an_accepted_face_is_a_passage_of_their_own(phase: int, fade: int) -> None:
    camera, always = Camera(), Camera(always=True)
    for one in (camera, always):
        one.sees(A, times=6 + phase)
        told = one.sees(A, times=fade, shows=fading(fade))  # Alice's vector until Bob alone is seen
        one.asked.clear()
        told += one.sees(B, times=12)
        assert [(*said([d])[0], d.passage, d.number) for d in told] == [("accept", "matched", "bob", 2, 6 + phase + fade + 6)]
        assert all(one.asked[:7]), "from the first frame that shows Bob to the answer"
    assert sum(camera.asked) < sum(always.asked)


def test_a_face_so_like_the_last_that_the_picture_does_not_tell_is_noticed_within_a_fifth_of_a_second() -> None:
    camera = Camera()
    camera.sees(A, times=6)
    told = camera.sees(B, times=15, shows=lambda _: crop(ALICE))
    assert said(told) == [("accept", "matched", "bob")]
    assert told[0].number - 6 <= 0.2 * 30 + 5 and told[0].passage == 2


def test_a_face_that_comes_where_another_left_is_embedded_at_once() -> None:
    camera = Camera()
    camera.sees(A, times=7)
    camera.sees(times=1)
    assert camera.count(lambda: camera.sees(A)) == 1, "after a gap"
    camera.sees(A, times=2)
    assert camera.count(lambda: camera.sees(A, (STRANGER, 190.0))) == 1, "somebody beside"
    assert camera.count(lambda: camera.sees(A, size=120)) == 1, "of another size"


def test_two_who_cross_are_embedded_while_they_are_near() -> None:
    camera = Camera()
    camera.sees((ALICE, 100.0), (BOB, 500.0), times=20)
    told: list[Decision] = []
    near: list[bool] = []
    for step in range(60):
        left, right = 100 + 400 * step / 60, 500 - 400 * step / 60
        camera.asked.clear()
        told += camera.sees((ALICE, left), (BOB, right))
        if abs(left - right) < 80 * 1.5:
            near += camera.asked
    assert near and all(near)
    assert not told, "both stay whom they are"
    assert not [d for d in camera.sees((ALICE, 500.0), (BOB, 100.0), times=60) if d.verdict is Verdict.ACCEPT]


# ---- liveness


def test_liveness_is_judged_by_the_frames_that_were_embedded() -> None:
    rules = replace(RULES, patience=20, liveness=LivenessRules(frames=2, threshold=0.5, require=True))
    keeper, asked = Gatekeeper("north", rules, 0.5), 0

    def lives(faces: np.ndarray) -> np.ndarray:
        nonlocal asked
        asked += len(faces)
        return np.full(len(faces), 0.9 if faces.mean() < 100 else 0.1)

    told: list[Decision] = []
    for number in range(60):
        shown = np.full((80, 80, 3), 50 if number < 20 else 200, np.uint8)
        probe = Probe(Face(Box(100, 100, 80, 80), 1.0), crop(ALICE), Quality.OK, shown)
        view = View("north", number, number / 30, number / 30, (probe,))
        vectors = [ALICE if wanted else None for wanted in keeper.wants(view)]
        told += keeper.observe(view, vectors, lambda v: [Match("alice", 1.0, 0.0)] * len(v), lambda p, n: None, lives=lives)
    assert said(told) == [("accept", "matched", "alice"), ("reject", "spoof_suspected", "alice")]
    assert asked <= 8


def test_a_story_costs_few_vectors() -> None:
    story = Story()
    story.sees(ALICE, times=60)
    assert story.embedded < 40


def test_a_spared_frame_counts_as_the_one_before_it() -> None:
    """So the evidence is that of the last second, of however few frames."""
    rng = np.random.default_rng(5)
    vectors = [np.asarray(v / np.linalg.norm(v), np.float32) for v in rng.normal(size=(4, 8))]
    held, all_embedded = Evidence(0.9), Evidence(0.9)
    held.again()  # nothing was seen yet
    for number, vector in enumerate(vectors):
        held.add(vector, float(number))
        all_embedded.add(vector, float(number))
        for _ in range(5):
            held.again()
            all_embedded.add(vector, float(number))
    assert held.fused == pytest.approx(all_embedded.fused, abs=1e-6) and held.good == len(vectors)
