"""Stories about faces that may be pictures: the liveness model can only deny."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import inf, nan

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.boxes import Box
from daemon.core.passages.gatekeeper import Decision, Gatekeeper
from daemon.core.passages.liveness import LivenessRules, Lives, Votes, judge, surroundings
from daemon.core.passages.rules import Rules
from daemon.core.values import Face, Image, Liveness, Match, Probe, Quality, Reason, Vector, Verdict, View
from tests.fixtures.claim_stories import BOTH, VERIFY
from tests.fixtures.stories import ALICE, BOB, CROP, RULES, STRANGER, Story, said

LOOKED_AT = LivenessRules(frames=3, threshold=0.5, require=False)
REQUIRED = replace(LOOKED_AT, require=True)

ACCEPTED = ("accept", "matched", "alice")
SUSPECTED = ("reject", "spoof_suspected", "alice")


@dataclass
class Gate:
    """One camera, 10 frames a second, one face; the model answers with the number that a frame's picture was made of."""

    liveness: LivenessRules = LOOKED_AT
    rules: Rules = RULES
    answers: Callable[[list[float]], list[float]] = list
    no_model: bool = False
    forbidden: dict[str, Reason] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.story = Story(rules=replace(self.rules, liveness=self.liveness))
        self.keeper, self.asked, self.number = self.story.keeper, 0, 0

    def lives(self, faces: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        assert faces.dtype == np.uint8 and faces.shape[1:] == (80, 80, 3)
        self.asked += len(faces)
        return np.array(self.answers([float(face[0, 0, 0]) / 100 for face in faces]), np.float64)

    def badge(self) -> None:
        """Alice's, shown after the last frame and before the next."""
        since_s = self.number / 10 - 0.05
        self.keeper.claims.present("alice", since_s, since_s + 10)

    def sees(self, alive: float | None, times: int = 1, who: Vector | Quality | None = ALICE) -> list[Decision]:
        """`alive` None is a frame of which there is nothing for the model; `who` None is nobody."""
        told: list[Decision] = []
        for _ in range(times):
            at = self.number / 10
            shows = None if alive is None else np.full((80, 80, 3), round(alive * 100), np.uint8)
            quality = who if isinstance(who, Quality) else Quality.OK
            probes = () if who is None else (Probe(Face(Box(50, 100, 80, 80), 1.0), CROP, quality, shows),)
            vectors = [None if isinstance(who, Quality) else who for _ in probes]
            view = View("north", self.number, at, 1000 + at, probes)
            lives: Lives | None = None if self.no_model else self.lives
            told += self.keeper.observe(
                view, vectors, self.story.find, lambda person, now: self.forbidden.get(person), self.story.compare, lives
            )
            self.number += 1
        return told


# ---- what it denies


def test_a_living_face_is_accepted_and_said_to_be_live() -> None:
    (decision,) = Gate().sees(0.9, times=10)
    assert said([decision]) == [ACCEPTED] and decision.liveness is Liveness.LIVE and decision.number == 2


def test_a_picture_of_somebody_is_rejected_by_name() -> None:
    (decision,) = Gate().sees(0.1, times=10)
    assert said([decision]) == [SUSPECTED] and decision.liveness is Liveness.SPOOF and decision.number == 2


def test_the_mean_over_the_frames_is_what_counts_and_the_threshold_itself_is_live() -> None:
    for threshold, expected in [(0.6, ACCEPTED), (0.61, SUSPECTED)]:
        gate = Gate(replace(LOOKED_AT, threshold=threshold))
        told = [*gate.sees(1.0), *gate.sees(0.2), *gate.sees(0.6)]
        assert said(told) == [expected]


def test_a_spoof_stays_one_until_it_has_left_however_alive_it_becomes() -> None:
    gate = Gate()
    assert said(gate.sees(0.1, times=3)) == [SUSPECTED]
    assert said(gate.sees(1.0, times=200)) == []
    gate.sees(None, times=10, who=None)
    assert said(gate.sees(1.0, times=3)) == [ACCEPTED], "a new passage is a new chance"


def test_a_picture_held_up_after_the_accept_takes_it_back() -> None:
    gate = Gate()
    assert said(gate.sees(0.9, times=5)) == [ACCEPTED]
    told = gate.sees(0.0, times=10)
    assert said(told) == [SUSPECTED] and told[0].changes
    assert said(gate.sees(1.0, times=100)) == []


def test_another_face_in_the_same_place_is_judged_by_its_own_frames() -> None:
    gate = Gate()
    assert said(gate.sees(0.9, times=5)) == [ACCEPTED]
    told = gate.sees(0.1, times=5, who=BOB)
    assert said(told) == [("reject", "spoof_suspected", "bob")] and told[0].liveness is Liveness.SPOOF
    gate = Gate()
    gate.sees(0.1, times=3)
    assert said(gate.sees(0.9, times=5, who=BOB)) == [("accept", "matched", "bob")]


def test_a_poor_frame_and_a_frame_of_somebody_else_have_no_vote() -> None:
    gate = Gate()
    gate.sees(0.9, times=2)
    gate.sees(0.0, times=3, who=Quality.BLURRED)
    gate.sees(0.0, who=STRANGER)
    assert said(gate.sees(0.9)) == [ACCEPTED]


def test_who_may_not_pass_anyway_is_told_why_and_nobody_is_asked() -> None:
    gate = Gate(forbidden={"alice": Reason.SUSPENDED})
    (decision,) = gate.sees(0.0, times=20)
    assert said([decision]) == [("reject", "suspended", "alice")] and decision.liveness is Liveness.NOT_EVALUATED
    assert gate.asked == 0


def test_strangers_cost_nothing_and_a_frame_is_asked_about_once() -> None:
    gate = Gate()
    gate.sees(0.9, times=50, who=STRANGER)
    assert gate.asked == 0
    gate = Gate()
    gate.sees(0.9, times=50)
    looks = gate.story.searched
    assert looks > 5 and gate.asked <= looks * LOOKED_AT.frames
    slow = Gate(rules=replace(RULES, recheck_s=0.1))
    slow.sees(0.9, times=50)
    assert slow.asked == 50


# ---- badges


@pytest.mark.parametrize("rules", [VERIFY, BOTH], ids=["verify", "both"])
def test_a_badge_does_not_make_a_picture_of_its_owner_alive(rules: Rules) -> None:
    gate = Gate(rules=rules)
    for _ in range(3):  # a second badge in the same passage changes nothing
        gate.badge()
        told = gate.sees(0.1, times=30)
        assert set(said(told)) == {SUSPECTED} and told[0].claimed
        assert gate.keeper.claims.standing is None
    gate.sees(None, times=10, who=None)
    gate.badge()
    (decision,) = gate.sees(0.9, times=30)
    assert said([decision]) == [("accept", "verified", "alice")] and decision.liveness is Liveness.LIVE


def test_a_picture_held_up_after_a_badge_has_let_its_owner_in_takes_the_accept_back() -> None:
    gate = Gate(rules=VERIFY)
    gate.badge()
    assert said(gate.sees(0.9, times=5)) == [("accept", "verified", "alice")]
    told = gate.sees(0.0, times=10)
    assert said(told) == [SUSPECTED] and told[0].changes
    assert said(gate.sees(1.0, times=100)) == []


def test_a_badge_is_used_up_where_liveness_is_required_and_cannot_be_told() -> None:
    gate = Gate(REQUIRED, rules=VERIFY, no_model=True)
    gate.badge()
    (decision,) = gate.sees(0.9, times=100)
    assert said([decision]) == [SUSPECTED] and decision.liveness is Liveness.NOT_EVALUATED


# ---- what is not known


def test_without_a_model_nothing_is_claimed_and_everything_is_as_it_was() -> None:
    (decision,) = Gate(no_model=True).sees(None, times=10)
    assert said([decision]) == [ACCEPTED] and decision.liveness is Liveness.NOT_EVALUATED


@pytest.mark.parametrize("answer", [nan, inf, -inf, -0.01, 1.01])
def test_an_answer_that_is_no_probability_is_no_answer(answer: float) -> None:
    (decision,) = Gate(answers=lambda seen: [*seen[:-1], answer]).sees(0.9, times=10)
    assert said([decision]) == [ACCEPTED] and decision.liveness is Liveness.NOT_EVALUATED
    (decision,) = Gate(REQUIRED, answers=lambda seen: [*seen[:-1], answer]).sees(0.9, times=10)
    assert said([decision]) == [SUSPECTED] and decision.liveness is Liveness.NOT_EVALUATED


def test_where_it_is_required_nobody_passes_without_a_model_or_without_frames() -> None:
    for gate in (Gate(REQUIRED, no_model=True), Gate(REQUIRED)):
        (decision,) = gate.sees(None, times=100)
        assert said([decision]) == [SUSPECTED] and decision.liveness is Liveness.NOT_EVALUATED


def test_where_it_is_required_a_model_that_works_again_lets_people_in_again() -> None:
    broken = True
    gate = Gate(REQUIRED, answers=lambda seen: [nan] * len(seen) if broken else seen)
    assert said(gate.sees(0.9, times=5)) == [SUSPECTED]
    broken = False
    (decision,) = gate.sees(0.9, times=20)
    assert said([decision]) == [ACCEPTED] and decision.changes and decision.liveness is Liveness.LIVE


def test_a_frame_without_its_picture_begins_the_count_anew() -> None:
    gate = Gate(REQUIRED)
    gate.sees(0.9, times=2), gate.sees(None)
    assert said(gate.sees(0.9, times=30)) == [ACCEPTED]
    gate = Gate(REQUIRED)
    gate.sees(0.9)
    gate.sees(None)
    (decision,) = gate.sees(0.9)
    assert said([decision]) == [SUSPECTED] and decision.liveness is Liveness.NOT_EVALUATED


def test_a_new_face_is_judged_by_its_first_frame_too() -> None:
    gate = Gate(REQUIRED, rules=replace(RULES, min_s=0.0))
    gate.sees(0.9, times=5)
    # Its first frame is set aside, and with the second one the passage is cut: the third one has three votes.
    assert said(gate.sees(0.9, times=3, who=BOB)) == [("accept", "matched", "bob")]


def test_a_model_that_raises_is_not_taken_for_an_answer() -> None:
    def broken(seen: list[float]) -> list[float]:
        raise RuntimeError("the model is broken")

    with pytest.raises(RuntimeError):
        Gate(REQUIRED, answers=broken).sees(0.9, times=3)


# ---- it never opens


Script = st.lists(
    st.tuples(
        st.sampled_from([ALICE, BOB, STRANGER, Quality.BLURRED, None]),
        st.sampled_from([None, 0.0, 0.3, 0.5, 0.7, 1.0]),
        st.integers(1, 8),
    ),
    max_size=20,
)


@given(Script, st.booleans(), st.lists(st.sampled_from([0.0, 0.4, 0.6, 1.0, nan, 2.0]), max_size=6))
def test_whatever_the_model_says_it_never_makes_an_accept_of_what_was_none(
    script: list[tuple[Vector | Quality | None, float | None, int]], require: bool, noise: list[float]
) -> None:
    """Side by side with a gate that has no model: wherever this one stands at accept, that one does, for the same person."""
    heard = list(noise)
    with_model = Gate(replace(LOOKED_AT, require=require), answers=lambda seen: [heard.pop() if heard else one for one in seen])
    without = Gate(no_model=True)
    for who, alive, times in script:
        for _ in range(times):
            with_model.sees(alive, who=who), without.sees(alive, who=who)
            assert with_model.keeper.passages.keys() == without.keeper.passages.keys()
            for number, passage in with_model.keeper.passages.items():
                if passage.ruling is not None and passage.ruling.verdict is Verdict.ACCEPT:
                    assert passage.ruling == without.keeper.passages[number].ruling
                    assert passage.votes.verdict is not Liveness.SPOOF
                    assert passage.votes.verdict is Liveness.LIVE or not require


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=8), st.integers(1, 6), st.floats(0.01, 0.99), st.booleans())
def test_live_is_said_only_of_a_mean_of_enough_probabilities(said: list[float], frames: int, threshold: float, require: bool) -> None:
    rules = LivenessRules(frames, threshold, require)
    newest = said[-frames:]
    sound = len(newest) == frames and all(0 <= one <= 1 for one in newest)
    if judge(np.array(said, np.float64), rules) is Liveness.LIVE:
        assert sound and sum(newest) / frames >= threshold - 1e-9
    else:
        assert not sound or sum(newest) / frames <= threshold + 1e-9


def test_no_verdict_but_live_passes_where_it_is_required_and_a_spoof_never_does() -> None:
    for require in (True, False):
        for verdict in Liveness:
            rules = LivenessRules(1, 0.5, require)
            votes = Votes()
            votes.take(np.zeros((80, 80, 3), np.uint8), rules)
            says = {Liveness.LIVE: 1.0, Liveness.SPOOF: 0.0, Liveness.NOT_EVALUATED: nan}[verdict]
            passes = votes.forbids(lambda faces, says=says: np.full(len(faces), says), rules) is None  # type: ignore[misc]
            assert votes.verdict is verdict
            assert passes == (verdict is Liveness.LIVE or (verdict is Liveness.NOT_EVALUATED and not require))


# ---- what the model is shown


POINTS = np.ones((5, 2), np.float32)


def gradient(width: int, height: int) -> Image:
    """Blue grows to the right and green downwards, one level a pixel."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x % 256, y % 256, np.zeros_like(x)], axis=-1).astype(np.uint8)


def test_the_surroundings_are_2_7_boxes_about_the_face() -> None:
    cut = surroundings(gradient(250, 250), Face(Box(100, 120, 40, 30), 1.0, POINTS))
    assert cut.shape == (80, 80, 3) and cut.dtype == np.uint8
    # Columns 120 ± 54 and rows 135 ± 40.5.
    assert [int(cut[40, 0, 0]), int(cut[40, 79, 0])] == pytest.approx([66, 173], abs=1.5)
    assert [int(cut[0, 40, 1]), int(cut[79, 40, 1])] == pytest.approx([94, 175], abs=1.5)


def test_a_cascades_square_is_first_made_a_face() -> None:
    image = gradient(250, 250)
    square = surroundings(image, Face(Box(100, 100, 40, 40), 1.0, POINTS, square=True))
    face = surroundings(image, Face(Box(120 - 0.41 * 40, 120 - 0.545 * 40, 0.82 * 40, 1.09 * 40), 1.0, POINTS))
    assert np.array_equal(square, face)


@pytest.mark.parametrize(
    ("box", "columns", "rows"),
    [
        (Box(0, 0, 40, 40), (0, 107), (0, 107)),  # moved into the frame, as large as ever
        (Box(190, 150, 40, 40), (132, 239), (92, 199)),
        (Box(20, 20, 200, 160), (0, 239), (4, 195)),  # as much as there is, with the box's shape
        (Box(-500, 100, 40, 40), (0, 107), (66, 173)),
    ],
)
def test_nothing_is_filled_in(box: Box, columns: tuple[int, int], rows: tuple[int, int]) -> None:
    cut = surroundings(gradient(240, 200), Face(box, 1.0, POINTS))
    assert [int(cut[40, 0, 0]), int(cut[40, 79, 0])] == pytest.approx(columns, abs=1.5)
    assert [int(cut[0, 40, 1]), int(cut[79, 40, 1])] == pytest.approx(rows, abs=1.5)


@given(*[st.floats(-1e4, 1e4)] * 2, *[st.floats(1e-3, 1e4)] * 2, st.integers(1, 300), st.integers(1, 300))
def test_a_cut_can_be_made_of_any_box(x: float, y: float, w: float, h: float, width: int, height: int) -> None:
    assert surroundings(np.zeros((height, width, 3), np.uint8), Face(Box(x, y, w, h), 1.0)).shape == (80, 80, 3)


@pytest.mark.parametrize("box", [Box(1, 1, 0, 10), Box(1, 1, 10, -1), Box(nan, 1, 10, 10), Box(1, 1, nan, 10), Box(1, inf, 10, 10)])
def test_a_box_that_is_none_is_refused(box: Box) -> None:
    with pytest.raises(ValueError, match="empty"):
        surroundings(np.zeros((50, 50, 3), np.uint8), Face(box, 1.0, POINTS))


def test_a_match_alone_is_no_answer() -> None:
    gate = Gate(REQUIRED)
    gate.story.find = lambda vectors: [Match("alice", nan, -1.0)] * len(vectors)  # type: ignore[method-assign]
    assert [d.verdict.value for d in gate.sees(1.0, times=40)] == ["unknown"]
    assert isinstance(gate.keeper, Gatekeeper) and gate.asked == 0
