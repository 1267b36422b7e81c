"""The states of a passage: the table as it is drawn, what is not in it, and a story for every move that is."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from daemon.core.passages import passage, states
from daemon.core.passages.gatekeeper import Decision
from daemon.core.passages.ruling import Ruling
from daemon.core.passages.states import TRANSITIONS, Event, PassageState, TransitionError, after
from daemon.core.values import Quality, Reason, Vector, Verdict
from tests.fixtures.claim_stories import BOTH, OTHER_FACE, Gate
from tests.fixtures.passage_states import E, S, fits
from tests.fixtures.stories import ALICE, BETWEEN, BOB, STRANGER

COLUMNS = list(Event)


def drawn() -> dict[tuple[PassageState, Event], PassageState]:
    """The table in the module's docstring."""
    assert states.__doc__ is not None
    found = {}
    for line in states.__doc__.splitlines():
        name, *cells = line.split() or [""]
        if name in PassageState.__members__ and len(cells) == len(COLUMNS):
            for event, cell in zip(COLUMNS, cells, strict=True):
                if cell != "-":
                    found[PassageState[name], event] = PassageState[name if cell == "=" else cell]
    return found


# ---- the table


def test_the_table_in_the_docstring_is_the_table() -> None:
    assert drawn() == TRANSITIONS
    assert states.__doc__ is not None
    above, below = (line.split() for line in states.__doc__.splitlines()[4:6])
    assert [f"{a} {b}" for a, b in zip(above, below, strict=True)] == [event.value for event in COLUMNS]


@pytest.mark.parametrize("state", PassageState)
def test_every_event_is_in_the_table_or_raises(state: PassageState) -> None:
    for event in Event:
        if (state, event) in TRANSITIONS:
            assert after(state, event) is TRANSITIONS[state, event]
        else:
            with pytest.raises(TransitionError, match=f"{state.value}.*{event.value}"):
                after(state, event)


def test_nothing_happens_to_a_face_that_has_left_and_every_other_one_can_leave() -> None:
    assert not [event for event in Event if (S.LEFT, event) in TRANSITIONS]
    assert {state for state in PassageState if TRANSITIONS.get((state, E.FACE_LEFT)) is S.LEFT} == {*PassageState} - {S.LEFT}
    assert {event for (_, event), then in TRANSITIONS.items() if then is S.LEFT} == {E.FACE_LEFT}


def test_every_state_can_be_reached() -> None:
    reached = {S.LOOKING}
    for _ in PassageState:
        reached |= {then for (state, _), then in TRANSITIONS.items() if state in reached}
    assert reached == {*PassageState}


def test_there_is_one_way_to_be_recognised_and_one_to_be_verified() -> None:
    into = {(event, then) for (state, event), then in TRANSITIONS.items() if state is not then}
    assert [event for event, then in into if then is S.RECOGNISED] == [E.PERSON_FOUND]
    assert [event for event, then in into if then is S.VERIFIED] == [E.CLAIM_HELD]


def test_a_face_that_looked_like_two_people_stays_doubtful_until_it_has_left() -> None:
    assert {then for (state, _), then in TRANSITIONS.items() if state is S.TWO_PEOPLE} == {S.TWO_PEOPLE, S.LEFT}


def test_after_a_claim_nobody_is_searched_for_unless_they_are_forgotten() -> None:
    claimed = {S.VERIFIED, S.CLAIM_FORGOTTEN, S.MISMATCHED, S.CLAIM_LOST}
    out = {(state, event) for (state, event), then in TRANSITIONS.items() if state in claimed and then not in claimed | {S.LEFT}}
    assert out == {(S.CLAIM_FORGOTTEN, E.NOBODY_FOUND)}


# ---- states and rulings


# ---- a story for every move


Step = Callable[["Recorded"], object]

DRIFTS = replace(BOTH, same=-1.0, memory=0.02, recheck_s=0.2)
"""At this gate a track is never cut, and its evidence is nearly the last frame alone: it becomes another person's."""


def shows(face: Vector, times: int = 12) -> Step:
    return lambda story: story.sees(face, times=times)


def badge(story: Gate) -> None:
    story.badge("alice")


def forget(story: Gate) -> None:
    story.keeper.forget("alice")


def leaves(story: Gate) -> None:
    story.sees(None, times=6)


def retract(story: "Recorded") -> None:
    """The answer of the first passage could not be stored."""
    story.keeper.retract([decision for decision in story.told if decision.passage == 1][-1])


def hidden(face: Vector) -> Step:
    """Somebody else was in view a moment ago and may only be hidden, so the claim waits, and the face is searched for meanwhile."""

    def step(story: Gate) -> None:
        for _ in range(4):
            story.sees(None, OTHER_FACE)
            story.sees(face)

    return step


HALF = [badge, shows(STRANGER, 4)]
"""A claim that is taken and not settled."""

PATHS: dict[PassageState, list[Step]] = {
    S.LOOKING: [shows(ALICE, 2)],
    S.RECOGNISED: [shows(ALICE, 3)],
    S.FORGOTTEN: [shows(ALICE, 3), forget],
    S.UNKNOWN: [shows(STRANGER)],
    S.AMBIGUOUS: [shows(BETWEEN)],
    S.TWO_PEOPLE: [shows(ALICE, 3), shows(BOB)],
    S.VERIFIED: [badge, shows(ALICE, 3)],
    S.CLAIM_FORGOTTEN: [badge, shows(ALICE, 3), forget],
    S.MISMATCHED: [badge, shows(STRANGER)],
    S.CLAIM_LOST: [badge, shows(ALICE, 3), retract],
    S.LEFT: [shows(ALICE, 3), leaves],
}
"""How a passage comes to each state."""

CAUSES: dict[Event, list[Step]] = {
    E.PERSON_FOUND: [shows(ALICE)],
    E.OTHER_FOUND: [shows(BOB)],
    E.SEVERAL_FOUND: [shows(BETWEEN)],
    E.NOBODY_FOUND: [shows(STRANGER)],
    E.SEEN_TWICE: [],
    E.CLAIM_HELD: [badge, shows(ALICE)],
    E.CLAIM_FAILED: [badge, shows(STRANGER)],
    E.PERSON_FORGOTTEN: [forget],
    E.RULING_LOST: [retract],
    E.FACE_LEFT: [leaves],
}
"""What brings each event about."""

WHOSE_IT_WAS: dict[PassageState, list[Step]] = {
    S.LOOKING: [shows(ALICE, 3), retract],
    S.UNKNOWN: [shows(ALICE, 3), shows(STRANGER)],
    S.AMBIGUOUS: [shows(ALICE, 3), retract, shows(BETWEEN)],
    S.MISMATCHED: [badge, shows(ALICE, 3), shows(STRANGER)],
}
"""A passage also comes to these states after it was somebody's. Only then can it be found to be somebody else's, or be forgotten."""

STORIES: dict[tuple[PassageState, Event], list[Step]] = {
    (S.RECOGNISED, E.SEEN_TWICE): [lambda story: story.sees(ALICE, ALICE, times=3)],
    (S.VERIFIED, E.CLAIM_HELD): [*PATHS[S.VERIFIED], shows(ALICE)],
    (S.VERIFIED, E.CLAIM_FAILED): [*PATHS[S.VERIFIED], shows(STRANGER)],
    (S.CLAIM_FORGOTTEN, E.CLAIM_HELD): [*PATHS[S.CLAIM_FORGOTTEN], shows(ALICE)],
    # The claim was taken before the passage was somebody's, and waits while another face may be hidden.
    (S.TWO_PEOPLE, E.CLAIM_FAILED): [*HALF, hidden(ALICE), hidden(BOB), shows(ALICE)],
}


def story_of(state: PassageState, event: Event) -> list[Step]:
    if (state, event) in STORIES:
        return STORIES[state, event]
    past = WHOSE_IT_WAS if event in (E.OTHER_FOUND, E.PERSON_FORGOTTEN, E.RULING_LOST) else {}
    return [*past.get(state, PATHS[state]), *CAUSES[event]]


class Recorded(Gate):
    """A gate that keeps what it said."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.told: list[Decision] = []

    def sees(self, *faces: Vector | Quality | None, times: int = 1, places: Sequence[float] | None = None) -> list[Decision]:
        told = super().sees(*faces, times=times, places=places)
        self.told += told
        return told


@pytest.mark.parametrize(("state", "event"), sorted(TRANSITIONS, key=str), ids=lambda each: each.name)
def test_each_move_happens(state: PassageState, event: Event, monkeypatch: pytest.MonkeyPatch) -> None:
    moves = []

    def watched(now: PassageState, what: Event) -> PassageState:
        moves.append((now, what))
        return after(now, what)

    monkeypatch.setattr(passage, "after", watched)
    story = Recorded(DRIFTS)
    for step in story_of(state, event):
        step(story)
        for each in story.keeper.passages.values():
            assert fits(each), each
    assert (state, event) in moves


def test_a_passage_does_not_take_an_event_that_cannot_happen() -> None:
    story = Recorded(DRIFTS)
    story.sees(ALICE, times=3)
    gone = story.keeper.passages[1]
    story.sees(None, times=6)
    assert gone.state is S.LEFT and gone.ruling == Ruling(Verdict.ACCEPT, Reason.MATCHED, "alice")
    with pytest.raises(TransitionError, match="a passage that is 'left' cannot take the event 'face left'"):
        gone.leave(story.rules)
    assert gone.state is S.LEFT


def test_a_claim_that_was_taken_before_the_face_looked_like_two_people_opens_nothing() -> None:
    story = Recorded(DRIFTS)
    for step in (*HALF, hidden(ALICE), hidden(BOB)):
        step(story)
    assert story.keeper.passages[1].state is S.TWO_PEOPLE and story.keeper.claims.standing is not None
    told = story.sees(ALICE, times=12)
    assert [(d.verdict, d.reason, d.person) for d in told] == [(Verdict.REJECT, Reason.CLAIM_MISMATCH, "alice")]
    assert story.keeper.claims.standing is None
