"""Stories about passages: what the gate answers to what it saw."""

from dataclasses import replace
from math import inf, nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.core.passages.gatekeeper import Decision
from daemon.core.values import Match, Quality, Reason, Vector
from tests.fixtures.stories import (
    ACCEPT_ALICE,
    ACCEPT_BOB,
    ALICE,
    AMBIGUOUS,
    BAD,
    BETWEEN,
    BOB,
    OTHER,
    RULES,
    STRANGER,
    TURNED,
    UNKNOWN,
    Story,
    face,
    said,
)

# ---- the first answer


def test_three_frames_accept_and_nothing_more_is_said() -> None:
    story = Story()
    assert said(story.sees(ALICE, times=2)) == []
    (decision,) = story.sees(ALICE)
    assert said([decision]) == [ACCEPT_ALICE]
    assert (decision.number, decision.captured_at, decision.faces_in_view, decision.changes) == (2, 1000.2, 1, False)
    assert said(story.sees(ALICE, times=50)) == []
    assert said(story.sees(None, times=10)) == []


def test_frames_in_quick_succession_wait_for_the_time() -> None:
    story = Story(rules=replace(RULES, min_s=0.55))
    assert [d.number for d in story.sees(ALICE, times=20)] == [6]


def test_a_stranger_is_unknown_once_patience_is_over() -> None:
    story = Story()
    assert said(story.sees(STRANGER, times=7)) == []
    assert said(story.sees(STRANGER, times=30)) == [UNKNOWN]


def test_a_face_that_is_not_near_enough_at_first_is_accepted_when_it_has_been_seen_better() -> None:
    story = Story()
    told = [*story.sees(TURNED, times=4), *story.sees(ALICE, times=2)]
    assert said(told) == [ACCEPT_ALICE]


def test_a_face_that_leaves_early_is_still_answered_if_it_was_seen_well_enough() -> None:
    assert said([*(s := Story()).sees(STRANGER, times=3), *s.sees(None, times=10)]) == [UNKNOWN]
    assert said([*(s := Story()).sees(BETWEEN, times=3), *s.sees(None, times=10)]) == [AMBIGUOUS]
    assert said([*(s := Story()).sees(STRANGER, times=2), *s.sees(None, times=10)]) == []


def test_a_single_false_alarm_of_the_detector_is_no_passage() -> None:
    story = Story()
    assert said([*story.sees(ALICE), *story.sees(None, times=20)]) == []


def test_poor_frames_are_not_scored_and_a_face_never_scored_is_unscorable() -> None:
    story = Story()
    assert said(story.sees(Quality.BLURRED, times=30)) == []
    assert said(story.sees(None, times=10)) == [("unknown", "unscorable", None)]
    assert story.searched == 0


def test_poor_frames_between_good_ones_do_no_harm() -> None:
    story = Story()
    story.sees(ALICE), story.sees(Quality.BLURRED, times=4), story.sees(ALICE), story.sees(Quality.TOO_DARK)
    assert said(story.sees(ALICE)) == [ACCEPT_ALICE]


def test_a_poor_frame_never_decides_whatever_was_seen_before() -> None:
    story = Story(rules=replace(RULES, min_s=0.35))
    story.sees(ALICE, times=3)
    assert said(story.sees(Quality.PROFILE, times=4)) == []
    assert said(story.sees(ALICE)) == [ACCEPT_ALICE]


def test_two_people_about_equally_near_are_ambiguous() -> None:
    assert said(Story().sees(BETWEEN, times=10)) == [AMBIGUOUS]


def test_one_person_enrolled_alone_has_no_rival() -> None:
    assert said(Story(gallery={"alice": ALICE}).sees(ALICE, times=4)) == [ACCEPT_ALICE]


def test_an_empty_gallery_knows_nobody() -> None:
    assert said(Story(gallery={}).sees(ALICE, times=40)) == [UNKNOWN]


def test_twins_in_the_gallery_are_nobodys() -> None:
    story = Story(gallery={"alice": ALICE, "twin": face(1, 0.05)})
    assert said(story.sees(ALICE, times=60)) == [AMBIGUOUS]


# ---- doubt


@pytest.mark.parametrize("similarity", [nan, inf, -inf, 0.4999999, -1.0])
def test_doubt_never_opens(similarity: float) -> None:
    story = Story()
    story.find = lambda vectors: [Match("alice", similarity, -1.0)] * len(vectors)  # type: ignore[method-assign]
    assert said(story.sees(ALICE, times=60)) == [UNKNOWN]


def test_a_rival_that_is_not_a_number_never_opens() -> None:
    story = Story()
    story.find = lambda vectors: [Match("alice", 0.9, nan)] * len(vectors)  # type: ignore[method-assign]
    assert all(d.verdict.value != "accept" for d in story.sees(ALICE, times=60))


@pytest.mark.parametrize("vector", [np.full(6, nan, np.float32), np.zeros(6, np.float32), ALICE * 2, np.full(6, inf, np.float32)])
def test_a_vector_that_is_none_is_no_evidence(vector: Vector) -> None:
    story = Story()
    assert said(story.sees(vector, times=40)) == []
    assert story.searched == 0
    assert said(story.sees(ALICE, times=2)) == [] and said(story.sees(ALICE)) == [ACCEPT_ALICE]


def test_a_closed_gate_says_nothing_at_all() -> None:
    story = Story(rules=replace(RULES, threshold=None))
    assert said([*story.sees(ALICE, times=50), *story.sees(None, times=20), *story.keeper.finish()]) == []
    assert story.searched == 0


def test_a_closed_gate_takes_no_evidence_for_later() -> None:
    story = Story(rules=replace(RULES, threshold=None))
    story.sees(ALICE, times=50)
    story.rules = story.keeper.rules = RULES
    assert said(story.sees(ALICE, times=2)) == []


# ---- further looks


def test_a_stranger_who_stays_is_looked_at_once_a_while_and_only_so_often() -> None:
    story = Story()
    story.sees(STRANGER, times=8)
    first = story.searched
    story.sees(STRANGER, times=10)
    assert story.searched == first + 2  # every half second at ten frames a second
    story.sees(STRANGER, times=200)
    assert story.searched == first + RULES.tries


def test_after_its_tries_a_face_stays_unknown_until_it_has_left() -> None:
    story = Story(rules=replace(RULES, same=-1.0))
    assert said(story.sees(STRANGER, times=60)) == [UNKNOWN]
    assert said(story.sees(ALICE, times=200)) == []
    story.sees(None, times=10)
    assert said(story.sees(ALICE, times=4)) == [ACCEPT_ALICE]


def test_a_recognised_person_is_looked_at_for_as_long_as_they_stay() -> None:
    story = Story()
    story.sees(ALICE, times=1000)
    assert story.searched == pytest.approx(200, abs=3)


def test_unknown_at_first_and_recognised_within_the_tries() -> None:
    story = Story()
    told = [*story.sees(TURNED, times=12), *story.sees(ALICE, times=12)]
    assert said(told) == [UNKNOWN, ACCEPT_ALICE] and told[1].changes


def test_one_poor_moment_does_not_take_an_accept_back() -> None:
    story = Story()
    story.sees(ALICE, times=5)
    assert said([*story.sees(TURNED, times=40), *story.sees(ALICE, times=20)]) == []


def test_an_answer_is_taken_back_when_the_face_has_drifted_away_for_good() -> None:
    story = Story(rules=replace(RULES, same=-1.0))
    assert said(story.sees(ALICE, times=5)) == [ACCEPT_ALICE]
    told = story.sees(STRANGER, times=60)
    assert said(told) == [UNKNOWN] and told[0].changes


# ---- who may pass


@pytest.mark.parametrize("reason", [Reason.SUSPENDED, Reason.EXPIRED, Reason.NOT_YET_VALID, Reason.NOT_PERMITTED_HERE])
def test_somebody_who_may_not_pass_is_rejected_by_name(reason: Reason) -> None:
    assert said(Story(forbidden={"alice": reason}).sees(ALICE, times=10)) == [("reject", reason.value, "alice")]


def test_a_suspension_while_in_view_takes_the_accept_back_with_the_next_frame() -> None:
    story = Story()
    assert said(story.sees(ALICE, times=4)) == [ACCEPT_ALICE]
    story.forbidden["alice"] = Reason.SUSPENDED
    story.keeper.forget("alice")
    (decision,) = story.sees(ALICE)
    assert said([decision]) == [("reject", "suspended", "alice")] and decision.changes


def test_a_permission_that_ends_while_in_view_is_noticed_within_a_recheck() -> None:
    story = Story()
    story.sees(ALICE, times=4)
    story.forbidden["alice"] = Reason.EXPIRED
    told = story.sees(ALICE, times=6)
    assert said(told) == [("reject", "expired", "alice")] and told[0].changes


def test_a_permission_that_ends_is_noticed_in_a_poor_moment_too_and_one_that_begins_is_not() -> None:
    story = Story()
    assert said([*story.sees(ALICE, times=4), *story.sees(TURNED, times=30)]) == [ACCEPT_ALICE]
    assert story.keeper.sightings[0].match is not None and story.keeper.sightings[0].match.similarity < 0.5
    story.forbidden["alice"] = Reason.EXPIRED
    assert said(story.sees(TURNED, times=6)) == [("reject", "expired", "alice")]
    del story.forbidden["alice"]
    assert said(story.sees(TURNED, times=30)) == [], "an accept needs the face"
    assert said(story.sees(ALICE, times=20)) == [ACCEPT_ALICE]


def test_after_a_revocation_not_one_frame_accepts_and_the_answer_becomes_unknown() -> None:
    story = Story()
    assert said(story.sees(ALICE, times=2)) == []
    del story.gallery["alice"]
    story.keeper.forget("alice")
    assert said(story.sees(ALICE, times=20)) == [UNKNOWN]

    story = Story()
    assert said(story.sees(ALICE, times=5)) == [ACCEPT_ALICE]
    del story.gallery["alice"]
    story.keeper.forget("alice")
    told = story.sees(ALICE)
    assert said(told) == [UNKNOWN] and told[0].changes
    assert said(story.sees(ALICE, times=100)) == []


def test_somebody_enrolled_while_in_view_is_accepted_with_the_next_frame() -> None:
    story = Story()
    assert said(story.sees(STRANGER, times=100)) == [UNKNOWN]
    story.gallery["carol"] = STRANGER
    story.keeper.refresh()
    (decision,) = story.sees(STRANGER)
    assert said([decision]) == [("accept", "matched", "carol")] and decision.changes


def test_somebody_revoked_and_enrolled_under_another_id_while_in_view_is_accepted_again() -> None:
    story = Story()
    story.sees(ALICE, times=5)
    story.gallery["alice-2"] = story.gallery.pop("alice")
    story.keeper.forget("alice")
    assert said(story.sees(ALICE)) == [("accept", "matched", "alice-2")]


# ---- one face is one person


def test_a_track_whose_face_changes_is_cut_and_the_new_face_is_a_new_passage() -> None:
    story = Story()
    (first,) = story.sees(ALICE, times=5)
    (second,) = story.sees(BOB, times=5)
    assert said([first, second]) == [ACCEPT_ALICE, ACCEPT_BOB]
    assert first.passage != second.passage and not second.changes


def test_a_stranger_who_steps_in_for_somebody_accepted_is_unknown_by_himself() -> None:
    story = Story()
    story.sees(ALICE, times=5)
    told = story.sees(STRANGER, times=20)
    assert said(told) == [UNKNOWN] and not told[0].changes


def test_a_cut_passage_says_what_it_still_owed() -> None:
    story = Story()
    assert said(story.sees(STRANGER, times=4)) == []
    assert said(story.sees(ALICE, times=4)) == [UNKNOWN, ACCEPT_ALICE]


def test_a_single_bad_frame_is_no_other_face_and_no_evidence() -> None:
    story = Story()
    assert said(story.sees(ALICE, times=2) + story.sees(BAD)) == []
    assert said(story.sees(ALICE)) == [ACCEPT_ALICE]
    assert said([d for _ in range(20) for d in (*story.sees(BAD), *story.sees(ALICE))]) == []


def test_frames_that_look_like_nobody_in_turn_are_not_another_face() -> None:
    story = Story()
    told = story.sees(ALICE, times=5)
    for _ in range(10):
        told += [*story.sees(BAD), *story.sees(STRANGER), *story.sees(OTHER)]
    assert said(told) == [ACCEPT_ALICE]


def test_a_passage_that_was_one_persons_never_becomes_anothers() -> None:
    story = Story(rules=replace(RULES, same=-1.0))  # where the card cannot say when a face is another, fused evidence drifts
    assert said(story.sees(ALICE, times=5)) == [ACCEPT_ALICE]
    assert said(story.sees(BOB, times=100)) == [AMBIGUOUS]
    assert said(story.sees(ALICE, times=100)) == []
    story.sees(None, times=10)
    assert said(story.sees(BOB, times=5)) == [ACCEPT_BOB], "a new passage is a new chance"


def test_a_face_that_looks_now_like_one_and_now_like_another_is_nobodys() -> None:
    story = Story(rules=replace(RULES, same=-1.0))
    told = [d for _ in range(10) for d in (*story.sees(ALICE, times=9), *story.sees(BOB, times=9))]
    assert said(told) == [ACCEPT_ALICE, AMBIGUOUS]


def test_two_people_side_by_side_are_two_passages() -> None:
    told = Story().sees(ALICE, STRANGER, times=20)
    assert said(told) == [ACCEPT_ALICE, UNKNOWN]
    assert told[0].passage != told[1].passage and told[0].faces_in_view == 2


def test_one_person_cannot_stand_in_two_places() -> None:
    story = Story()
    first, second = story.sees(ALICE, ALICE, times=20)  # a photograph in somebody's hand, or a twin
    assert said([first, second]) == [ACCEPT_ALICE, AMBIGUOUS] and first.passage != second.passage
    assert said(story.sees(None, ALICE, times=50)) == [], "also when the first has gone"
    story.sees(None, times=10)
    assert said(story.sees(ALICE, times=4)) == [ACCEPT_ALICE], "who leaves and comes back alone is a new passage"


def test_who_comes_while_somebody_accepted_has_gone_from_view_is_not_held_up_by_them() -> None:
    story = Story()
    assert said(story.sees(ALICE, times=4)) == [ACCEPT_ALICE]
    assert said(story.sees(None, ALICE, times=4, places=(50, 450))) == [ACCEPT_ALICE], "a track that jumped is one face in view"


def test_an_answer_says_how_many_faces_were_in_view_also_when_its_own_has_left() -> None:
    story = Story()
    story.sees(STRANGER, OTHER, times=4)
    told = story.sees(STRANGER, times=10)
    assert [(d.reason.value, d.number, d.faces_in_view) for d in told] == [("no_match", 7, 1), ("no_match", 3, 2)]


def test_two_people_who_cross_stay_themselves() -> None:
    story = Story()
    told = []
    for step in range(21):  # Alice walks to the right, Bob to the left, and half way they stand behind each other
        left, right = 100 + 15 * step, 400 - 15 * step
        told += story.sees(ALICE, BOB, places=(left, right))
    assert sorted(said(told)) == [ACCEPT_ALICE, ACCEPT_BOB] and len({d.passage for d in told}) == 2


def test_a_face_that_was_hidden_for_a_moment_goes_on_where_it_was() -> None:
    story = Story()
    story.sees(ALICE, times=4)
    story.sees(None, times=3)
    assert said(story.sees(ALICE, times=10, places=(210,))) == []  # two widths further on


def test_who_leaves_and_comes_back_is_a_new_passage() -> None:
    story = Story()
    (first,) = story.sees(ALICE, times=5)
    story.sees(None, times=10)
    (second,) = story.sees(ALICE, times=5)
    assert first.passage != second.passage and not second.changes


# ---- time, disk, numbers


def test_a_clock_that_jumps_back_ends_passages_and_opens_nothing() -> None:
    story = Story()
    story.sees(ALICE, times=2)
    story.number = -1000
    assert said(story.sees(ALICE, times=2)) == []


def test_a_camera_that_stands_still_gathers_no_time() -> None:
    story = Story()
    for _ in range(100):
        assert said(story.sees(ALICE)) == []
        story.number = 0


def test_a_decision_that_could_not_be_stored_is_owed_again() -> None:
    story = Story()
    (lost,) = story.sees(ALICE, times=3)
    story.keeper.retract(lost)
    assert said(story.sees(ALICE, times=2)) == []
    (again,) = story.sees(ALICE)
    assert said([again]) == [ACCEPT_ALICE] and again.passage == lost.passage and not again.changes
    assert said(story.sees(ALICE, times=20)) == []


def test_a_doubt_that_could_not_be_stored_is_a_doubt_all_the_same() -> None:
    story = Story()
    first, second = story.sees(ALICE, ALICE, times=3)
    assert said([first, second]) == [ACCEPT_ALICE, AMBIGUOUS]
    story.keeper.retract(second)
    assert said(story.sees(None, ALICE, times=50)) == [], "one of the two was let in, and the other has gone from view"

    story = Story(rules=replace(RULES, same=-1.0))
    assert said(story.sees(ALICE, times=5)) == [ACCEPT_ALICE]
    told: list[Decision] = []
    while not told:
        told = story.sees(BOB)
    assert said(told) == [AMBIGUOUS]
    story.keeper.retract(told[0])
    assert said(story.sees(BOB, times=100)) == [], "a passage that was one person's never becomes another's"


def test_who_steps_in_after_a_decision_that_could_not_be_stored_is_nobody_until_they_have_left() -> None:
    story = Story()
    (lost,) = story.sees(ALICE, times=3)
    story.keeper.retract(lost)
    assert said(story.sees(BOB, times=20)) == [AMBIGUOUS]
    story.sees(None, times=10)
    assert said(story.sees(BOB, times=3)) == [ACCEPT_BOB]


def test_the_end_of_a_recording_ends_every_passage() -> None:
    story = Story()
    story.sees(STRANGER, times=4)
    assert said(story.keeper.finish()) == [UNKNOWN]
    assert story.keeper.finish() == []


def test_hundreds_of_faces_are_decided_one_by_one() -> None:
    told = Story().sees(*[STRANGER] * 199, ALICE, times=10)
    assert said(told).count(ACCEPT_ALICE) == 1 and len(told) == 200


@given(st.lists(st.tuples(st.sampled_from(["alice", "bob", "stranger", "bad", "poor", "nobody"]), st.integers(1, 12)), max_size=25))
def test_whatever_is_seen_an_accept_is_of_somebody_whose_face_was_there_for_long_enough(script: list[tuple[str, int]]) -> None:
    shown: dict[str, Vector | Quality | None] = {
        "alice": ALICE, "bob": BOB, "stranger": STRANGER, "bad": BAD, "poor": Quality.BLURRED, "nobody": None,
    }  # fmt: skip
    story, recent, accepted = Story(), [], []
    for what, times in script:
        for _ in range(times):
            recent.append(what)
            for decision in story.sees(shown[what]):
                if decision.verdict.value == "accept":
                    assert what == decision.person, "the frame that opens shows the person"
                    assert recent.count(what) >= RULES.min_frames
                    accepted.append((decision.passage, decision.person))
    assert len({passage for passage, _ in accepted}) == len(set(accepted)), "one passage, one person"


def test_what_was_last_found_can_be_read_after_each_view() -> None:
    story = Story()
    story.sees(ALICE, Quality.BLURRED)
    first, second = story.keeper.sightings
    assert (first.quality, first.match, second.quality, second.match) == (Quality.OK, None, Quality.BLURRED, None)
    assert first.track != second.track and first.box.x == 50 and second.box.x == 250
    story.sees(ALICE, times=3)
    (only,) = story.keeper.sightings
    assert only.track == first.track and only.number == 3
    assert only.match is not None and only.match.person == "alice"
    story.sees()
    assert story.keeper.sightings == ()
