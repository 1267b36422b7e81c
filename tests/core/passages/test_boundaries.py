"""The exact edge of every comparison that decides something: what is met exactly, and what is one step of a float beside it."""

from dataclasses import replace
from math import inf, nan, nextafter

import numpy as np
import pytest

from daemon.core.boxes import Box
from daemon.core.passages.claims import Claim, Claims, seconds_left
from daemon.core.passages.evidence import UNIT_WITHIN, Evidence, is_unit
from daemon.core.passages.liveness import LivenessRules, judge, surroundings
from daemon.core.passages.rules import HOLD, clear, near
from daemon.core.passages.tracks import MIN_IOU, RETURN_SHIFT, Tracker
from daemon.core.values import Face, Liveness, Match, Quality, Vector
from tests.fixtures.claim_stories import MISMATCH, VERIFIED, Gate
from tests.fixtures.stories import ACCEPT_ALICE, ALICE, AMBIGUOUS, RULES, STRANGER, UNKNOWN, Story, face, said

EXACT = replace(RULES, threshold=0.5, margin=0.125, min_s=0.0, same=-1.0)
"""The numbers have exact binary fractions, so that a similarity can meet them exactly."""
VERIFY = replace(EXACT, threshold=None, pair=0.375)


def below(number: float) -> float:
    return nextafter(number, -inf)


def above(number: float) -> float:
    return nextafter(number, inf)


class Told(Gate):
    """A gate that finds and compares what the story says."""

    match = Match("alice", 1.0, -1.0)
    similarity = 1.0

    def find(self, vectors: np.ndarray) -> list[Match]:
        self.searched += len(vectors)
        return [self.match] * len(vectors)

    def compare(self, vector: Vector, person: str) -> float:
        self.compared = getattr(self, "compared", 0) + 1
        return self.similarity


# ---- thresholds


@pytest.mark.parametrize(
    ("similarity", "answer"), [(0.5, ACCEPT_ALICE), (above(0.5), ACCEPT_ALICE), (below(0.5), UNKNOWN), (nan, UNKNOWN), (inf, UNKNOWN)]
)
def test_a_similarity_that_meets_the_threshold_exactly_accepts(similarity: float, answer: tuple[str, str, str | None]) -> None:
    story = Told(EXACT)
    story.match = Match("alice", similarity, -1.0)
    assert said(story.sees(ALICE, times=40)) == [answer]
    assert near(story.match, EXACT) is (answer == ACCEPT_ALICE)
    assert not near(story.match, replace(EXACT, threshold=None)) and not near(replace(story.match, person=None), EXACT)
    assert not near(Match("alice", 1.0, -1.0), replace(EXACT, threshold=nan))


@pytest.mark.parametrize(
    ("rival", "answer"),
    [(0.625, ACCEPT_ALICE), (below(0.625), ACCEPT_ALICE), (above(0.625), AMBIGUOUS), (nan, AMBIGUOUS), (inf, AMBIGUOUS)],
)
def test_a_rival_that_is_exactly_the_margin_away_does_not_hinder(rival: float, answer: tuple[str, str, str | None]) -> None:
    story = Told(EXACT)
    story.match = Match("alice", 0.75, rival)
    assert said(story.sees(ALICE, times=40)) == [answer]
    assert clear(story.match, EXACT) is (answer == ACCEPT_ALICE)


@pytest.mark.parametrize(
    ("similarity", "answer"), [(0.375, VERIFIED), (above(0.375), VERIFIED), (below(0.375), MISMATCH), (nan, MISMATCH), (inf, MISMATCH)]
)
def test_a_similarity_that_meets_the_threshold_of_claims_exactly_verifies(similarity: float, answer: tuple[str, str, str]) -> None:
    story = Told(VERIFY)
    story.similarity = similarity
    story.badge()
    assert said(story.sees(ALICE, times=40)) == [answer]


@pytest.mark.parametrize(("similarity", "told"), [(0.5 - HOLD, []), (below(0.5 - HOLD), [UNKNOWN]), (nan, [UNKNOWN])])
def test_somebody_recognised_stays_down_to_exactly_hold_below_the_threshold(similarity: float, told: list[object]) -> None:
    story = Told(EXACT)
    story.sees(ALICE, times=3)
    story.match = Match("alice", similarity, -1.0)
    assert said(story.sees(ALICE, times=60)) == told
    story = Told(EXACT)
    story.sees(ALICE, times=3)
    story.match = Match("bob", similarity, -1.0)
    assert said(story.sees(ALICE, times=60)) == [UNKNOWN], "only if the nearest is that person"


@pytest.mark.parametrize(
    ("similarity", "told"), [(0.375 - HOLD, []), (below(0.375 - HOLD), [MISMATCH]), (nan, [MISMATCH]), (inf, [MISMATCH])]
)
def test_somebody_verified_stays_down_to_exactly_hold_below_the_threshold_of_claims(similarity: float, told: list[object]) -> None:
    story = Told(VERIFY)
    story.badge()
    story.sees(ALICE, times=3)
    story.similarity = similarity
    assert said(story.sees(ALICE, times=60)) == told


@pytest.mark.parametrize(("similarity", "told"), [(0.375, []), (below(0.375), [UNKNOWN])])
def test_somebody_forgotten_after_a_claim_needs_the_whole_threshold(similarity: float, told: list[object]) -> None:
    story = Told(VERIFY)
    story.badge()
    story.sees(ALICE, times=3)
    story.keeper.forget("alice")
    story.similarity = similarity
    assert said(story.sees(ALICE, times=60)) == told


# ---- counts and times


def test_the_first_answer_comes_with_exactly_the_frames_and_the_time_it_needs() -> None:
    assert [d.number for d in Story(replace(EXACT, min_frames=4)).sees(ALICE, times=9)] == [3]
    assert [d.number for d in Story(replace(EXACT, min_s=0.4)).sees(ALICE, times=9)] == [4]
    assert [d.number for d in Story(replace(EXACT, min_s=above(0.4))).sees(ALICE, times=9)] == [5]
    assert [d.number for d in Story(EXACT).sees(STRANGER, times=9)] == [EXACT.patience - 1]


@pytest.mark.parametrize(("recheck_s", "looks"), [(0.5, [10, 15, 20]), (above(0.5), [10, 16])])
@pytest.mark.parametrize("who", [ALICE, STRANGER], ids=["recognised", "unknown"])
def test_a_face_is_looked_at_again_after_exactly_the_time(who: Vector, recheck_s: float, looks: list[int]) -> None:
    story = Story(replace(EXACT, patience=3, recheck_s=recheck_s))
    story.number, found = 8, []
    for number in range(8, 21):
        before = story.searched
        story.sees(who)
        found += [number] if story.searched > before else []
    assert found == looks


@pytest.mark.parametrize(("recheck_s", "looks"), [(0.5, [10, 15, 20]), (above(0.5), [10, 16])])
def test_somebody_verified_is_compared_again_after_exactly_the_time(recheck_s: float, looks: list[int]) -> None:
    story = Told(replace(VERIFY, recheck_s=recheck_s))
    story.number, found = 8, []
    story.badge()
    for number in range(8, 21):
        before = getattr(story, "compared", 0)
        story.sees(ALICE)
        found += [number] if getattr(story, "compared", 0) > before else []
    assert found == looks


def test_exactly_two_looks_in_a_row_take_an_answer_back() -> None:
    lost = Match(None, -1.0, -1.0)
    story = Told(replace(EXACT, recheck_s=0.05))
    story.sees(ALICE, times=3)
    for _ in range(5):
        story.match = lost
        assert said(story.sees(ALICE)) == []
        story.match = Match("alice", 0.45, -1.0)
        assert said(story.sees(ALICE)) == [], "a look that is not lost begins the count anew"
        story.match = lost
        assert said(story.sees(ALICE)) == []
        story.match = Told.match
        assert said(story.sees(ALICE)) == []
    story.match = lost
    assert said(story.sees(ALICE)) == [] and said(story.sees(ALICE)) == [UNKNOWN]


def test_exactly_two_comparisons_in_a_row_take_a_verification_back() -> None:
    story = Told(replace(VERIFY, recheck_s=0.05))
    story.badge()
    story.sees(ALICE, times=3)
    for _ in range(5):
        story.similarity = -1.0
        assert said(story.sees(ALICE)) == []
        story.similarity = 1.0
        assert said(story.sees(ALICE)) == []
    story.similarity = -1.0
    assert said(story.sees(ALICE)) == [] and said(story.sees(ALICE)) == [MISMATCH]


def test_a_face_that_was_never_scored_is_answered_after_exactly_patience_frames() -> None:
    for frames, told in ((EXACT.patience, [("unknown", "unscorable", None)]), (EXACT.patience - 1, [])):
        story = Story(EXACT)
        story.sees(Quality.BLURRED, times=frames)
        assert said(story.sees(None, times=10)) == told


def test_a_face_with_exactly_the_good_frames_is_not_unscorable() -> None:
    slow = replace(EXACT, min_s=60.0)
    for good, told in ((slow.min_frames - 1, [("unknown", "unscorable", None)]), (slow.min_frames, [])):
        story = Story(slow)
        story.sees(ALICE, times=good)
        story.sees(Quality.BLURRED, times=slow.patience)
        assert said(story.sees(None, times=10)) == told


def test_at_a_gate_that_only_verifies_exactly_the_good_frames_make_an_unknown() -> None:
    for good, told in ((VERIFY.min_frames, [UNKNOWN]), (VERIFY.min_frames - 1, [])):
        story = Story(VERIFY)
        story.sees(ALICE, times=good)
        assert said(story.sees(None, times=10)) == told


def test_what_was_found_before_a_change_of_model_is_owed_to_nobody() -> None:
    story = Story(EXACT)
    assert said(story.sees(STRANGER, times=4)) == []
    story.keeper.begin_anew()
    assert said(story.sees(None, times=10)) == []


# ---- evidence


def test_a_frame_that_is_exactly_alike_enough_shows_this_face() -> None:
    other = face(1, 1.7)
    likeness = float(ALICE @ other)
    for same, taken in ((likeness, "fused"), (above(likeness), "aside"), (nan, "aside")):
        evidence = Evidence(0.9)
        assert evidence.take(ALICE, 0.0, same) == "fused", "the first frame always does"
        assert evidence.take(other, 0.1, same) == taken


def test_two_frames_that_are_exactly_alike_enough_show_another_face() -> None:
    one, two = face(0, 1), face(0, 1, 1.7)
    likeness = float(one @ two)
    for same, taken in ((likeness, "another"), (above(likeness), "aside"), (nan, "aside")):
        evidence = Evidence(0.9)
        evidence.add(ALICE, 0.0)
        assert evidence.take(one, 0.1, same) == "aside"
        assert evidence.take(two, 0.2, same) == taken


def test_a_vector_may_be_a_little_longer_or_shorter_than_one() -> None:
    for length, fits in ((1.0, True), (1.0099, True), (0.9901, True), (1.0101, False), (0.9899, False), (nan, False), (inf, False)):
        assert is_unit(np.full(1, length, np.float32)) is fits, length
    assert UNIT_WITHIN == 0.01


# ---- claims


def test_a_claim_concerns_frames_from_its_first_instant_to_just_before_its_last() -> None:
    claim = Claim("alice", 1.0, 2.0)
    assert [claim.concerns(at) for at in (below(1.0), 1.0, above(1.0), nan)] == [False, True, True, False]
    assert [claim.over(at) for at in (below(2.0), 2.0, nan)] == [False, True, True]


@pytest.mark.parametrize(
    ("similarity", "same"), [(0.375, True), (below(0.375), None), (nan, None), (inf, None), (-inf, None), (above(0.375), True)]
)
def test_one_look_settles_a_claim_exactly_from_its_threshold_on(similarity: float, same: bool | None) -> None:
    assert Claim("alice", 0.0, 9.0).compared(similarity, None, 0.375, 2) is same
    assert Claim("alice", 0.0, 9.0).compared(similarity, "alice", 0.375, 2) is same
    assert Claim("alice", 0.0, 9.0).compared(similarity, "bob", 0.375, 2) is False
    assert Claim("alice", 0.0, 9.0).compared(similarity, None, None, 2) is None, "without a threshold nothing is near enough"


def test_a_claim_fails_with_exactly_its_last_look() -> None:
    claim = Claim("alice", 0.0, 9.0)
    assert [claim.compared(0.0, None, 0.375, 3) for _ in range(3)] == [None, None, False]
    assert Claim("alice", 0.0, 9.0).compared(1.0, None, 0.375, 1) is True, "the last look may still hold"


def test_two_frames_of_one_instant_are_in_order_and_one_of_an_earlier_instant_is_not() -> None:
    claims = Claims()
    claims.meet(1.0, 0, True)
    claims.present("alice", 1.0, 9.0)
    assert claims.meet(1.0, 1, True) is None and claims.standing is not None
    assert claims.meet(below(1.0), 1, True) is None and claims.ended == [("alice", "camera_lost")]


def test_one_face_is_alone_and_two_are_not() -> None:
    for faces, ended in ((0, []), (1, []), (2, [("alice", "several_faces")])):
        claims = Claims()
        claims.present("alice", 0.0, 9.0)
        claims.meet(1.0, faces, True)
        assert claims.ended == ended


def test_a_claim_has_no_time_left_in_the_instant_that_it_is_over() -> None:
    assert seconds_left(10.0, 0.0, 10.0) == 0.0 and seconds_left(10.0, 0.0, above(10.0)) == 0.0
    assert 0 < seconds_left(10.0, 0.0, below(10.0)) < 1e-12


# ---- liveness


def test_a_mean_that_meets_the_threshold_exactly_is_live() -> None:
    said = np.array([0.25, 0.75, 0.5])
    for threshold, verdict in ((0.5, Liveness.LIVE), (above(0.5), Liveness.SPOOF), (below(0.5), Liveness.LIVE), (nan, Liveness.SPOOF)):
        assert judge(said, LivenessRules(3, threshold, True)) is verdict
    assert judge(said, LivenessRules(4, 0.1, True)) is Liveness.NOT_EVALUATED, "one frame too few"


def test_nought_and_one_are_probabilities_and_nothing_beyond_them_is() -> None:
    rules = LivenessRules(2, 0.5, True)
    assert judge(np.array([0.0, 1.0]), rules) is Liveness.LIVE
    for beyond in (below(0.0), above(1.0), nan):
        assert judge(np.array([1.0, beyond]), rules) is Liveness.NOT_EVALUATED
        assert judge(np.array([beyond, 1.0]), rules) is Liveness.NOT_EVALUATED
        assert judge(np.array([beyond, 1.0, 1.0]), rules) is Liveness.LIVE, "an older frame does not count"


@pytest.mark.parametrize("box", [Box(1, 1, 0, 10), Box(1, 1, 10, 0), Box(1, 1, -0.0, 10), Box(1, 1, 10, -1), Box(nan, 1, 10, 10)])
def test_a_box_without_width_or_height_has_no_surroundings(box: Box) -> None:
    for points in (None, np.ones((5, 2), np.float32)):
        with pytest.raises(ValueError, match="empty"):
            surroundings(np.zeros((50, 50, 3), np.uint8), Face(box, 1.0, points))


# ---- tracks


def goes_on(old: Box, new: Box, alike: float | None = None, same: float = 0.5) -> bool:
    """Whether a face in the second box is the one of the first."""
    tracker = Tracker(1.0, same)
    (first,) = tracker.update([old], 0.0)
    (second,) = tracker.update([new], 0.0, {} if alike is None else {(first.number, 0): alike})
    return first.number == second.number


def test_boxes_that_overlap_by_exactly_the_least_share_are_one_face() -> None:
    assert MIN_IOU == 20 / 100
    assert goes_on(Box(0, 0, 60, 60), Box(40, 0, 60, 60)), "a share of 0.2; by the distance alone they would be two"
    assert not goes_on(Box(0, 0, 60, 60), Box(40.01, 0, 60, 60))


def test_a_face_comes_back_from_less_than_exactly_three_widths_away() -> None:
    assert RETURN_SHIFT == 3.0
    assert goes_on(Box(0, 0, 80, 80), Box(239.99, 0, 80, 80), alike=1.0)
    assert not goes_on(Box(0, 0, 80, 80), Box(240, 0, 80, 80), alike=1.0)


def test_a_face_comes_back_if_it_is_exactly_alike_enough() -> None:
    old, new = Box(0, 0, 80, 80), Box(200, 0, 80, 80)
    assert goes_on(old, new, 0.5) and not goes_on(old, new, below(0.5)) and not goes_on(old, new, nan) and not goes_on(old, new, None)


@pytest.mark.parametrize(("width", "like"), [(60, False), (60.01, True), (166.99, True), (167, False)])
def test_boxes_of_exactly_the_least_and_the_largest_size_are_of_another_face(width: float, like: bool) -> None:
    # Their centres are near, and they do not overlap enough.
    assert goes_on(Box(0, 0, 100, 10), Box(50 - width / 2, 10, width, 10)) is like
    assert goes_on(Box(0, 0, 100, 10), Box(50 - width / 2, 90, width, 10), alike=1.0) is like, "nor does a face come back in such a size"


def test_boxes_without_a_width_are_no_face_that_goes_on() -> None:
    assert not goes_on(Box(0, 0, 0, 10), Box(0, 0, 10, 10), alike=1.0)
    assert not goes_on(Box(0, 0, 0, 10), Box(0, 0, 0, 10), alike=1.0)


def test_a_track_lasts_for_exactly_the_time_a_face_may_be_lost() -> None:
    for at_s, gone in ((5.0, 0), (6.0, 0), (above(6.0), 1), (below(5.0), 1), (nan, 1)):
        tracker = Tracker(1.0)
        tracker.update([Box(0, 0, 80, 80)], 5.0)
        assert len(tracker.expire(at_s)) == gone and len(tracker.tracks) == 1 - gone


def test_a_face_that_is_seen_twice_in_one_instant_keeps_its_speed() -> None:
    tracker = Tracker(1.0)
    tracker.update([Box(0, 0, 80, 80)], 0.0)
    (track,) = tracker.update([Box(10, 0, 80, 80)], 0.1)
    speed = track.speed
    (again,) = tracker.update([Box(20, 0, 80, 80)], 0.1)
    assert again is track and track.speed == speed and track.box.x == 20


def test_looks_decide_between_two_places_that_are_equally_near() -> None:
    tracker = Tracker(1.0, same=0.5)
    tracker.update([Box(100, 0, 80, 80)], 0.0)
    left, right = tracker.update([Box(90, 0, 80, 80), Box(110, 0, 80, 80)], 0.1, {(1, 0): 0.1, (1, 1): 0.2})
    assert (left.number, right.number) == (2, 1)
