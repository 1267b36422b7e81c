"""The passages of one camera: which face is whose passage, which of them to look at in this frame, and what is decided.

A passage (`passage.py`) is the life of one track. The gatekeeper searches for its fused vector among all enrolled people. While a passage
has a claim (`claims.py`), the gatekeeper compares it with the claimed person instead, with each good frame until the claim is settled.
After that an accept may be taken back, but one claim never accepts twice. At a gate that only verifies, a face that leaves without a claim
was unknown.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import nan

import numpy as np
import numpy.typing as npt

from daemon.core.passages.claims import Claim, Claims, Compare, nobody
from daemon.core.passages.cohort import Cohort, Known, centred
from daemon.core.passages.doubles import Doubles
from daemon.core.passages.evidence import Evidence, begun
from daemon.core.passages.liveness import Lives, with_liveness
from daemon.core.passages.match import NOBODY
from daemon.core.passages.passage import Passage
from daemon.core.passages.rules import Rules
from daemon.core.passages.ruling import NO_MATCH, Permit, Ruling
from daemon.core.passages.steadiness import shown_by
from daemon.core.passages.tracks import Likeness, Track, Tracker
from daemon.core.values import Image, Liveness, Match, Probe, Quality, Reason, Sighting, Vector, Verdict, View


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer to one passage, and the frame that settled it. `changes` is True if it replaces an earlier answer, and `claimed` if the
    passage was judged by a claim, and so by `Rules.pair`. `similarity` and `centred` are those of its last look (see `Match`)."""

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
    centred: float | None = None


Find = Callable[[npt.NDArray[np.float32]], list[Match]]
"""Vectors, float32 [N, D], to the nearest person to each of them."""

Due = tuple[Passage, Sighting, Claim | None]
"""A passage to look at now, the frame that shows it, and the claim that it has taken."""


@dataclass(slots=True)
class Gatekeeper:
    """The passages of one camera. It reads no clock: the time is that of the views it observes."""

    gate: str
    rules: Rules
    lost_s: float
    passages: dict[int, Passage] = field(default_factory=dict)
    tracker: Tracker = field(init=False)
    sightings: tuple[Sighting, ...] = ()
    """One for each probe of the last view, with the match of its passage's last look: for those who keep a record."""
    claims: Claims = field(default_factory=Claims)
    cohort: Cohort = field(default_factory=Cohort)
    doubles: Doubles = field(default_factory=Doubles)
    strangers: list[tuple[int, Image]] = field(default_factory=list)
    """Passages of people whom nobody knows, and their portraits, each once; for whoever takes them out."""

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
        known: Known | None = None,
    ) -> list[Decision]:
        """What this frame decides. `vectors` belong to `view.probes`; None for a face that is too poor to be scored, or whose vector was
        not wanted (`wants`): such a face is there and still shows what it showed last, and the frame decides nothing.

        `lives` is asked about a passage that is about to be accepted, and its answer can only deny that. `known` are the enrolled people,
        for gates that adapt (`Rules.adapts`): without it these recognise nobody.
        """
        decisions = [*self.close(view.at_s), *self._meet_claim(view)]
        shown: list[Passage] = []
        due: list[Due] = []
        for probe, vector, track in zip(view.probes, vectors, self._follow(view, vectors), strict=True):
            sighting, passage, adds = self._see(view, probe, vector, track, decisions)
            passage.seen += not self.rules.closed  # a closed gate owes nobody an answer
            passage.faces = len(view.probes)
            passage.last = replace(sighting, match=passage.last.match if passage.last is not None else None)
            shown.append(passage)
            # Only a frame that adds to the evidence decides: an answer is about a face that is there now. A claim also needs the face to be
            # alone, so it waits for a frame in which newcomers were looked for.
            decides = adds and (view.thorough or self.claims.standing is None)
            claim = self._taken(sighting, passage) if decides else None
            if claim is not None or (decides and passage.due(view.at_s, self.rules)):
                due.append((passage, sighting, claim))
        searched = [passage.evidence.fused for passage, _, claim in due if self._searches(passage, claim)]
        found = iter(find(np.stack(searched)) if searched else ())
        for passage, sighting, claim in due:
            nearest = next(found) if self._searches(passage, claim) else NOBODY
            had_one, allowed = passage.ruling is not None, with_liveness(permit, passage.votes, lives, self.rules.liveness)
            ruling = self._look(passage, sighting, claim, nearest, compare, allowed, known)
            if ruling is None:
                continue
            if claim is not None:
                self.claims.settle(ruling.reason)
            if ruling.verdict is Verdict.ACCEPT and any(other is not passage and _accepts(other, ruling.person) for other in shown):
                ruling = passage.seen_twice()
            decisions.append(self._decision(passage, ruling, had_one))
        self.sightings = tuple(passage.last for passage in shown if passage.last is not None)
        for passage in shown:
            if passage.ruling not in (None, NO_MATCH):
                passage.best.image = None
            elif passage.best.settled(view.at_s) and passage.last is not None:
                self._give(passage.last.track, passage)
        return decisions

    def wants(self, view: View) -> list[bool]:
        """Which faces of the next view to observe need a vector: all that can be scored, but those that surely still are what a passage
        with its answer was shown a moment ago (`steadiness.py`). A closed gate needs none."""
        if self.rules.closed:
            return [False] * len(view.probes)
        tracks = self.tracker.sure([probe.face.box for probe in view.probes], view.at_s)
        return [p.quality is Quality.OK and not self._steady(track, p, view.at_s) for track, p in zip(tracks, view.probes, strict=True)]

    def _steady(self, track: Track | None, probe: Probe, at_s: float) -> bool:
        """Whether a face may go without a vector in this frame. While a claim stands, every frame may settle it."""
        passage = self.passages.get(track.number) if track is not None else None
        if passage is None or passage.last is None or passage.shown is None or self.claims.standing is not None:
            return False
        if passage.last.quality is not Quality.OK or passage.counts(at_s, self.rules):
            return False  # a poor frame may hide a change
        return passage.shown.still(probe.crop, at_s)

    def close(self, at_s: float) -> list[Decision]:
        """End the passages of faces that have left by `at_s`, and give the answers that they are still owed."""
        return self._end([track.number for track in self.tracker.expire(at_s)])

    def finish(self) -> list[Decision]:
        """The recording is over or the camera is lost: end every passage."""
        self.claims.end("camera_lost")
        numbers = [track.number for track in self.tracker.tracks]
        self.tracker.tracks = []
        return self._end(numbers)

    def forget(self, person: str) -> None:
        """Somebody was revoked, suspended or given another face. Their face may be in the cohort, which does not know names."""
        self.claims.forget(person)
        self.cohort.forget()
        self.doubles.forget(person)
        for passage in self.passages.values():
            passage.forget(person)

    def refresh(self) -> None:
        """The gallery has changed: somebody unknown may be known now."""
        for passage in self.passages.values():
            passage.refresh()

    def begin_anew(self) -> None:
        """Another model serves from now on."""
        self.claims.end("model_changed")
        self.cohort.forget()
        self.doubles.forget_all()
        for passage in self.passages.values():
            passage.begin_anew()

    def retract(self, decision: Decision) -> None:
        """A decision could not be stored and was never published: its passage begins anew, without an answer. Whose passage it was, every
        doubt about that, and the end of a claim stay."""
        passage = self.passages.get(decision.passage)
        if passage is not None:
            passage.retract()

    def _follow(self, view: View, vectors: Sequence[Vector | None]) -> list[Track]:
        """The track of each face in the view."""
        self.tracker.same = self.rules.same
        return self.tracker.update([probe.face.box for probe in view.probes], view.at_s, self._likeness(vectors))

    def _likeness(self, vectors: Sequence[Vector | None]) -> Likeness:
        """How alike the faces of the tracks and these are, where both have a vector. In a crowd that is one matrix product."""
        passages = ((track.number, self.passages.get(track.number)) for track in self.tracker.tracks)
        known = [(number, passage.evidence.fused) for number, passage in passages if passage is not None and passage.evidence.good]
        there = [(place, vector) for place, vector in enumerate(vectors) if vector is not None]
        if not known or not there:
            return {}
        with np.errstate(all="ignore"):  # a vector may be anything; what is not finite is alike nobody
            table = (np.stack([fused for _, fused in known]) @ np.stack([vector for _, vector in there]).T).tolist()
        return {(number, place): table[row][column] for row, (number, _) in enumerate(known) for column, (place, _) in enumerate(there)}

    def _see(
        self, view: View, probe: Probe, vector: Vector | None, track: Track, decisions: list[Decision]
    ) -> tuple[Sighting, Passage, bool]:
        """Put one face of a frame into its passage, and say whether it added to the evidence. If the track has become somebody else's, the
        face goes into a new passage, and what the old one is still owed goes into `decisions`."""
        passage, adds = self.passages.setdefault(track.number, Passage(Evidence(self.rules.memory))), False
        if vector is None and passage.shown is not None and probe.quality is Quality.OK:
            passage.evidence.again()
        if vector is not None and not self.rules.closed:  # a closed gate takes no evidence
            aside, aside_shows, liveness = passage.evidence.aside, passage.aside_shows, self.rules.liveness
            taken = passage.evidence.take(vector, view.at_s, self.rules.same)
            adds = taken != "aside"
            if taken == "another" and aside is not None:
                decisions += self._end([track.number])
                track = self.tracker.cut(track)
                passage = self.passages[track.number] = Passage(begun([aside, vector], view.at_s, self.rules.memory))
                passage.votes.take(aside_shows, liveness)
            if adds:
                passage.votes.take(probe.surroundings, liveness)
                if passage.ruling in (None, NO_MATCH):
                    passage.best.take(probe, view.at_s)
            elif passage.evidence.aside is vector:
                passage.aside_shows = probe.surroundings
            passage.shown = shown_by(probe.crop, view.at_s, passage.shown) if adds else None
        return Sighting(track.number, view.number, view.at_s, view.captured_at, probe.face.box, probe.quality, None), passage, adds

    def _meet_claim(self, view: View) -> list[Decision]:
        """What a frame means to the claim that stands, before its faces are looked at. If the claim's time ran out while a passage was
        compared with it, that passage is answered."""
        claim = self.claims.meet(view.at_s, len(view.probes), self.rules.pair is not None)
        passage = self.passages.get(claim.passage) if claim is not None and claim.passage is not None else None
        if claim is None or passage is None:
            return []
        had_one = passage.ruling is not None
        return [self._decision(passage, passage.mismatched(claim.person), had_one)]

    def _taken(self, sighting: Sighting, passage: Passage) -> Claim | None:
        """The claim that this passage is to be compared with now, if any. The face must be alone: a frame with several faces has ended the
        claim, and the claim waits while a face that was there a moment ago may only be hidden."""
        claim = self.claims.standing
        if claim is None or not claim.concerns(sighting.at_s) or not passage.enough(sighting.at_s, self.rules):
            return None
        if len(self.tracker.tracks) > 1:
            return None
        if claim.passage is None and passage.open_to(claim.person):
            claim.passage = sighting.track
        return claim if claim.passage == sighting.track else None

    def _searches(self, passage: Passage, claim: Claim | None) -> bool:
        """Whether to search among all: for a face without a claim, and beside a claim for a face that is clearly somebody else's."""
        return self.rules.threshold is not None and (claim is not None or passage.claimed is None)

    def _look(
        self,
        passage: Passage,
        sighting: Sighting,
        claim: Claim | None,
        nearest: Match,
        compare: Compare,
        permit: Permit,
        known: Known | None,
    ) -> Ruling | None:
        """Look at one passage: compare it with whom it claims or has claimed to be, else take what the search found (`nearest`)."""
        person = claim.person if claim is not None else passage.claimed
        match = nearest if person is None else Match(person, compare(passage.evidence.fused, person), -1.0)
        match = self._centred(passage.evidence.fused, match, known)
        passage.last, passage.looked_s = replace(sighting, match=match), sighting.at_s
        if claim is not None:
            return passage.verify(claim, match, nearest, self.rules, permit, sighting.captured_at)
        if person is not None:
            return passage.recheck(person, match, self.rules, permit, sighting.captured_at)
        return passage.weigh(sighting, match, self.rules, permit)

    def _centred(self, fused: Vector, match: Match, known: Known | None) -> Match:
        """The match with its centred similarity, where the rules ask for it. What else was found speaks against a claim as it is."""
        if self.rules.adapts is None or match.person is None:
            return match
        if known is None:
            return replace(match, centred=nan)
        away = self.cohort.centre(fused, known.common(), self.rules.adapts.strangers, self.rules.twin)
        return replace(match, centred=centred(fused, known.vectors_of(match.person), away))

    def _end(self, numbers: list[int]) -> list[Decision]:
        decisions = []
        for number in numbers:
            passage, claim = self.passages.pop(number, None), self.claims.leave(number, self.rules.pair is not None)
            if passage is None:
                continue
            if self.rules.adapts is not None and passage.evidence.good >= self.rules.min_frames:
                self.cohort.take(passage.evidence.fused, self.rules.twin)
            if passage.evidence.good >= self.rules.min_frames and passage.named is not None and _accepts(passage, passage.named):
                self.doubles.take(passage.named, passage.evidence.fused, self.rules.same)
            had_one = passage.ruling is not None
            failed = passage.mismatched(claim.person) if claim is not None else None
            ruling = passage.leave(self.rules) or failed
            self._give(number, passage)
            if ruling is not None:
                decisions.append(self._decision(passage, ruling, had_one))
        return decisions

    def _give(self, number: int, passage: Passage) -> None:
        """Hand the portrait over, if nobody knows the face. Where nobody is searched for, an enrolled person without a claim is unknown
        too, so there it means nothing."""
        if passage.ruling != NO_MATCH or self.rules.threshold is None or passage.best.image is None:
            return
        image = passage.best.give()
        if image is not None:
            self.strangers.append((number, image))

    def _decision(self, passage: Passage, ruling: Ruling, changes: bool) -> Decision:
        sighting = passage.last
        assert sighting is not None
        similarity = sighting.match.similarity if sighting.match is not None else None
        return Decision(
            self.gate,
            sighting.track,
            ruling.verdict,
            ruling.reason,
            ruling.person,
            similarity,
            sighting.number,
            sighting.at_s,
            sighting.captured_at,
            passage.faces,
            changes,
            claimed=passage.claimed is not None,
            liveness=passage.votes.verdict,
            centred=sighting.match.centred if sighting.match is not None else None,
        )


def _accepts(passage: Passage, person: str | None) -> bool:
    return passage.ruling is not None and person is not None and passage.ruling.accepts(person)
