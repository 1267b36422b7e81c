"""Evidence to one answer per passage: a threshold, a margin over everybody else, a fixed number of tries, and who may pass.

A passage is a track's life. Its good frames are fused into one vector, and that vector is searched for: as soon as `min_frames` of them
over `min_s` are there, then with every good frame until there is an answer, at the latest after `patience` of them; from then on once every
`recheck_s`, and `tries` times at most while nobody is recognised, because every look is a stranger's chance. An answer is given again only
if it changes. A passage that was one person's never becomes another's: one face is one person, and which of the two is doubtful.

A passage that takes a claim (`claims.py`) is compared with the claimed person alone, with each good frame until that is settled; then the
answer may be taken back, but one claim never accepts twice. At a gate that identifies nobody, who leaves without a claim was unknown.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import inf, isfinite

import numpy as np
import numpy.typing as npt

from daemon.core.claims import Claim, Claims, Compare, nobody, open_to
from daemon.core.evidence import Evidence, begun
from daemon.core.liveness import NOT_REQUIRED, LivenessRules, Lives, Votes
from daemon.core.match import NOBODY
from daemon.core.tracks import Track, Tracker
from daemon.core.values import Image, Liveness, Match, Probe, Reason, Sighting, Vector, Verdict, View

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


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer to one passage, and the frame that settled it. `changes` is True when it replaces an earlier answer, `claimed` when it was
    judged by a claim: by `Rules.pair`."""

    gate: str
    passage: int
    verdict: Verdict
    reason: Reason
    person: str | None
    similarity: float | None
    number: int
    at_s: float
    captured_at: float
    faces_in_view: int
    changes: bool
    claimed: bool = False
    liveness: Liveness = Liveness.NOT_EVALUATED


Answer = tuple[Verdict, Reason, str | None]
Permit = Callable[[str, float], Reason | None]
"""(person, UTC seconds) to the reason that forbids them, or None."""
Find = Callable[[npt.NDArray[np.float32]], list[Match]]
"""Vectors, float32 [N, D], to the nearest person of each."""

Due = tuple["Passage", Sighting, Claim | None]
"""A passage to be looked at now, with the frame that shows it, and the claim that it has taken."""

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


@dataclass(slots=True)
class Gatekeeper:
    """The passages of one camera. Knows no clock: the time is that of the views it is shown."""

    gate: str
    rules: Rules
    lost_s: float
    passages: dict[int, Passage] = field(default_factory=dict)
    tracker: Tracker = field(init=False)
    sightings: tuple[Sighting, ...] = ()
    """Of the last view, one for each probe, with what was last found about its passage: for those who keep a record."""
    claims: Claims = field(default_factory=Claims)

    def __post_init__(self) -> None:
        self.tracker = Tracker(self.lost_s)

    def observe(
        self,
        view: View,
        vectors: Sequence[Vector | None],
        find: Find,
        permit: Permit,
        compare: Compare = nobody,
        lives: Lives | None = None,
    ) -> list[Decision]:
        """What this frame decides. `vectors` belong to `view.probes`; None for a face too poor to be scored, and at a closed gate.

        `lives` is asked about a passage that is about to be accepted, and its answer can only deny.
        """
        decisions = [*self.close(view.at_s), *self._meet_claim(view)]
        self.tracker.same = self.rules.same

        def alike(number: int, place: int) -> float | None:
            vector, passage = vectors[place], self.passages.get(number)
            return passage.evidence.likeness(vector) if vector is not None and passage is not None else None

        tracks = self.tracker.update([probe.face.box for probe in view.probes], view.at_s, alike)
        shown: list[Passage] = []
        due: list[Due] = []
        for probe, vector, track in zip(view.probes, vectors, tracks, strict=True):
            sighting, passage, adds = self._see(view, probe, vector, track, decisions)
            passage.seen += not self.rules.closed  # a closed gate owes nobody an answer
            passage.faces = len(view.probes)
            passage.last = replace(sighting, match=passage.last.match if passage.last is not None else None)
            shown.append(passage)
            # Only a frame that adds to the evidence decides: an answer is about a face that is there now.
            claim = self._taken(sighting, passage) if adds else None
            if claim is not None or (adds and passage.due(view.at_s, self.rules)):
                due.append((passage, sighting, claim))
        asked = [passage.evidence.fused for passage, _, claim in due if self._searches(passage, claim)]
        found = iter(find(np.stack(asked)) if asked else ())
        for passage, sighting, claim in due:
            nearest = next(found) if self._searches(passage, claim) else NOBODY
            person = claim.person if claim is not None else passage.claimed
            match = nearest if person is None else Match(person, compare(passage.evidence.fused, person), -1.0)
            passage.last, passage.looked_s, had_one = replace(sighting, match=match), sighting.at_s, passage.answer is not None
            allowed = _alive(permit, passage.votes, lives, self.rules.liveness)
            if claim is not None:
                answer = passage.verify(claim, match, nearest, self.rules, allowed, sighting.captured_at)
            elif person is not None:
                answer = passage.recheck(person, match, self.rules, allowed, sighting.captured_at)
            else:
                answer = passage.weigh(sighting, match, self.rules, allowed)
            if answer is None:
                continue
            if claim is not None:
                self.claims.settle(answer[1])
            if answer[0] is Verdict.ACCEPT and any(other is not passage and _accepts(other, answer[2]) for other in shown):
                answer = passage.doubled()
            decisions.append(self._decision(passage, answer, had_one))
        self.sightings = tuple(passage.last for passage in shown if passage.last is not None)
        return decisions

    def close(self, at_s: float) -> list[Decision]:
        """End the passages of faces that left before `at_s`, and say what they still owe."""
        return self._end([track.number for track in self.tracker.expire(at_s)])

    def finish(self) -> list[Decision]:
        """The recording is over, or the camera lost: end every passage."""
        self.claims.end("camera_lost")
        numbers = [track.number for track in self.tracker.tracks]
        self.tracker.tracks = []
        return self._end(numbers)

    def forget(self, person: str) -> None:
        """Somebody was revoked, suspended or given another face."""
        self.claims.forget(person)
        for passage in self.passages.values():
            passage.forget(person)

    def refresh(self) -> None:
        """The gallery has changed: somebody who was unknown may be known now."""
        for passage in self.passages.values():
            passage.refresh()

    def begin_anew(self) -> None:
        """Another model serves from now on."""
        self.claims.end("model_changed")
        for passage in self.passages.values():
            passage.begin_anew()

    def retract(self, decision: Decision) -> None:
        """A decision could not be made durable and was never published: its passage begins anew, without an answer. Whose it was, every
        doubt about that and the end of a claim stay."""
        passage = self.passages.get(decision.passage)
        if passage is not None:
            passage.begin_anew()
            passage.answer = None

    def _see(
        self, view: View, probe: Probe, vector: Vector | None, track: Track, decisions: list[Decision]
    ) -> tuple[Sighting, Passage, bool]:
        """Put one face of a frame into its passage, or into a new one where the track has become somebody else's (`decisions` gets what the
        old one owed); and whether it added to the evidence."""
        passage, adds = self.passages.setdefault(track.number, Passage(Evidence(self.rules.memory))), False
        if vector is not None and not self.rules.closed:  # a closed gate takes no evidence
            aside, aside_shows, liveness = passage.evidence.aside, passage.aside, self.rules.liveness
            taken = passage.evidence.take(vector, view.at_s, self.rules.same)
            adds = taken != "aside"
            if taken == "another" and aside is not None:
                decisions += self._end([track.number])
                track = self.tracker.cut(track)
                passage = self.passages[track.number] = Passage(begun([aside, vector], view.at_s, self.rules.memory))
                passage.votes.take(aside_shows, liveness)
            if adds:
                passage.votes.take(probe.surroundings, liveness)
            elif passage.evidence.aside is vector:
                passage.aside = probe.surroundings
        return Sighting(track.number, view.number, view.at_s, view.captured_at, probe.face.box, probe.quality, None), passage, adds

    def _meet_claim(self, view: View) -> list[Decision]:
        """What a frame means to the claim that stands, before its faces are looked at: an answer, where its time is up meanwhile."""
        claim = self.claims.meet(view.at_s, len(view.probes), self.rules.pair is not None)
        passage = self.passages.get(claim.passage) if claim is not None and claim.passage is not None else None
        if claim is None or passage is None:
            return []
        had_one = passage.answer is not None
        return [self._decision(passage, passage.mismatched(claim.person), had_one)]

    def _taken(self, sighting: Sighting, passage: Passage) -> Claim | None:
        """The claim by which this passage is to be looked at. It must be alone: a frame with several faces has ended the claim, and while
        a face that was there a moment ago may only be hidden, the claim waits."""
        claim = self.claims.standing
        if claim is None or not claim.concerns(sighting.at_s) or not passage.enough(sighting.at_s, self.rules):
            return None
        if len(self.tracker.tracks) > 1:
            return None
        if claim.passage is None and open_to(claim.person, passage.named, passage.claimed, passage.two_people):
            claim.passage = sighting.track
        return claim if claim.passage == sighting.track else None

    def _searches(self, passage: Passage, claim: Claim | None) -> bool:
        """Whether to search among all: for who claims nothing, and beside a claim for who could be somebody else clearly."""
        return self.rules.threshold is not None and (claim is not None or passage.claimed is None)

    def _end(self, numbers: list[int]) -> list[Decision]:
        decisions = []
        for number in numbers:
            passage, claim = self.passages.pop(number, None), self.claims.leave(number, self.rules.pair is not None)
            if passage is None:
                continue
            had_one = passage.answer is not None
            answer = passage.close(self.rules) if claim is None else passage.mismatched(claim.person)
            if answer is not None:
                decisions.append(self._decision(passage, answer, had_one))
        return decisions

    def _decision(self, passage: Passage, answer: Answer, changes: bool) -> Decision:
        sighting = passage.last
        assert sighting is not None
        verdict, reason, person = answer
        similarity = sighting.match.similarity if sighting.match is not None else None
        return Decision(
            self.gate,
            sighting.track,
            verdict,
            reason,
            person,
            similarity,
            sighting.number,
            sighting.at_s,
            sighting.captured_at,
            passage.faces,
            changes,
            claimed=passage.claimed is not None,
            liveness=passage.votes.verdict,
        )


def _alive(permit: Permit, votes: Votes, lives: Lives | None, rules: LivenessRules) -> Permit:
    """One thing more that forbids: that the face seems not to be a living one. Asked of those only whom nothing else forbids."""

    def allowed(person: str, now: float) -> Reason | None:
        forbidden = permit(person, now)
        return forbidden if forbidden is not None else votes.forbids(lives, rules)

    return allowed


def _accepts(passage: Passage, person: str | None) -> bool:
    return passage.answer is not None and passage.answer[0] is Verdict.ACCEPT and passage.answer[2] == person
