"""Whatever happens at a gate, against the plain truth of who stood there: no wrong accept, and nobody who is right stays locked out."""

from dataclasses import dataclass, replace

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from daemon.core.passages.gatekeeper import Decision
from daemon.core.values import Quality, Reason, Vector, Verdict
from tests.fixtures.passage_states import fits
from tests.fixtures.stories import ALICE, BAD, BOB, RULES, STRANGER, TURNED, Story, face

MODES = {"identify": RULES, "verify": replace(RULES, threshold=None, pair=0.35), "both": replace(RULES, pair=0.35)}
CLOSED = replace(RULES, threshold=None)
TWIN = face(1, 0, 0, 0.05)
SHOWN: dict[str, Vector | Quality | None] = {
    "alice": ALICE, "turned": TURNED, "bob": BOB, "twin": TWIN, "stranger": STRANGER, "bad": BAD, "nan": ALICE * float("nan"),
    "poor": Quality.BLURRED, "none": None,
}  # fmt: skip
ALIKE = {"alice", "anew", "twin"}
WHOSE = {"alice": ALIKE, "turned": ALIKE, "twin": ALIKE, "bob": {"bob"}}
"""Whom a face may be taken for: twins look so alike that only a badge, or one alone in the gallery, tells them apart. `anew` is Alice under
another id."""


@dataclass
class Claimed:
    """What the truth knows of the claim that stands."""

    person: str
    since_s: float
    until_s: float


class Truth:
    """A gate, and what has really happened before it."""

    def __init__(self, mode: str) -> None:
        self.mode, self.rules = mode, MODES[mode]
        self.story = Story(self.rules)
        self.claim: Claimed | None = None
        self.frames: list[tuple[str, ...]] = []
        self.accepted: dict[int, set[str]] = {}
        self.barred: set[str] = set()
        self.at_s = 0.0
        self.see(("none",))

    # ---- what may happen

    def see(self, faces: tuple[str, ...], store: bool = True) -> None:
        at_s = self.story.number / 10
        if not at_s >= self.at_s:
            self.claim = None
        self.at_s = at_s
        if self.claim is not None and at_s >= self.claim.since_s:
            visible = [each for each in faces if each != "none"]
            if at_s >= self.claim.until_s or len(visible) > 1 or self.story.keeper.rules.closed or self.story.keeper.rules.pair is None:
                self.claim = None
        self.frames.append(faces)
        for decision in self.story.sees(*(SHOWN[each] for each in faces)):
            self.check(decision, faces)
            if store:
                self.publish(decision)
            else:
                self.story.keeper.retract(decision)
        assert all(fits(passage) for passage in self.story.keeper.passages.values())

    def check(self, decision: Decision, faces: tuple[str, ...]) -> None:
        person = decision.person
        if decision.reason is Reason.CLAIM_MISMATCH:
            assert person is not None
            self.claim = None if self.claim is not None and self.claim.person == person else self.claim
        if decision.verdict is not Verdict.ACCEPT:
            return
        assert person is not None and person in self.story.gallery and person not in self.story.forbidden
        assert any(person in WHOSE.get(each, ()) for each in faces), "the frame that opens shows the person"
        seen = sum(any(person in WHOSE.get(each, ()) for each in frame) for frame in self.frames)
        assert seen >= self.rules.min_frames, "and it is not the first that does"
        assert not self.story.keeper.rules.closed
        if decision.reason is Reason.VERIFIED:
            assert self.claim is not None and self.claim.person == person and self.claim.since_s <= decision.at_s < self.claim.until_s
            assert len([each for each in faces if each != "none"]) == 1
            self.claim = None
        else:
            assert self.mode != "verify"
        event(f"{decision.reason.value} at a gate that does {self.mode}")

    def publish(self, decision: Decision) -> None:
        person = decision.person
        if decision.verdict is not Verdict.ACCEPT or person is None:
            return
        before = self.accepted.setdefault(decision.passage, set())
        assert before <= {person} | self.barred, "one passage, one person"
        before.add(person)

    def badge(self, person: str, tenths: int) -> None:
        since_s = self.story.number / 10 - 0.05
        self.story.keeper.claims.present(person, since_s, since_s + tenths / 10)
        self.claim = Claimed(person, since_s, since_s + tenths / 10)

    def bar(self, person: str) -> None:
        self.story.keeper.forget(person)
        self.barred.add(person)
        if self.claim is not None and self.claim.person == person:
            self.claim = None

    def revoke(self, person: str) -> None:
        self.story.gallery.pop(person, None)
        self.bar(person)
        self.story.keeper.refresh()

    def enrol(self, person: str) -> None:
        self.story.gallery[person] = {"alice": ALICE, "bob": BOB, "twin": TWIN, "anew": ALICE}[person]
        self.story.keeper.refresh()

    def suspend(self, person: str) -> None:
        self.story.forbidden[person] = Reason.SUSPENDED
        self.bar(person)

    def new_faces(self) -> None:
        self.frames = []

    def close(self, closed: bool) -> None:
        self.story.rules = self.story.keeper.rules = CLOSED if closed else self.rules

    def lose_camera(self) -> None:
        told = self.story.keeper.finish()
        assert not [each for each in told if each.verdict is Verdict.ACCEPT]
        self.claim = None
        self.new_faces()

    def change_model(self) -> None:
        self.story.keeper.begin_anew()
        self.claim = None
        self.new_faces()

    def jump(self, tenths: int) -> None:
        """Time goes on without a frame, or back: what was seen before is of another passage."""
        self.story.number += tenths
        if not 0 <= tenths / 10 < self.story.lost_s:
            self.new_faces()
        self.see(("none",))


LONGEST_TENTHS = 40
ANYBODY = st.sampled_from(["alice", "bob", "twin", "anew"])
FACES = st.one_of(
    st.tuples(st.sampled_from(sorted(SHOWN))),
    st.tuples(st.sampled_from(sorted(SHOWN)), st.sampled_from(sorted(SHOWN))),
)
STEPS = st.one_of(
    st.tuples(st.just("see"), FACES, st.integers(1, 12)),
    st.tuples(st.just("see"), st.tuples(st.sampled_from(["alice", "bob", "twin"])), st.integers(3, 12)),
    st.tuples(st.just("walks up with a badge"), ANYBODY, st.integers(3, 12)),
    st.tuples(st.just("disk fails"), FACES, st.integers(1, 6)),
    st.tuples(st.just("badge"), ANYBODY, st.integers(1, LONGEST_TENTHS)),
    st.tuples(st.sampled_from(["revoke", "enrol", "suspend", "permit", "refresh"]), ANYBODY, st.just(0)),
    st.tuples(st.just("suspended for a moment after the badge"), ANYBODY, st.integers(3, 12)),
    st.tuples(st.sampled_from(["closed", "open", "camera", "model"]), st.none(), st.just(0)),
    st.tuples(st.just("jump"), st.none(), st.integers(-60, 60)),
)


def play(truth: Truth, what: str, who: object, number: int) -> None:
    match what, who:
        case "see", tuple():
            for _ in range(number):
                truth.see(who)
        case "disk fails", tuple():
            for _ in range(number):
                truth.see(who, store=False)
        case "badge", str():
            truth.badge(who, number)
        case "walks up with a badge", str():
            for _ in range(6):
                truth.see(("none",))
            truth.badge(who, 20)
            for _ in range(number):
                truth.see(("alice" if who == "anew" else who,))
        case "revoke", str():
            truth.revoke(who)
        case "enrol", str():
            truth.enrol(who)
        case "suspend", str():
            truth.suspend(who)
        case "suspended for a moment after the badge", str():
            truth.badge(who, 20)
            truth.suspend(who)
            truth.story.forbidden.pop(who)
            for _ in range(number):
                truth.see(("alice" if who == "anew" else who,))
        case "permit", str():
            truth.story.forbidden.pop(who, None)
        case "refresh", _:
            truth.story.keeper.refresh()
        case "closed" | "open", _:
            truth.close(what == "closed")
        case "camera", _:
            truth.lose_camera()
        case "model", _:
            truth.change_model()
        case "jump", _:
            truth.jump(number)


@pytest.mark.parametrize("mode", sorted(MODES))
@given(script=st.lists(STEPS, max_size=30))
@settings(max_examples=200, deadline=None)
def test_whatever_happens_nobody_is_let_in_wrongly_and_nobody_is_locked_out_for_longer_than_they_stand_there(
    mode: str, script: list[tuple[str, object, int]]
) -> None:
    truth = Truth(mode)
    for what, who, number in script:
        play(truth, what, who, number)

    # Everybody leaves, badges lapse, all is well again, and Bob, who is enrolled and may pass, walks up alone, with his badge where it is
    # asked for.
    truth.close(False)
    truth.story.forbidden.clear()
    truth.enrol("bob")
    for _ in range(LONGEST_TENTHS + 1):
        truth.see(("none",))
    assert truth.story.keeper.claims.standing is None and not truth.story.keeper.passages
    if mode == "verify":
        truth.badge("bob", 30)
    told = truth.story.sees(BOB, times=truth.rules.min_frames)
    assert [(each.verdict.value, each.person) for each in told] == [("accept", "bob")]
