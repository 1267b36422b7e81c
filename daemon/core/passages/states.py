"""The states of a passage, the events that move it, and the one table that says which event leads where.

A passage is judged by searches among all enrolled people, until it takes a claim; from then on by comparisons with the claimed person:

                 person      other       several    nobody   seen        claim     claim       person           ruling      face
                 found       found       found      found    twice       held      failed      forgotten        lost        left

LOOKING          RECOGNISED  TWO_PEOPLE  AMBIGUOUS  UNKNOWN  -           VERIFIED  MISMATCHED  =                =           LEFT
RECOGNISED       =           TWO_PEOPLE  -          UNKNOWN  TWO_PEOPLE  VERIFIED  MISMATCHED  FORGOTTEN        LOOKING     LEFT
FORGOTTEN        RECOGNISED  -           AMBIGUOUS  UNKNOWN  -           VERIFIED  MISMATCHED  -                LOOKING     LEFT
UNKNOWN          RECOGNISED  TWO_PEOPLE  AMBIGUOUS  =        -           VERIFIED  MISMATCHED  =                LOOKING     LEFT
AMBIGUOUS        RECOGNISED  TWO_PEOPLE  =          =        -           VERIFIED  MISMATCHED  =                LOOKING     LEFT
TWO_PEOPLE       -           -           -          -        -           -         =           =                =           LEFT
VERIFIED         -           -           -          -        -           =         MISMATCHED  CLAIM_FORGOTTEN  CLAIM_LOST  LEFT
CLAIM_FORGOTTEN  -           -           -          UNKNOWN  -           VERIFIED  MISMATCHED  -                CLAIM_LOST  LEFT
MISMATCHED       -           -           -          -        -           VERIFIED  =           =                CLAIM_LOST  LEFT
CLAIM_LOST       -           -           -          -        -           VERIFIED  MISMATCHED  =                =           LEFT
LEFT             -           -           -          -        -           -         -           -                -           -

`=`: the state does not change. `-`: this cannot happen, and raises. Only `person found` and `claim held` can lead to an accept, and only
if nothing forbids the person to pass. The ruling says whether they may pass; the state does not, because the gate goes on looking at both
alike. A claim that a passage took before it looked like two people has failed: nobody can tell which of them it belongs to.
"""

from enum import Enum


class TransitionError(RuntimeError):
    """An event that cannot happen in the state a passage is in: a defect of this program."""


class PassageState(Enum):
    """Where a passage stands, and so what is done with its next good frame."""

    LOOKING = "looking"
    """No answer yet: evidence is gathered, and once there is enough, it is looked at with every good frame."""
    RECOGNISED = "recognised"
    """A search found who this is. Looked at again now and then while the face stays, and kept while several people are near."""
    FORGOTTEN = "forgotten"
    """The answer names somebody who was revoked, suspended or given another face since then. The next look decides anew."""
    UNKNOWN = "unknown"
    """Nobody was near enough, or somebody recognised was lost. Looked at again a few times."""
    AMBIGUOUS = "ambiguous"
    """Several people were about equally near. Looked at again a few times."""
    TWO_PEOPLE = "two people"
    """Looked like two people, or like somebody who stood beside it: doubtful until the face has left, and not looked at any more."""
    VERIFIED = "verified"
    """A claim was compared: the face is the claimed person's. Compared again now and then."""
    CLAIM_FORGOTTEN = "claim forgotten"
    """As FORGOTTEN, after a claim."""
    MISMATCHED = "mismatched"
    """A claim was compared, and the face is not the claimed person's. Only another claim of the same person is compared."""
    CLAIM_LOST = "claim lost"
    """The answer to a claim could not be stored. Only another claim of the same person is compared."""
    LEFT = "left"
    """The face has left. Nothing can happen any more."""


class Event(Enum):
    """What moves a passage."""

    PERSON_FOUND = "person found"
    """A search found one person clearly, and the passage was nobody else's before."""
    OTHER_FOUND = "other found"
    """A search found one person clearly, and the passage was somebody else's before."""
    SEVERAL_FOUND = "several found"
    """Searches found people near enough, and none clearly."""
    NOBODY_FOUND = "nobody found"
    """Searches found nobody near enough."""
    SEEN_TWICE = "seen twice"
    """Another face in the same frame was accepted as the same person."""
    CLAIM_HELD = "claim held"
    """A comparison with the claimed person found that the face is theirs."""
    CLAIM_FAILED = "claim failed"
    """Comparisons with the claimed person did not find that the face is theirs, in the looks or in the time they had."""
    PERSON_FORGOTTEN = "person forgotten"
    """The person whose passage this is was revoked, suspended or given another face."""
    RULING_LOST = "ruling lost"
    """The answer could not be stored and was never published."""
    FACE_LEFT = "face left"
    """The face was not seen for a while, or another face took its place."""


S, E = PassageState, Event
# fmt: off
_ROWS: dict[PassageState, dict[Event, PassageState]] = {
    S.LOOKING: {
        E.PERSON_FOUND: S.RECOGNISED, E.OTHER_FOUND: S.TWO_PEOPLE, E.SEVERAL_FOUND: S.AMBIGUOUS, E.NOBODY_FOUND: S.UNKNOWN,
        E.CLAIM_HELD: S.VERIFIED, E.CLAIM_FAILED: S.MISMATCHED, E.PERSON_FORGOTTEN: S.LOOKING, E.RULING_LOST: S.LOOKING,
        E.FACE_LEFT: S.LEFT,
    },
    S.RECOGNISED: {
        E.PERSON_FOUND: S.RECOGNISED, E.OTHER_FOUND: S.TWO_PEOPLE, E.NOBODY_FOUND: S.UNKNOWN, E.SEEN_TWICE: S.TWO_PEOPLE,
        E.CLAIM_HELD: S.VERIFIED, E.CLAIM_FAILED: S.MISMATCHED, E.PERSON_FORGOTTEN: S.FORGOTTEN, E.RULING_LOST: S.LOOKING,
        E.FACE_LEFT: S.LEFT,
    },
    S.FORGOTTEN: {
        E.PERSON_FOUND: S.RECOGNISED, E.SEVERAL_FOUND: S.AMBIGUOUS, E.NOBODY_FOUND: S.UNKNOWN, E.CLAIM_HELD: S.VERIFIED,
        E.CLAIM_FAILED: S.MISMATCHED, E.RULING_LOST: S.LOOKING, E.FACE_LEFT: S.LEFT,
    },
    S.UNKNOWN: {
        E.PERSON_FOUND: S.RECOGNISED, E.OTHER_FOUND: S.TWO_PEOPLE, E.SEVERAL_FOUND: S.AMBIGUOUS, E.NOBODY_FOUND: S.UNKNOWN,
        E.CLAIM_HELD: S.VERIFIED, E.CLAIM_FAILED: S.MISMATCHED, E.PERSON_FORGOTTEN: S.UNKNOWN, E.RULING_LOST: S.LOOKING,
        E.FACE_LEFT: S.LEFT,
    },
    S.AMBIGUOUS: {
        E.PERSON_FOUND: S.RECOGNISED, E.OTHER_FOUND: S.TWO_PEOPLE, E.SEVERAL_FOUND: S.AMBIGUOUS, E.NOBODY_FOUND: S.AMBIGUOUS,
        E.CLAIM_HELD: S.VERIFIED, E.CLAIM_FAILED: S.MISMATCHED, E.PERSON_FORGOTTEN: S.AMBIGUOUS, E.RULING_LOST: S.LOOKING,
        E.FACE_LEFT: S.LEFT,
    },
    S.TWO_PEOPLE: {
        E.CLAIM_FAILED: S.TWO_PEOPLE, E.PERSON_FORGOTTEN: S.TWO_PEOPLE, E.RULING_LOST: S.TWO_PEOPLE, E.FACE_LEFT: S.LEFT,
    },
    S.VERIFIED: {
        E.CLAIM_HELD: S.VERIFIED, E.CLAIM_FAILED: S.MISMATCHED, E.PERSON_FORGOTTEN: S.CLAIM_FORGOTTEN,
        E.RULING_LOST: S.CLAIM_LOST, E.FACE_LEFT: S.LEFT,
    },
    S.CLAIM_FORGOTTEN: {
        E.NOBODY_FOUND: S.UNKNOWN, E.CLAIM_HELD: S.VERIFIED, E.CLAIM_FAILED: S.MISMATCHED, E.RULING_LOST: S.CLAIM_LOST,
        E.FACE_LEFT: S.LEFT,
    },
    S.MISMATCHED: {
        E.CLAIM_HELD: S.VERIFIED, E.CLAIM_FAILED: S.MISMATCHED, E.PERSON_FORGOTTEN: S.MISMATCHED, E.RULING_LOST: S.CLAIM_LOST,
        E.FACE_LEFT: S.LEFT,
    },
    S.CLAIM_LOST: {
        E.CLAIM_HELD: S.VERIFIED, E.CLAIM_FAILED: S.MISMATCHED, E.PERSON_FORGOTTEN: S.CLAIM_LOST, E.RULING_LOST: S.CLAIM_LOST,
        E.FACE_LEFT: S.LEFT,
    },
    S.LEFT: {},
}
# fmt: on

TRANSITIONS: dict[tuple[PassageState, Event], PassageState] = {
    (state, event): then for state, row in _ROWS.items() for event, then in row.items()
}
"""Which state follows. A pair that is not in it cannot happen."""


def after(state: PassageState, event: Event) -> PassageState:
    """The state that follows. Raises TransitionError where the event cannot happen."""
    then = TRANSITIONS.get((state, event))
    if then is None:
        raise TransitionError(f"a passage that is {state.value!r} cannot take the event {event.value!r}: correct the table or its caller")
    return then
