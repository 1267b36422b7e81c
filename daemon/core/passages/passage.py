"""One passage: what a face has shown, and what was said about it.

It is looked at as soon as `min_frames` good frames over `min_s` are there, then with every good frame until there is an answer, at the
latest after `patience` of them; from then on once every `recheck_s`, and `tries` times at most while nobody is recognised, because every
look is a stranger's chance. An answer is given again only if it changes. A passage that was one person's never becomes another's: one face
is one person, and which of the two is doubtful.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import inf, isfinite

from daemon.core.passages.claims import Claim
from daemon.core.passages.evidence import Evidence
from daemon.core.passages.liveness import NOT_REQUIRED, LivenessRules, Votes
from daemon.core.values import Image, Match, Reason, Sighting, Verdict

HOLD = 0.1
"""A person who has been recognised stays so while the fused vector is this much below the threshold: a turned head is no other head."""
DOUBTS = 2
"""Looks in a row that must have lost a recognised person before the answer is taken back."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What an answer needs. `threshold` is a similarity of fused vectors, and None compares nobody with all; `pair` the one for claims, and
    None verifies nobody. Without both the gate is closed: nothing is looked at.

    `same` is the similarity below which a frame is held not to show a track's face, `memory` the weight of a frame beside the next one's.
    """

    threshold: float | None
    margin: float
    min_frames: int
    min_s: float
    patience: int
    recheck_s: float
    tries: int
    memory: float
    same: float
    pair: float | None = None
    liveness: LivenessRules = NOT_REQUIRED

    @property
    def closed(self) -> bool:
        """Whether nobody can be accepted."""
        return self.threshold is None and self.pair is None


Answer = tuple[Verdict, Reason, str | None]
Permit = Callable[[str, float], Reason | None]
"""(person, UTC seconds) to the reason that forbids them, or None."""

AMBIGUOUS: Answer = (Verdict.REJECT, Reason.AMBIGUOUS, None)
NO_MATCH: Answer = (Verdict.UNKNOWN, Reason.NO_MATCH, None)
UNSCORABLE: Answer = (Verdict.UNKNOWN, Reason.UNSCORABLE, None)


def near(match: Match, rules: Rules) -> bool:
    """Whether somebody is near enough. Written so that NaN is nobody."""
    if rules.threshold is None or match.person is None or not isfinite(match.similarity):
        return False
    return match.similarity >= rules.threshold


def clear(match: Match, rules: Rules) -> bool:
    """Whether the nearest is clear of everybody else."""
    return match.similarity - match.rival >= rules.margin


@dataclass(slots=True)
class Passage:
    """What one face has shown, and what was said about it. `named` is who it was recognised as, also after the answer was taken back;
    `claimed` whom the claim named that was answered, and since then it is compared with nobody else. `faces` were in view with it last.
    `aside` is what the liveness model would be shown of `evidence.aside`."""

    evidence: Evidence
    seen: int = 0
    faces: int = 0
    last: Sighting | None = None
    answer: Answer | None = None
    named: str | None = None
    claimed: str | None = None
    two_people: bool = False
    looked_s: float = -inf
    tries: int = 0
    doubts: int = 0
    votes: Votes = field(default_factory=Votes)
    aside: Image | None = None

    @property
    def holding(self) -> bool:
        """Whether the answer says who this is."""
        return self.answer is not None and self.answer[2] is not None and self.answer[1] is not Reason.CLAIM_MISMATCH

    def enough(self, at_s: float, rules: Rules) -> bool:
        """Whether the face has been seen well enough for an answer."""
        return self.evidence.good >= rules.min_frames and at_s - self.evidence.since_s >= rules.min_s

    def due(self, at_s: float, rules: Rules) -> bool:
        """Whether to look at the evidence now: at the claimed person, after a claim, else at everybody."""
        if self.two_people or not self.enough(at_s, rules):
            return False
        if self.claimed is not None:
            return rules.pair is not None and self.holding and at_s - self.looked_s >= rules.recheck_s
        if rules.threshold is None:
            return False
        if self.answer is None:
            return True
        return at_s - self.looked_s >= rules.recheck_s and (self.holding or self.tries < rules.tries)

    def weigh(self, sighting: Sighting, match: Match, rules: Rules, permit: Permit) -> Answer | None:
        """Take what a search found; return the answer if it is a new one."""
        if self.answer is not None and not self.holding:
            self.tries += 1
        return self._settle(self._standing(match, rules, permit, sighting.captured_at))

    def verify(self, claim: Claim, match: Match, nearest: Match, rules: Rules, permit: Permit, now: float) -> Answer | None:
        """Take what a comparison with the claimed person found, and whom a search among all; return the answer once the claim is settled.
        Every claim that was compared has its answer, whatever was said before."""
        recognised = nearest.person if near(nearest, rules) and clear(nearest, rules) else None
        same = claim.compared(match.similarity, recognised, rules.pair, rules.patience - rules.min_frames + 1)
        if same is None:
            return None
        if not same:
            return self.mismatched(claim.person)
        self.named, self.doubts = claim.person, 0
        self.claimed, self.answer = claim.person, _permitted(claim.person, Reason.VERIFIED, permit, now)
        return self.answer

    def mismatched(self, person: str) -> Answer:
        """A claim was compared and does not hold. The person is whom it names, not who stands there."""
        self.claimed, self.answer = person, (Verdict.REJECT, Reason.CLAIM_MISMATCH, person)
        return self.answer

    def recheck(self, person: str, match: Match, rules: Rules, permit: Permit, now: float) -> Answer | None:
        """Who was verified is still there: return the answer if it is another one. It may be taken back, but no claim accepts twice."""
        least = inf if rules.pair is None else rules.pair - (HOLD if self.named is not None else 0.0)
        if isfinite(match.similarity) and match.similarity >= least:
            self.named, self.doubts = person, 0
            answer = _permitted(person, Reason.VERIFIED, permit, now)
            return self._settle(answer) if answer[0] is not Verdict.ACCEPT else None
        self.doubts += 1
        if self.doubts < DOUBTS:
            return None
        if self.named is not None:
            return self.mismatched(person)
        self.claimed = None  # forgotten meanwhile: nothing is said of them, and they bind nobody
        return self._settle(NO_MATCH)

    def doubled(self) -> Answer:
        """Another face in the same frame was accepted as the same person: which of the two it is, nobody knows, until this one has left."""
        self.two_people, self.answer = True, AMBIGUOUS
        return AMBIGUOUS

    def close(self, rules: Rules) -> Answer | None:
        """The face has left: the answer it still owes, if enough of it was seen to owe one."""
        if self.answer is not None or rules.closed or self.last is None:
            return None
        if self.last.match is not None:
            return self._settle(AMBIGUOUS if near(self.last.match, rules) else NO_MATCH)
        if rules.threshold is None and self.evidence.good >= rules.min_frames:
            return self._settle(NO_MATCH)  # nobody who could have been compared was near
        return self._settle(UNSCORABLE) if self.seen >= rules.patience and self.evidence.good < rules.min_frames else None

    def forget(self, person: str) -> None:
        """Somebody was revoked, suspended or given another face: an answer that names them is looked at again with the next good frame."""
        if self.named == person:
            self.named, self.doubts = None, DOUBTS
            self.refresh()

    def refresh(self) -> None:
        """The gallery has changed: look again with the next good frame."""
        self.looked_s, self.tries = -inf, 0

    def begin_anew(self) -> None:
        """Drop everything that was seen, as another model sees from now on, or an answer was lost. What was answered, and whose the passage
        was, is remembered: an answer is given once, and a passage never becomes another person's."""
        self.evidence, self.seen = Evidence(self.evidence.memory), 0
        if self.last is not None:
            self.last = replace(self.last, match=None)
        self.refresh()

    def _standing(self, match: Match, rules: Rules, permit: Permit, now: float) -> Answer | None:
        """What the search says, or None while it says nothing new."""
        found = near(match, rules)
        if found and clear(match, rules):
            return self._recognised(str(match.person), permit, now)
        if self.holding:
            # Two people about equally near may be a bad moment, once nobody too; not so for somebody who has been forgotten meanwhile.
            stays = found or (match.person == self.named and rules.threshold is not None and match.similarity >= rules.threshold - HOLD)
            if stays and self.named is not None:
                self.doubts = 0
                answer = _permitted(self.named, Reason.MATCHED, permit, now)
                return answer if answer[0] is not Verdict.ACCEPT else None
            self.doubts += 1
            if self.doubts < DOUBTS:
                return None
            return AMBIGUOUS if found else NO_MATCH
        if self.answer is None and self.evidence.good < rules.patience:
            return None
        if found:
            return AMBIGUOUS
        return NO_MATCH if self.answer is None else None

    def _recognised(self, person: str, permit: Permit, now: float) -> Answer:
        self.doubts = 0
        if self.named not in (None, person):
            self.two_people = True  # and that stays so until the face has left
            return AMBIGUOUS
        self.named = person
        return _permitted(person, Reason.MATCHED, permit, now)

    def _settle(self, answer: Answer | None) -> Answer | None:
        if answer is None or answer == self.answer:
            return None
        self.answer = answer
        return answer


def _permitted(person: str, reason: Reason, permit: Permit, now: float) -> Answer:
    """The answer to somebody who is recognised: an accept for this reason, or what forbids it."""
    forbidden = permit(person, now)
    return (Verdict.ACCEPT, reason, person) if forbidden is None else (Verdict.REJECT, forbidden, person)
