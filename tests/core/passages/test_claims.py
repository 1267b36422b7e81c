"""Stories about claims: somebody shows a badge, and then a face."""

from collections.abc import Callable
from dataclasses import replace
from math import inf, nan

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.core.passages.claims import LONGEST_S, Claim, seconds_left
from daemon.core.passages.gatekeeper import Decision
from daemon.core.passages.rules import Rules
from daemon.core.values import Quality, Reason, Vector
from tests.fixtures.claim_stories import BOTH, MISMATCH, OTHER_FACE, VERIFIED, VERIFY, Gate
from tests.fixtures.stories import ACCEPT_ALICE, ACCEPT_BOB, ALICE, BAD, BOB, RULES, STRANGER, TURNED, UNKNOWN, face, said

LIKE_BOB = face(0.5, 0.866)
"""Somebody whose template is Bob's, and who is 0.5 like Alice: enough for her badge, were it not clear whose face it is."""

AMBIGUOUS = ("reject", "ambiguous", None)


def gate(rules: Rules = VERIFY, **more: object) -> Gate:
    return Gate(rules, **more)  # type: ignore[arg-type]


# ---- a badge and a face


@pytest.mark.parametrize("rules", [VERIFY, BOTH], ids=["verify", "both"])
@pytest.mark.parametrize(
    ("badge", "shown", "answer", "end"),
    [
        ("alice", ALICE, VERIFIED, "verified"),
        ("alice", TURNED, VERIFIED, "verified"),  # 0.41: the threshold of claims is their own
        ("alice", BOB, MISMATCH, "mismatch"),
        ("alice", STRANGER, MISMATCH, "mismatch"),
        ("nobody", ALICE, ("reject", "claim_mismatch", "nobody"), "mismatch"),
    ],
)
def test_who_shows_a_badge_is_let_in_only_with_the_face_that_goes_with_it(
    rules: Rules, badge: str, shown: Vector, answer: tuple[str, str, str], end: str
) -> None:
    story = gate(rules)
    story.badge(badge)
    assert said(story.sees(shown, times=100)) == [answer]
    assert story.ends == [end] and not story.stands
    assert said(story.sees(None, times=10)) == []


def test_an_accept_comes_as_early_as_without_a_claim_and_a_mismatch_after_patience() -> None:
    story = gate()
    story.badge()
    (decision,) = story.sees(ALICE, times=5)
    assert (decision.number, decision.claimed, decision.changes) == (2, True, False)
    assert decision.similarity == pytest.approx(1.0)
    story = gate()
    story.badge()
    assert [d.number for d in story.sees(STRANGER, times=20)] == [RULES.patience - 1]


def test_without_a_badge_nobody_is_searched_for_at_a_gate_that_only_verifies() -> None:
    story = gate()
    assert said(story.sees(ALICE, times=100)) == [], "the badge may still come"
    assert said(story.sees(None, times=10)) == [UNKNOWN]
    assert story.searched == 0
    story.badge()
    story.sees(ALICE, times=100)
    assert story.searched == 0, "nor beside a claim"


def test_who_only_walks_by_a_gate_that_verifies_was_nobody_or_never_seen() -> None:
    assert said([*(s := gate()).sees(ALICE, times=2), *s.sees(None, times=10)]) == []
    assert said([*(s := gate()).sees(Quality.BLURRED, times=30), *s.sees(None, times=10)]) == [("unknown", "unscorable", None)]


def test_without_a_badge_a_gate_that_does_both_searches_among_all() -> None:
    assert said(gate(BOTH).sees(ALICE, times=5)) == [ACCEPT_ALICE]
    story = gate(BOTH)
    assert said(story.sees(TURNED, times=50)) == [UNKNOWN], "and the threshold of claims never serves there"
    story.badge()
    told = story.sees(TURNED, times=5)
    assert said(told) == [VERIFIED] and told[0].changes


def test_a_gate_that_identifies_takes_no_claims() -> None:
    story = gate(RULES)
    story.badge()
    assert said(story.sees(TURNED, times=20)) == [UNKNOWN]
    assert story.ends == ["gate_closed"]


def test_the_badge_may_be_shown_while_the_face_is_in_view() -> None:
    story = gate()
    story.sees(ALICE, times=40)
    story.badge()
    (decision,) = story.sees(ALICE)
    assert said([decision]) == [VERIFIED] and not decision.changes
    story = gate()
    story.sees(STRANGER, times=40)
    story.badge()
    assert [d.number for d in story.sees(STRANGER, times=40)] == [40 + RULES.patience - RULES.min_frames], "as many looks as anybody"


def test_poor_frames_and_frames_that_show_nobody_verify_nobody() -> None:
    story = gate()
    story.badge()
    assert said([*story.sees(ALICE, times=2), *story.sees(Quality.PROFILE, times=5), *story.sees(BAD)]) == []
    assert said(story.sees(ALICE)) == [VERIFIED]
    story = gate(replace(VERIFY, min_s=0.55))
    story.badge()
    assert [d.number for d in story.sees(ALICE, times=20)] == [6]


@pytest.mark.parametrize("similarity", [nan, inf, -inf, 0.3499, -1.0])
def test_doubt_never_verifies(similarity: float) -> None:
    story = gate()
    story.compare = lambda vector, person: similarity  # type: ignore[method-assign]
    story.badge()
    assert said(story.sees(ALICE, times=60)) == [MISMATCH]


@pytest.mark.parametrize("reason", [Reason.SUSPENDED, Reason.EXPIRED, Reason.NOT_PERMITTED_HERE, Reason.NOT_PERMITTED_NOW])
def test_who_may_not_pass_may_not_with_a_badge(reason: Reason) -> None:
    story = gate(forbidden={"alice": reason})
    story.badge()
    assert said(story.sees(ALICE, times=10)) == [("reject", reason.value, "alice")]
    assert story.ends == ["forbidden"]
    del story.forbidden["alice"]
    assert said(story.sees(ALICE, times=50)) == [], "what is allowed meanwhile wants a new badge"
    story.badge()
    assert said(story.sees(ALICE, times=5)) == [VERIFIED]


# ---- lookalikes


def test_who_is_clearly_somebody_else_is_not_whom_the_badge_names_where_the_gate_can_know_it() -> None:
    people = {"alice": ALICE, "bob": LIKE_BOB}
    story = gate(BOTH, gallery=people)
    story.badge()
    assert [(d.reason.value, d.number) for d in story.sees(LIKE_BOB, times=60)] == [("claim_mismatch", 2)], "and is not let in as Bob then"
    story = gate(VERIFY, gallery=people)
    story.badge()
    assert said(story.sees(LIKE_BOB, times=60)) == [VERIFIED], "a gate that searches for nobody cannot"


def test_who_is_clearly_somebody_else_does_not_get_in_by_showing_the_badge_again() -> None:
    story = gate(BOTH, gallery={"alice": ALICE, "bob": LIKE_BOB})
    for _ in range(3):
        story.badge()
        assert said(story.sees(LIKE_BOB, times=20)) == [MISMATCH]
    assert story.searched == 3, "once for each badge, and not again while they stay"


@pytest.mark.parametrize("badge", ["alice", "twin"])
def test_a_badge_tells_twins_apart_that_a_search_cannot(badge: str) -> None:
    story = gate(BOTH, gallery={"alice": ALICE, "twin": face(1, 0.05)})
    assert said(story.sees(ALICE, times=30)) == [AMBIGUOUS]
    story.badge(badge)
    assert said(story.sees(ALICE, times=30)) == [("accept", "verified", badge)]


def test_somebody_recognised_who_shows_the_own_badge_is_verified_too() -> None:
    story = gate(BOTH)
    assert said(story.sees(ALICE, times=5)) == [ACCEPT_ALICE]
    story.badge()
    told = story.sees(ALICE, times=50)
    assert said(told) == [VERIFIED] and told[0].changes and story.ends == ["verified"], "else it would stand for whoever comes next"


def test_somebody_recognised_leaves_another_ones_badge_to_who_comes_next() -> None:
    story = gate(BOTH)
    assert said(story.sees(BOB, times=5)) == [ACCEPT_BOB]
    story.badge("alice")
    assert said(story.sees(BOB, times=20)) == [] and story.stands
    assert said(story.sees(None, times=6)) == []
    assert said(story.sees(ALICE, times=5)) == [VERIFIED]


def test_a_face_that_may_be_two_peoples_takes_no_claim() -> None:
    story = gate(BOTH)
    assert said(story.sees(ALICE, ALICE, times=10)) == [ACCEPT_ALICE, AMBIGUOUS]
    story.sees(None, ALICE, times=10)
    story.badge()
    assert said(story.sees(None, ALICE, times=30)) == [] and story.stands


# ---- how a claim ends, and that it ends


def close(story: Gate) -> list[Decision]:
    story.keeper.rules = story.rules = replace(RULES, threshold=None)
    return story.sees(STRANGER)


@pytest.mark.parametrize("taken", [False, True], ids=["not taken", "while it is compared"])
@pytest.mark.parametrize(
    ("end", "what"),
    [
        ("several_faces", lambda story: story.sees(STRANGER, OTHER_FACE)),
        ("several_faces", lambda story: story.sees(STRANGER, Quality.TOO_SMALL)),
        ("barred", lambda story: story.keeper.forget("alice")),
        ("camera_lost", lambda story: story.keeper.finish()),
        ("model_changed", lambda story: story.keeper.begin_anew()),
        ("replaced", lambda story: story.badge("bob")),
        ("gate_closed", lambda story: close(story)),
    ],
)
def test_each_doubt_ends_a_claim_without_an_answer(end: str, what: Callable[[Gate], object], taken: bool) -> None:
    story = gate()
    story.badge()
    if taken:
        story.sees(STRANGER, times=4)
        assert story.keeper.claims.standing is not None and story.keeper.claims.standing.looks == 2
    told = what(story)
    assert story.ends == [end]
    assert not [d for d in told if d.verdict.value == "accept" or d.claimed] if isinstance(told, list) else True
    story.keeper.rules = story.rules = VERIFY
    story.sees(None, times=10)
    assert [s for s in said(story.sees(ALICE, times=30)) if s[2] == "alice"] == [], "nobody can take it any more"


def test_a_claim_that_nobody_takes_is_gone_after_its_seconds() -> None:
    story = gate()
    story.badge(seconds=1)
    assert said(story.sees(None, times=11)) == [] and story.ends == ["lapsed"]
    assert said(story.sees(ALICE, times=30)) == []


def test_the_last_instant_of_a_claim_is_not_one_of_it() -> None:
    assert [Claim("a", 1.0, 2.0).over(at) for at in (1.0, 1.999, 2.0, 3.0, nan)] == [False, False, True, True, True]
    for seconds, told in ((0.3, [VERIFIED]), (0.2, [])):
        story = gate()
        story.badge(seconds=seconds)  # from -0.05 s on; the third frame is of 0.2 s
        assert said(story.sees(ALICE, times=20)) == told


def test_who_was_compared_in_vain_when_the_time_is_up_does_not_go_with_the_badge() -> None:
    story = gate()
    story.badge(seconds=0.5)
    told = story.sees(STRANGER, times=60)
    assert [(d.reason.value, d.number) for d in told] == [("claim_mismatch", 4)] and story.ends == ["mismatch"]


def test_the_answer_to_a_claim_whose_time_is_up_says_whether_it_replaces_another() -> None:
    story = gate(BOTH)
    story.badge(seconds=0.5)
    assert [(d.reason.value, d.changes) for d in story.sees(STRANGER, times=20)] == [("claim_mismatch", False)]
    story = gate(BOTH)
    assert said(story.sees(STRANGER, times=20)) == [UNKNOWN]
    story.badge(seconds=0.3)
    assert [(d.reason.value, d.changes) for d in story.sees(STRANGER, times=20)] == [("claim_mismatch", True)]


def test_who_was_compared_in_vain_and_leaves_does_not_go_with_the_badge() -> None:
    story = gate(BOTH)
    assert said(story.sees(STRANGER, times=20)) == [UNKNOWN]
    story.badge()
    assert said(story.sees(STRANGER, times=2)) == []
    told = story.sees(None, times=10)
    assert said(told) == [MISMATCH] and told[0].changes and story.ends == ["mismatch"]


def test_who_leaves_while_the_gate_is_closed_is_told_nothing_of_the_badge() -> None:
    story = gate()
    story.badge()
    story.sees(STRANGER, times=4)
    story.keeper.rules = story.rules = replace(RULES, threshold=None)
    story.number += 10  # no frame between the two
    assert said(story.sees(None)) == [] and story.ends == ["gate_closed"]


def test_a_face_that_turns_into_another_ones_takes_the_claim_with_it() -> None:
    story = gate()
    story.badge()
    told = [*story.sees(STRANGER, times=4), *story.sees(ALICE, times=20)]
    assert said(told) == [MISMATCH]
    story.badge()
    assert said(story.sees(ALICE, times=3)) == [VERIFIED]


def test_what_becomes_of_others_does_not_end_a_claim() -> None:
    story = gate()
    story.badge()
    story.keeper.forget("bob")
    story.keeper.refresh()
    assert said(story.sees(ALICE, times=5)) == [VERIFIED]


def test_a_newer_badge_takes_the_place_of_an_older_one() -> None:
    story = gate()
    story.badge("bob")
    story.badge("alice")
    assert said(story.sees(ALICE, times=20)) == [VERIFIED] and story.ends == ["replaced", "verified"]


def test_what_was_seen_before_the_badge_does_not_end_it() -> None:
    story = gate()
    story.keeper.claims.present("alice", 0.25, 10.0)
    assert said(story.sees(STRANGER, OTHER_FACE, times=2)) == [] and story.stands
    assert said(story.sees(ALICE, times=1)) == [] and story.stands


def test_a_face_that_was_there_a_moment_ago_may_only_be_hidden() -> None:
    story = gate()
    story.sees(ALICE, STRANGER, times=5)
    story.badge()
    assert said(story.sees(ALICE, times=5)) == [] and story.stands
    assert said(story.sees(ALICE, times=3)) == [UNKNOWN, VERIFIED], "half a second later nobody else is there"
    story = gate()
    story.sees(ALICE, STRANGER, times=5)
    story.badge()
    assert said([*story.sees(ALICE, times=3), *story.sees(ALICE, STRANGER), *story.sees(ALICE, times=20)]) == [UNKNOWN]
    assert story.ends == ["several_faces"]


def test_who_comes_while_a_face_is_being_compared_is_not_compared_in_its_place() -> None:
    story = gate()
    story.badge()
    told = [*story.sees(STRANGER, times=4), *story.sees(None, ALICE, times=20)]
    assert said(told) == [MISMATCH] and told[0].passage == 1


# ---- after the answer


def test_one_badge_is_one_accept_also_for_who_stays_or_comes_back() -> None:
    story = gate()
    story.badge()
    assert said(story.sees(ALICE, times=300)) == [VERIFIED]
    story.sees(None, times=10)
    assert said([*story.sees(ALICE, times=50), *story.sees(None, times=10)]) == [UNKNOWN]


def test_another_badge_is_another_accept() -> None:
    story = gate()
    for _ in range(3):
        story.badge()
        assert said(story.sees(ALICE, times=20)) == [VERIFIED]


def test_a_face_that_did_not_match_may_show_that_badge_again_and_no_other() -> None:
    story = gate()
    story.badge()
    assert said(story.sees(STRANGER, times=20)) == [MISMATCH]
    story.badge()
    assert said(story.sees(STRANGER, times=20)) == [MISMATCH], "every claim is answered"
    story.badge("bob")
    assert said(story.sees(STRANGER, times=20)) == [] and story.stands
    story.sees(None, times=6)
    assert said(story.sees(BOB, times=3)) == [("accept", "verified", "bob")]


def test_a_mismatch_is_the_last_word_on_a_face_whoever_it_is() -> None:
    story = gate(BOTH)
    story.badge("alice")
    assert said(story.sees(BOB, times=200)) == [MISMATCH]
    story.sees(None, times=10)
    assert said(story.sees(BOB, times=5)) == [ACCEPT_BOB], "without the badge"


def test_a_permission_that_ends_while_in_view_takes_the_accept_back_and_one_that_begins_gives_none() -> None:
    story = gate()
    story.badge()
    assert said(story.sees(ALICE, times=5)) == [VERIFIED]
    story.forbidden["alice"] = Reason.NOT_PERMITTED_NOW
    told = story.sees(ALICE, times=10)
    assert said(told) == [("reject", "not_permitted_now", "alice")] and told[0].changes
    del story.forbidden["alice"]
    assert said(story.sees(ALICE, times=100)) == []


def test_a_suspension_takes_the_accept_back_with_the_next_frame_and_a_revocation_says_nothing_of_them() -> None:
    story = gate()
    story.badge()
    story.sees(ALICE, times=5)
    story.forbidden["alice"] = Reason.SUSPENDED
    story.keeper.forget("alice")
    assert said(story.sees(ALICE)) == [("reject", "suspended", "alice")]
    del story.gallery["alice"]
    story.keeper.forget("alice")
    assert said(story.sees(ALICE)) == [UNKNOWN]
    assert said(story.sees(ALICE, times=50)) == []


def test_who_is_revoked_and_enrolled_anew_while_in_view_is_somebody_else_and_bound_by_no_claim() -> None:
    story = gate(BOTH)
    story.badge()
    assert said(story.sees(ALICE, times=5)) == [VERIFIED]
    story.gallery["alice-2"] = story.gallery.pop("alice")
    story.keeper.forget("alice")
    assert said(story.sees(ALICE, times=10)) == [UNKNOWN, ("accept", "matched", "alice-2")]


def test_with_another_face_on_the_record_the_accept_is_not_held_by_what_is_left_of_the_likeness() -> None:
    story = gate()
    story.badge()
    story.sees(ALICE, times=5)
    story.gallery["alice"] = face(0.3, 0, 0, 0, 1)  # 0.29: enough for a poor moment of somebody who is known
    story.keeper.forget("alice")
    assert said(story.sees(ALICE)) == [UNKNOWN]


def test_one_poor_moment_does_not_take_an_accept_back_and_a_face_that_drifted_away_for_good_does() -> None:
    story = gate(replace(VERIFY, same=-1.0))
    story.badge()
    assert said(story.sees(ALICE, times=5)) == [VERIFIED]
    assert said([*story.sees(face(0.3, 0, 0, 0, 1), times=40), *story.sees(ALICE, times=20)]) == [], "0.29 is near enough for who is known"
    assert said(story.sees(STRANGER, times=60)) == [MISMATCH]
    assert said(story.sees(ALICE, times=60)) == [], "and that is that"


def test_after_a_change_of_model_an_accept_is_looked_at_with_the_new_one() -> None:
    story = gate()
    story.badge()
    assert said(story.sees(ALICE, times=5)) == [VERIFIED]
    story.keeper.begin_anew()
    story.gallery["alice"] = OTHER_FACE
    assert said(story.sees(OTHER_FACE, times=50)) == []
    story.keeper.begin_anew()
    story.gallery["alice"] = STRANGER
    assert said(story.sees(OTHER_FACE, times=50)) == [MISMATCH]


def test_what_could_not_be_stored_is_not_owed_again() -> None:
    story = gate()
    story.badge()
    (lost,) = story.sees(ALICE, times=3)
    story.keeper.retract(lost)
    assert said(story.sees(ALICE, times=50)) == [], "doubt: the badge is shown again"
    story.badge()
    assert said(story.sees(ALICE)) == [VERIFIED]


def test_a_mismatch_that_could_not_be_stored_is_the_last_word_all_the_same() -> None:
    story = gate(BOTH)
    story.badge("alice")
    (lost,) = story.sees(BOB, times=3)
    assert said([lost]) == [MISMATCH]
    story.keeper.retract(lost)
    assert said(story.sees(BOB, times=100)) == []
    story.sees(None, times=10)
    assert said(story.sees(BOB, times=5)) == [ACCEPT_BOB]


def test_a_claim_ends_where_time_steps_back() -> None:
    story = gate()
    story.sees(None, times=20)
    story.badge(seconds=60)
    story.number = 5
    assert said(story.sees(ALICE, times=40)) == [] and story.ends == ["camera_lost"], "else it would stand until then, and a minute more"


def test_a_gate_that_can_no_longer_verify_says_nothing_more_of_who_was() -> None:
    story = gate(BOTH)
    story.badge()
    assert said(story.sees(ALICE, times=5)) == [VERIFIED]
    story.keeper.rules = RULES
    assert said(story.sees(ALICE, times=50)) == []


# ---- numbers


@pytest.mark.parametrize(
    ("seconds", "age_s", "left"),
    [
        (10.0, 0.0, 10.0),
        (10.0, 4.0, 6.0),  # long under way
        (10.0, 10.0, 0.0),
        (10.0, 1e6, 0.0),
        (10.0, -30.0, 10.0),  # the sender's clock is ahead
        (1e9, 0.0, LONGEST_S),
        (1e9, 59.0, 1.0),
        (nan, 0.0, 0.0),
        (10.0, nan, 10.0),
    ],
)
def test_a_claims_time_runs_from_the_earlier_of_what_it_says_and_when_it_came(seconds: float, age_s: float, left: float) -> None:
    assert seconds_left(seconds, 1e9 - age_s, 1e9) == left


FACES: dict[str, Vector | Quality | None] = {"alice": ALICE, "bob": BOB, "stranger": STRANGER, "poor": Quality.BLURRED, "nobody": None}
STEPS = st.one_of(
    st.tuples(st.just("sees"), st.sampled_from(sorted(FACES)), st.integers(1, 9)),
    st.tuples(st.just("sees both"), st.sampled_from(["stranger", "poor", "alice"]), st.integers(1, 2)),
    st.tuples(st.just("badge"), st.sampled_from(["alice", "bob"]), st.integers(1, 30)),
    st.tuples(st.just("forget"), st.sampled_from(["alice", "bob"]), st.just(0)),
    st.tuples(st.sampled_from(["camera", "model", "permit"]), st.sampled_from(["alice", "bob"]), st.just(0)),
)


@given(rules=st.sampled_from([VERIFY, BOTH]), script=st.lists(STEPS, max_size=30))
@settings(max_examples=300, deadline=None)
def test_whatever_happens_nobody_is_verified_without_a_claim_of_exactly_them_and_none_accepts_twice(
    rules: Rules, script: list[tuple[str, str, int]]
) -> None:
    story = gate(rules)
    open_: list[tuple[str, float]] = []  # at most one claim: whose, and until when
    recent: list[str] = []
    for what, who, number in script:
        if what == "badge":
            story.badge(who, number / 10)
            open_ = [(who, story.number / 10 - 0.05 + number / 10)]
        elif what == "forget":
            story.keeper.forget(who)
            open_ = [claim for claim in open_ if claim[0] != who]
        elif what == "camera":
            assert not [d for d in story.keeper.finish() if d.verdict.value == "accept"]
            open_, recent = [], []
        elif what == "model":
            story.keeper.begin_anew()
            open_, recent = [], []
        elif what == "permit":
            story.forbidden = {} if story.forbidden else {who: Reason.EXPIRED}
        else:
            for _ in range(number):
                at_s = story.number / 10
                told = story.sees(FACES[who]) if what == "sees" else story.sees(ALICE, FACES[who])
                recent.append(who if what == "sees" else "both")
                if what == "sees both":
                    open_ = []
                for decision in told:
                    if decision.reason is Reason.VERIFIED:
                        assert open_ and open_[0][0] == decision.person == who and at_s < open_[0][1]
                        assert recent.count(who) + recent.count("both") >= RULES.min_frames and decision.person not in story.forbidden
                        open_ = []
                    elif decision.reason is Reason.CLAIM_MISMATCH:
                        open_ = []


# ---- who was not looked for


@pytest.mark.parametrize("rules", [VERIFY, BOTH], ids=["verify", "both"])
def test_a_claim_waits_for_a_frame_in_which_newcomers_were_looked_for(rules: Rules) -> None:
    """Somebody may have come in a frame in which only the known face was looked for; the next one shows them, and ends the claim."""
    for comes in (False, True):
        story = gate(rules)
        story.badge()
        story.thorough = False
        assert story.sees(ALICE, times=20) == [] and story.stands
        story.thorough = True
        told = said(story.sees(ALICE, *[OTHER_FACE] * comes))
        assert (VERIFIED in told, story.ends) == ((False, ["several_faces"]) if comes else (True, ["verified"]))


def test_without_a_claim_no_frame_waits() -> None:
    assert said(gate(BOTH, thorough=False).sees(ALICE, times=5)) == [ACCEPT_ALICE]
