"""Stories about passages: what the gate answers to what it saw."""

from dataclasses import dataclass, field
from math import nan

import numpy as np
import pytest

from daemon.core.boxes import Box
from daemon.core.decide import Decision, Gatekeeper, Rules
from daemon.core.values import Face, Match, Probe, Quality, Reason, View

RULES = Rules(threshold=0.5, margin=0.1, votes=3, window=5, patience=8)
CROP = np.zeros((112, 112, 3), np.uint8)

ALICE = Match("alice", 0.8, 0.2)
BOB = Match("bob", 0.8, 0.2)
STRANGER = Match("alice", 0.3, 0.1)
BETWEEN = Match("alice", 0.8, 0.75)


@dataclass
class Story:
    """One camera, 10 frames a second; each step is one frame with the matches of the faces in it, at fixed places."""

    rules: Rules = RULES
    forbidden: dict[str, Reason] = field(default_factory=dict)
    lost_s: float = 0.5

    def __post_init__(self) -> None:
        self.keeper = Gatekeeper("north", self.rules, self.lost_s)
        self.number = 0

    def sees(self, *faces: Match | Quality | None, times: int = 1) -> list[Decision]:
        """A Match is a good face, a Quality a poor one, None no face at that place."""
        told: list[Decision] = []
        for _ in range(times):
            at = self.number / 10
            probes, matches = [], []
            for place, face in enumerate(faces):
                if face is None:
                    continue
                quality = face if isinstance(face, Quality) else Quality.OK
                probes.append(Probe(Face(Box(50 + 200 * place, 100, 80, 80), 1.0), CROP, quality))
                matches.append(face if isinstance(face, Match) else None)
            view = View("north", self.number, at, 1000 + at, tuple(probes))
            told += self.keeper.observe(view, matches, lambda person, now: self.forbidden.get(person))
            self.number += 1
        return told


def said(decisions: list[Decision]) -> list[tuple[str, str, str | None]]:
    return [(d.verdict.value, d.reason.value, d.person) for d in decisions]


ACCEPT_ALICE = ("accept", "matched", "alice")
UNKNOWN = ("unknown", "no_match", None)
AMBIGUOUS = ("reject", "ambiguous", None)


def test_three_agreeing_frames_accept_and_nothing_more_is_said() -> None:
    story = Story()
    assert said(story.sees(ALICE, times=2)) == []
    (decision,) = story.sees(ALICE)
    assert said([decision]) == [ACCEPT_ALICE]
    assert (decision.number, decision.captured_at, decision.faces_in_view, decision.changes) == (2, 1000.2, 1, False)
    assert said(story.sees(ALICE, times=50)) == []
    assert said(story.sees(None, times=10)) == []


def test_a_stranger_is_unknown_once_patience_is_over() -> None:
    story = Story()
    assert said(story.sees(STRANGER, times=7)) == []
    assert said(story.sees(STRANGER, times=30)) == [UNKNOWN]


def test_a_face_that_leaves_early_is_still_answered_if_it_was_seen_well_enough() -> None:
    assert said([*(s := Story()).sees(STRANGER, times=3), *s.sees(None, times=10)]) == [UNKNOWN]
    assert said([*(s := Story()).sees(STRANGER, times=2), *s.sees(None, times=10)]) == []


def test_a_single_false_alarm_of_the_detector_is_no_passage() -> None:
    story = Story()
    assert said([*story.sees(ALICE), *story.sees(None, times=20)]) == []


def test_poor_frames_are_not_scored_and_a_face_never_scored_is_unscorable() -> None:
    story = Story()
    assert said(story.sees(Quality.BLURRED, times=30)) == []
    assert said(story.sees(None, times=10)) == [("unknown", "unscorable", None)]


def test_poor_frames_between_good_ones_do_no_harm() -> None:
    story = Story()
    story.sees(ALICE), story.sees(Quality.BLURRED, times=4), story.sees(ALICE), story.sees(Quality.TOO_DARK)
    assert said(story.sees(ALICE)) == [ACCEPT_ALICE]


def test_two_people_about_equally_near_are_ambiguous() -> None:
    assert said(Story().sees(BETWEEN, times=10)) == [AMBIGUOUS]


def test_votes_for_different_people_do_not_add_up() -> None:
    story = Story()
    told = [d for pair in range(20) for d in (*story.sees(ALICE), *story.sees(BOB), *story.sees(STRANGER), *story.sees(STRANGER))]
    assert all(d.verdict.value != "accept" for d in told)


@pytest.mark.parametrize("similarity", [nan, float("inf"), -float("inf"), 0.4999999, -1.0])
def test_doubt_never_opens(similarity: float) -> None:
    told = Story().sees(Match("alice", similarity, -1.0), times=40)
    assert said(told) == [UNKNOWN]


def test_a_rival_that_is_not_a_number_never_opens() -> None:
    assert all(d.verdict.value != "accept" for d in Story().sees(Match("alice", 0.9, nan), times=40))


@pytest.mark.parametrize("reason", [Reason.SUSPENDED, Reason.EXPIRED, Reason.NOT_YET_VALID, Reason.NOT_PERMITTED_HERE])
def test_somebody_who_may_not_pass_is_rejected_by_name(reason: Reason) -> None:
    assert said(Story(forbidden={"alice": reason}).sees(ALICE, times=10)) == [("reject", reason.value, "alice")]


def test_a_suspension_while_in_view_takes_the_accept_back() -> None:
    story = Story()
    assert said(story.sees(ALICE, times=5)) == [ACCEPT_ALICE]
    story.forbidden["alice"] = Reason.SUSPENDED
    story.keeper.forget("alice")
    (decision,) = story.sees(ALICE, times=10)
    assert said([decision]) == [("reject", "suspended", "alice")] and decision.changes


def test_after_a_revocation_not_one_frame_accepts_and_the_answer_becomes_unknown() -> None:
    story = Story()
    assert said(story.sees(ALICE, times=2)) == []
    story.keeper.forget("alice")  # her two votes go with her
    assert said(story.sees(STRANGER, times=20)) == [UNKNOWN]

    story = Story()
    assert said(story.sees(ALICE, times=5)) == [ACCEPT_ALICE]
    story.keeper.forget("alice")
    told = story.sees(STRANGER, times=10)
    assert said(told) == [UNKNOWN] and told[0].changes


def test_somebody_enrolled_while_in_view_is_accepted_on_the_next_frames() -> None:
    story = Story()
    assert said(story.sees(STRANGER, times=20)) == [UNKNOWN]
    (decision,) = story.sees(ALICE, times=5)
    assert said([decision]) == [ACCEPT_ALICE] and decision.changes and decision.number == 22


def test_one_poor_moment_does_not_take_an_accept_back() -> None:
    story = Story()
    story.sees(ALICE, times=5)
    assert said([*story.sees(STRANGER, times=4), *story.sees(ALICE, times=10)]) == []


def test_a_passage_that_was_one_persons_never_becomes_anothers() -> None:
    story = Story()
    assert said(story.sees(ALICE, times=5)) == [ACCEPT_ALICE]
    assert said(story.sees(BOB, times=50)) == [AMBIGUOUS]
    assert said(story.sees(ALICE, times=5)) == [ACCEPT_ALICE]
    story.sees(None, times=10)
    assert said(story.sees(BOB, times=5)) == [("accept", "matched", "bob")], "a new passage is a new chance"


def test_somebody_revoked_and_enrolled_under_another_id_while_in_view_is_accepted_again() -> None:
    story = Story()
    story.sees(ALICE, times=5)
    story.keeper.forget("alice")
    assert said(story.sees(BOB, times=5)) == [("accept", "matched", "bob")]


def test_a_face_that_looks_now_like_one_and_now_like_another_is_nobodys() -> None:
    story = Story()
    told = [d for _ in range(10) for d in (*story.sees(ALICE, times=4), *story.sees(BOB))]
    assert said(told) == [ACCEPT_ALICE, AMBIGUOUS]


def test_one_vote_for_somebody_else_delays_an_accept() -> None:
    story = Story()
    assert said(story.sees(BOB) + story.sees(ALICE)) == []
    assert said(story.sees(ALICE)) == [AMBIGUOUS]
    assert said(story.sees(ALICE, times=2)) == []
    assert said(story.sees(ALICE)) == [ACCEPT_ALICE]


def test_two_people_side_by_side_are_two_passages() -> None:
    told = Story().sees(ALICE, STRANGER, times=20)
    assert said(told) == [ACCEPT_ALICE, UNKNOWN]
    assert told[0].passage != told[1].passage and told[0].faces_in_view == 2


def test_who_leaves_and_comes_back_is_a_new_passage() -> None:
    story = Story()
    (first,) = story.sees(ALICE, times=5)
    story.sees(None, times=10)
    (second,) = story.sees(ALICE, times=5)
    assert first.passage != second.passage and not second.changes


def test_a_clock_that_jumps_back_ends_passages_and_opens_nothing() -> None:
    story = Story()
    story.sees(ALICE, times=2)
    story.number = -1000
    assert said(story.sees(ALICE, times=2)) == []


def test_a_closed_gate_says_nothing_at_all() -> None:
    closed = Rules(None, 0.1, 3, 5, 8)
    story = Story(rules=closed)
    assert said([*story.sees(ALICE, times=50), *story.sees(None, times=20), *story.keeper.finish()]) == []


def test_a_decision_that_could_not_be_stored_is_owed_again() -> None:
    story = Story()
    (lost,) = story.sees(ALICE, times=3)
    story.keeper.retract(lost)
    assert said(story.sees(ALICE, times=2)) == []
    assert said(story.sees(ALICE)) == [ACCEPT_ALICE]


def test_the_end_of_a_recording_ends_every_passage() -> None:
    story = Story()
    story.sees(STRANGER, times=4)
    assert said(story.keeper.finish()) == [UNKNOWN]
    assert story.keeper.finish() == []


def test_hundreds_of_faces_are_decided_one_by_one() -> None:
    told = Story().sees(*[STRANGER] * 199, ALICE, times=10)
    assert said(told).count(ACCEPT_ALICE) == 1 and len(told) == 200
