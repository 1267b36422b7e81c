"""Evidence to one answer per passage: who is seen, what is looked at when, and what is said.

A passage (`passage.py`) is a track's life. Its good frames are fused into one vector, and that vector is searched for, or, in a passage
that takes a claim (`claims.py`), compared with the claimed person alone, with each good frame until that is settled; then the answer may be
taken back, but one claim never accepts twice. At a gate that identifies nobody, who leaves without a claim was unknown.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from daemon.core.passages.claims import Claim, Claims, Compare, nobody, open_to
from daemon.core.passages.evidence import Evidence, begun
from daemon.core.passages.liveness import LivenessRules, Lives, Votes
from daemon.core.passages.match import NOBODY
from daemon.core.passages.passage import Answer, Passage, Permit, Rules
from daemon.core.passages.tracks import Track, Tracker
from daemon.core.values import Liveness, Match, Probe, Reason, Sighting, Vector, Verdict, View


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


Find = Callable[[npt.NDArray[np.float32]], list[Match]]
"""Vectors, float32 [N, D], to the nearest person of each."""

Due = tuple[Passage, Sighting, Claim | None]
"""A passage to be looked at now, with the frame that shows it, and the claim that it has taken."""


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
