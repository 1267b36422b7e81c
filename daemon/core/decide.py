"""Evidence to one answer per passage: a threshold, a margin over everybody else, a fixed number of tries, and who may pass.

A passage is a track's life. Its good frames are fused into one vector, and that vector is searched for: as soon as `min_frames` of them
over `min_s` are there, then with every good frame until there is an answer, at the latest after `patience` of them; from then on once every
`recheck_s`, and `tries` times at most while nobody is recognised, because every look is a stranger's chance. An answer is given again only
if it changes. A passage that was one person's never becomes another's: one face is one person, and which of the two is doubtful.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import inf, isfinite

import numpy as np
import numpy.typing as npt

from daemon.core.evidence import Evidence, begun
from daemon.core.liveness import NOT_REQUIRED, LivenessRules, Lives, Votes
from daemon.core.tracks import Track, Tracker
from daemon.core.values import Image, Liveness, Match, Probe, Reason, Sighting, Vector, Verdict, View

HOLD = 0.1
"""A person who has been recognised stays so while the fused vector is this much below the threshold: a turned head is no other head."""
DOUBTS = 2
"""Looks in a row that must have lost a recognised person before the answer is taken back."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What an answer needs. `threshold` is a similarity of fused vectors, and None closes the gate: nothing is looked at.

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
    liveness: LivenessRules = NOT_REQUIRED


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer to one passage, and the frame that settled it. `changes` is True when it replaces an earlier answer."""

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
    liveness: Liveness = Liveness.NOT_EVALUATED


Answer = tuple[Verdict, Reason, str | None]
Permit = Callable[[str, float], Reason | None]
"""(person, UTC seconds) to the reason that forbids them, or None."""
Find = Callable[[npt.NDArray[np.float32]], list[Match]]
"""Vectors, float32 [N, D], to the nearest person of each."""

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
    """What one face has shown, and what was said about it. `named` is who it was recognised as, also after the answer was taken back.

    `aside` is what the liveness model would be shown of `evidence.aside`.
    """

    evidence: Evidence
    seen: int = 0
    last: Sighting | None = None
    answer: Answer | None = None
    named: str | None = None
    two_people: bool = False
    looked_s: float = -inf
    tries: int = 0
    doubts: int = 0
    votes: Votes = field(default_factory=Votes)
    aside: Image | None = None

    @property
    def holding(self) -> bool:
        """Whether the answer names somebody."""
        return self.answer is not None and self.answer[2] is not None

    def due(self, at_s: float, rules: Rules) -> bool:
        """Whether to search for the evidence now."""
        if self.two_people or self.evidence.good < rules.min_frames or not at_s - self.evidence.since_s >= rules.min_s:
            return False
        if self.answer is None:
            return True
        return at_s - self.looked_s >= rules.recheck_s and (self.holding or self.tries < rules.tries)

    def weigh(self, sighting: Sighting, match: Match, rules: Rules, permit: Permit) -> Answer | None:
        """Take what a search found; return the answer if it is a new one."""
        self.looked_s = sighting.at_s
        if self.answer is not None and not self.holding:
            self.tries += 1
        return self._settle(self._standing(match, rules, permit, sighting.captured_at))

    def close(self, rules: Rules) -> Answer | None:
        """The face has left: the answer it still owes, if enough of it was seen to owe one."""
        if self.answer is not None or rules.threshold is None or self.last is None:
            return None
        if self.last.match is not None:
            return self._settle(AMBIGUOUS if near(self.last.match, rules) else NO_MATCH)
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
        """Drop everything that was seen: another model sees from now on. What was answered, and whose the passage was, is remembered: an
        answer is given once, and a passage never becomes another person's."""
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
            # Two people about equally near, or nobody, may be a bad moment; not so for somebody who has been forgotten meanwhile.
            stays = found or (match.person == self.named and rules.threshold is not None and match.similarity >= rules.threshold - HOLD)
            self.doubts = 0 if stays and self.named is not None else self.doubts + 1
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
        forbidden = permit(person, now)
        return (Verdict.ACCEPT, Reason.MATCHED, person) if forbidden is None else (Verdict.REJECT, forbidden, person)

    def _settle(self, answer: Answer | None) -> Answer | None:
        if answer is None or answer == self.answer:
            return None
        self.answer = answer
        return answer


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

    def __post_init__(self) -> None:
        self.tracker = Tracker(self.lost_s)

    def observe(
        self, view: View, vectors: Sequence[Vector | None], find: Find, permit: Permit, lives: Lives | None = None
    ) -> list[Decision]:
        """What this frame decides. `vectors` belong to `view.probes`; None for a face too poor to be scored, and at a closed gate.

        `lives` is asked about a passage that is about to be accepted, and its answer can only deny.
        """
        decisions = self.close(view.at_s)
        self.tracker.same = self.rules.same

        def alike(number: int, place: int) -> float | None:
            vector, passage = vectors[place], self.passages.get(number)
            return passage.evidence.likeness(vector) if vector is not None and passage is not None else None

        tracks = self.tracker.update([probe.face.box for probe in view.probes], view.at_s, alike)
        shown: list[Passage] = []
        due: list[tuple[Passage, Sighting]] = []
        for probe, vector, track in zip(view.probes, vectors, tracks, strict=True):
            sighting, passage, adds = self._see(view, probe, vector, track, decisions)
            passage.seen += self.rules.threshold is not None  # a closed gate owes nobody an answer
            passage.last = replace(sighting, match=passage.last.match if passage.last is not None else None)
            shown.append(passage)
            # Only a frame that adds to the evidence decides: an answer is about a face that is there now.
            if adds and passage.due(view.at_s, self.rules):
                due.append((passage, sighting))
        if due:
            matches = find(np.stack([passage.evidence.fused for passage, _ in due]))
            for (passage, sighting), match in zip(due, matches, strict=True):
                passage.last = replace(sighting, match=match)
                had_one = passage.answer is not None
                answer = passage.weigh(sighting, match, self.rules, _alive(permit, passage.votes, lives, self.rules.liveness))
                if answer is not None:
                    decisions.append(self._decision(passage.last, answer, len(view.probes), had_one, passage.votes.verdict))
        self.sightings = tuple(passage.last for passage in shown if passage.last is not None)
        return decisions

    def close(self, at_s: float) -> list[Decision]:
        """End the passages of faces that left before `at_s`, and say what they still owe."""
        return self._end([track.number for track in self.tracker.expire(at_s)])

    def finish(self) -> list[Decision]:
        """The recording is over: end every passage."""
        numbers = [track.number for track in self.tracker.tracks]
        self.tracker.tracks = []
        return self._end(numbers)

    def forget(self, person: str) -> None:
        """Somebody was revoked, suspended or given another face."""
        for passage in self.passages.values():
            passage.forget(person)

    def refresh(self) -> None:
        """The gallery has changed: somebody who was unknown may be known now."""
        for passage in self.passages.values():
            passage.refresh()

    def begin_anew(self) -> None:
        """Another model serves from now on."""
        for passage in self.passages.values():
            passage.begin_anew()

    def retract(self, decision: Decision) -> None:
        """A decision could not be made durable and was never published: the passage starts anew."""
        self.passages.pop(decision.passage, None)

    def _see(
        self, view: View, probe: Probe, vector: Vector | None, track: Track, decisions: list[Decision]
    ) -> tuple[Sighting, Passage, bool]:
        """Put one face of a frame into its passage, or into a new one where the track has become somebody else's (`decisions` gets what the
        old one owed); and whether it added to the evidence."""
        passage, adds = self.passages.setdefault(track.number, Passage(Evidence(self.rules.memory))), False
        if vector is not None and self.rules.threshold is not None:  # a closed gate takes no evidence
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

    def _end(self, numbers: list[int]) -> list[Decision]:
        decisions = []
        for number in numbers:
            passage = self.passages.pop(number, None)
            answer = passage.close(self.rules) if passage is not None else None
            if passage is not None and passage.last is not None and answer is not None:
                decisions.append(self._decision(passage.last, answer, 0, False, passage.votes.verdict))
        return decisions

    def _decision(self, sighting: Sighting, answer: Answer, faces: int, changes: bool, liveness: Liveness) -> Decision:
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
            faces,
            changes,
            liveness,
        )


def _alive(permit: Permit, votes: Votes, lives: Lives | None, rules: LivenessRules) -> Permit:
    """One thing more that forbids: that the face seems not to be a living one. Asked of those only whom nothing else forbids."""

    def allowed(person: str, now: float) -> Reason | None:
        forbidden = permit(person, now)
        return forbidden if forbidden is not None else votes.forbids(lives, rules)

    return allowed
