"""One passage: the life of one face before a gate, from the first frame that shows it until it has left.

It begins LOOKING. Every good frame is fused into its evidence (`evidence.py`). With `min_frames` of them over `min_s` the gate looks: it
searches for the fused vector among all enrolled people, and `weigh` takes what was found; or, if the passage has taken a claim, it compares
the vector with the claimed person, and `verify` takes that. Until there is an answer it looks with every good frame; after `patience` good
frames the answer is given, whatever it is.

After the answer it looks once every `recheck_s` for as long as somebody recognised stays, and `tries` times while nobody is recognised,
because every look gives a stranger another chance. An answer is given again only if it changes. A passage that was one person's never
becomes another's: one face is one person, and it is doubtful which of the two it is.

What was said is the `ruling`. What happens next is the `state`, and `states.py` has the table of all moves between states.
"""

from dataclasses import dataclass, field, replace
from math import inf, isfinite

from daemon.core.passages.claims import Claim
from daemon.core.passages.evidence import Evidence
from daemon.core.passages.liveness import Votes
from daemon.core.passages.portrait import Best
from daemon.core.passages.rules import DOUBTS, HOLD, Rules, clear, near
from daemon.core.passages.ruling import AMBIGUOUS, NO_MATCH, UNSCORABLE, Permit, Ruling, mismatch, permitted
from daemon.core.passages.states import Event, PassageState, after
from daemon.core.passages.steadiness import Shown
from daemon.core.values import Image, Match, Reason, Sighting, Verdict


@dataclass(slots=True)
class Passage:
    """What one face has shown, and what was said about it.

    `named` is the person it was recognised as, also after the answer was taken back; None again once that person is forgotten. `claimed` is
    the person whose claim was answered: since then the passage is compared with nobody else. `last` is the frame that showed the face last,
    with the match of the last look, and `faces` the number of faces in it. `seen` counts its frames, good or poor. `aside_shows` is what
    the liveness model would be shown of `evidence.aside`, and `shown` what the last embedded frame showed, if it was evidence. `best`
    is the picture for a desk, where the gate shares unknown faces.
    """

    evidence: Evidence
    state: PassageState = PassageState.LOOKING
    ruling: Ruling | None = None
    named: str | None = None
    claimed: str | None = None
    seen: int = 0
    faces: int = 0
    last: Sighting | None = None
    looked_s: float = -inf
    tries: int = 0
    doubts: int = 0
    votes: Votes = field(default_factory=Votes)
    aside_shows: Image | None = None
    shown: Shown | None = None
    best: Best = field(default_factory=Best)

    # ---- when to look

    def enough(self, at_s: float, rules: Rules) -> bool:
        """Whether the face has been seen well enough for an answer."""
        return self.evidence.good >= rules.min_frames and at_s - self.evidence.since_s >= rules.min_s

    def due(self, at_s: float, rules: Rules) -> bool:
        """Whether to look at the evidence now: to search, or, after a claim was answered, to compare with the claimed person again."""
        if not self.enough(at_s, rules):
            return False
        searches, waited = rules.threshold is not None, at_s - self.looked_s >= rules.recheck_s
        match self.state:
            case PassageState.LOOKING:
                return searches
            case PassageState.RECOGNISED | PassageState.FORGOTTEN:
                return searches and waited
            case PassageState.UNKNOWN | PassageState.AMBIGUOUS:
                return searches and waited and self.tries < rules.tries
            case PassageState.VERIFIED | PassageState.CLAIM_FORGOTTEN:
                return rules.pair is not None and waited
            case _:
                return False

    def counts(self, at_s: float, rules: Rules) -> bool:
        """Whether every good frame counts now, so that none may go without a vector: there is no answer yet, a better one may come, the
        answer is in doubt, or a look is due. Frames without a vector are no evidence, and decide nothing."""
        match self.state:
            case PassageState.UNKNOWN | PassageState.AMBIGUOUS:
                unsettled = rules.threshold is not None and self.tries < rules.tries
            case PassageState.RECOGNISED | PassageState.VERIFIED:
                unsettled = self.doubts > 0
            case _:
                unsettled = False
        return unsettled or not self.enough(at_s, rules) or self.due(at_s, rules)

    def open_to(self, person: str) -> bool:
        """Whether the passage may take a claim of `person`.

        People usually show the badge while the gate sees their face, so an answer (unknown, ambiguous, the same person's) does not matter.
        But one face is one person: a passage that was recognised as somebody else, has taken somebody else's claim, or looked like two
        people, leaves the claim to whoever comes next.
        """
        return self.state is not PassageState.TWO_PEOPLE and self.named in (None, person) and self.claimed in (None, person)

    # ---- looks: a search among all

    def weigh(self, sighting: Sighting, match: Match, rules: Rules, permit: Permit) -> Ruling | None:
        """Take what a search found. Returns the answer if it is a new one."""
        is_near = near(match, rules)
        if self.state in (PassageState.UNKNOWN, PassageState.AMBIGUOUS):
            self.tries += 1
        if is_near and clear(match, rules):
            return self._found(str(match.person), permit, sighting.captured_at)
        if self.state is PassageState.RECOGNISED and self._stays(match, rules):
            self.doubts = 0
            return self._forbidden(Reason.MATCHED, permit, sighting.captured_at)
        if self.state in (PassageState.RECOGNISED, PassageState.FORGOTTEN):
            self.doubts += 1
            if self.doubts < DOUBTS:
                return None
        elif self.state is PassageState.LOOKING and self.evidence.good < rules.patience:
            return None  # the next frames may show the face better
        self._move(Event.SEVERAL_FOUND if is_near else Event.NOBODY_FOUND)
        return self._say(AMBIGUOUS if self.state is PassageState.AMBIGUOUS else NO_MATCH)

    def _found(self, person: str, permit: Permit, now: float) -> Ruling | None:
        """One person is near enough, and clearly nearer than everybody else."""
        self.doubts = 0
        if self.named not in (None, person):
            self._move(Event.OTHER_FOUND)
            return self._say(AMBIGUOUS)
        self.named = person
        self._move(Event.PERSON_FOUND)
        return self._say(permitted(person, Reason.MATCHED, permit, now))

    def _stays(self, match: Match, rules: Rules) -> bool:
        """Whether somebody who was recognised counts as still there: two people about equally near may be a bad moment, and so may a
        similarity a little below the threshold."""
        if near(match, rules):
            return True
        return match.person == self.named and (
            rules.threshold is not None and match.similarity >= rules.threshold - HOLD and rules.apart(match, HOLD)
        )

    def seen_twice(self) -> Ruling:
        """Another face in the same frame was accepted as the same person. Which of the two it is stays doubtful until this one has left."""
        self._move(Event.SEEN_TWICE)
        self.ruling = AMBIGUOUS
        return self.ruling

    # ---- looks: a comparison with the claimed person

    def verify(self, claim: Claim, match: Match, nearest: Match, rules: Rules, permit: Permit, now: float) -> Ruling | None:
        """Take what a comparison with the claimed person found (`match`), and a search among all (`nearest`). Returns the answer once the
        claim is settled: every claim that was compared is answered, whatever was said before."""
        if self.state is PassageState.TWO_PEOPLE:
            return self.mismatched(claim.person)  # it took the claim before; now nobody can tell which of the two claims
        recognised = nearest.person if near(nearest, rules) and clear(nearest, rules) else None
        similarity = match.similarity if rules.apart(match, claimed=True) else -1.0
        same = claim.compared(similarity, recognised, rules.pair, rules.claim_looks)
        if same is None:
            return None
        if not same:
            return self.mismatched(claim.person)
        self.claimed = self.named = claim.person
        self.doubts = 0
        self._move(Event.CLAIM_HELD)
        self.ruling = permitted(claim.person, Reason.VERIFIED, permit, now)
        return self.ruling

    def recheck(self, person: str, match: Match, rules: Rules, permit: Permit, now: float) -> Ruling | None:
        """Compare somebody who was verified again. Returns the answer if it is a new one: it may be taken back, but no claim accepts
        twice."""
        hold = HOLD if self.state is PassageState.VERIFIED else 0.0
        least = inf if rules.pair is None else rules.pair - hold
        if isfinite(match.similarity) and match.similarity >= least and rules.apart(match, hold, claimed=True):
            self.named, self.doubts = person, 0
            self._move(Event.CLAIM_HELD)
            return self._forbidden(Reason.VERIFIED, permit, now)
        self.doubts += 1
        if self.doubts < DOUBTS:
            return None
        if self.state is PassageState.VERIFIED:
            return self.mismatched(person)
        self.claimed = None  # the person is forgotten: the answer does not name them, and their claim binds nobody
        self._move(Event.NOBODY_FOUND)
        return self._say(NO_MATCH)

    def mismatched(self, person: str) -> Ruling:
        """A claim was compared and does not hold. The answer names the claimed person, not whoever stands there."""
        self.claimed = person
        self._move(Event.CLAIM_FAILED)
        self.ruling = mismatch(person)
        return self.ruling

    # ---- what else happens

    def forget(self, person: str) -> None:
        """Somebody was revoked, suspended or given another face: if this passage is theirs, look again with the next good frame."""
        if self.named == person:
            self.named, self.doubts = None, DOUBTS
            self._move(Event.PERSON_FORGOTTEN)
            self.refresh()

    def refresh(self) -> None:
        """The gallery has changed: look again with the next good frame."""
        self.looked_s, self.tries = -inf, 0

    def begin_anew(self) -> None:
        """Drop everything that was seen, because another model sees from now on. What was said, and whose the passage was, stays: an answer
        is given once, and a passage never becomes another person's."""
        self.evidence, self.seen = Evidence(self.evidence.memory), 0
        if self.last is not None:
            self.last = replace(self.last, match=None)
        self.refresh()

    def retract(self) -> None:
        """The answer could not be stored and was never published: begin anew, without an answer."""
        self.begin_anew()
        self._move(Event.RULING_LOST)
        self.ruling = None

    def leave(self, rules: Rules) -> Ruling | None:
        """The face has left. Returns the answer that is still owed, if enough of the face was seen to owe one."""
        self._move(Event.FACE_LEFT)
        if self.ruling is not None or rules.closed or self.last is None:
            return None
        if self.last.match is not None:
            return self._say(AMBIGUOUS if near(self.last.match, rules) else NO_MATCH)
        if rules.threshold is None and self.evidence.good >= rules.min_frames:
            return self._say(NO_MATCH)  # the gate only verifies, and nobody claimed anything
        return self._say(UNSCORABLE) if self.seen >= rules.patience and self.evidence.good < rules.min_frames else None

    # ---- moving and speaking

    def _move(self, event: Event) -> None:
        self.state = after(self.state, event)

    def _say(self, ruling: Ruling) -> Ruling | None:
        """An answer is given once: None if it is the one that stands."""
        if ruling == self.ruling:
            return None
        self.ruling = ruling
        return ruling

    def _forbidden(self, reason: Reason, permit: Permit, now: float) -> Ruling | None:
        """The person is still there. They may have lost the permission to pass, but only a clear look gives it to them."""
        assert self.named is not None
        ruling = permitted(self.named, reason, permit, now)
        return self._say(ruling) if ruling.verdict is not Verdict.ACCEPT else None
