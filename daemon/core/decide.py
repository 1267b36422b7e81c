"""Sightings to one answer per passage: votes over frames, a threshold, a margin over everybody else, and who may pass.

A passage is a track's life. Each scored frame casts one vote: for a person (near enough, and clear of the runner-up), for *ambiguous*
(near enough, but two people are about equally near) or for *nobody*. The first answer comes as soon as `votes` of the last `window` agree,
and none of them names somebody else, or after `patience` scored frames that found nobody. A later answer replaces it only if it differs,
and then says so. A passage that was one person's never becomes another's: one face is one person, and which of the two is doubtful.
"""

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from math import isfinite

from daemon.core.tracks import Tracker
from daemon.core.values import Match, Quality, Reason, Sighting, Verdict, View

AMBIGUOUS = "?"
"""A vote that is no person's id: ids begin with a letter or a digit."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What an answer needs. `threshold` None closes the gate: nothing is voted on."""

    threshold: float | None
    margin: float
    votes: int
    window: int
    patience: int


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


Answer = tuple[Verdict, Reason, str | None]
Permit = Callable[[str, float], Reason | None]
"""(person, UTC seconds) to the reason that forbids them, or None."""


def vote(match: Match, rules: Rules) -> str | None:
    """A person's id, AMBIGUOUS, or None for nobody. Written so that NaN is nobody."""
    if rules.threshold is None or match.person is None or not isfinite(match.similarity):
        return None
    if not match.similarity >= rules.threshold:
        return None
    return match.person if match.similarity - match.rival >= rules.margin else AMBIGUOUS


@dataclass(slots=True)
class Passage:
    """The evidence about one face while it is in view."""

    recent: deque[str | None]
    seen: int = 0
    scored: int = 0
    answer: Answer | None = None
    named: str | None = None
    last: Sighting | None = None

    def weigh(self, sighting: Sighting, rules: Rules, permit: Permit) -> Answer | None:
        """Take one sighting; return the answer if there is a new one."""
        if rules.threshold is None:  # a closed gate takes no evidence
            return None
        self.seen += 1
        self.last = sighting
        if sighting.match is None:
            return None
        self.scored += 1
        self.recent.append(vote(sighting.match, rules))
        return self._settle(self._standing(rules, permit, sighting.captured_at))

    def close(self, rules: Rules) -> Answer | None:
        """The face has left: the answer it still owes, if enough of it was seen to owe one."""
        if self.answer is not None or rules.threshold is None:
            return None
        if self.scored >= rules.votes:
            return self._settle((Verdict.UNKNOWN, Reason.NO_MATCH, None))
        if self.seen >= rules.patience:
            return self._settle((Verdict.UNKNOWN, Reason.UNSCORABLE, None))
        return None

    def forget(self, person: str) -> None:
        """Drop the votes for somebody who was revoked or suspended: old evidence never admits them."""
        self.recent = deque((None if v == person else v for v in self.recent), maxlen=self.recent.maxlen)
        if self.named == person:
            self.named = None

    def begin_anew(self) -> None:
        """Drop everything that was seen: another model sees from now on. What was answered, and whose the passage was, is remembered: an
        answer is given once, and a passage never becomes another person's."""
        self.recent.clear()
        self.seen = self.scored = 0

    def _standing(self, rules: Rules, permit: Permit, now: float) -> Answer | None:
        """What the recent votes say, or None while they say nothing new."""
        named = Counter(vote for vote in self.recent if vote is not None and vote != AMBIGUOUS)
        nobody, doubtful = self.recent.count(None), self.recent.count(AMBIGUOUS)
        if len(named) == 1:
            ((person, count),) = named.items()
            if count >= self._needed(person, rules):
                if self.named not in (None, person):
                    return Verdict.REJECT, Reason.AMBIGUOUS, None
                self.named = person
                forbidden = permit(person, now)
                return (Verdict.ACCEPT, Reason.MATCHED, person) if forbidden is None else (Verdict.REJECT, forbidden, person)
        # A face that looks like two people is nobody's until it has looked like the first of them for a whole window.
        if doubtful >= rules.votes or (len(named) > 1 and named.total() + doubtful >= rules.votes):
            return Verdict.REJECT, Reason.AMBIGUOUS, None
        # A first "unknown" waits for patience; to take an answer back, the whole window must have lost it.
        if (self.answer is None and self.scored >= rules.patience) or (self.answer is not None and nobody == rules.window):
            return Verdict.UNKNOWN, Reason.NO_MATCH, None
        return None

    def _needed(self, person: str, rules: Rules) -> int:
        """How many votes a person needs: more where the passage has already been somebody else's, or two people's."""
        settled = self.answer is not None and self.answer[1] is not Reason.NO_MATCH and self.answer[2] != person
        return rules.window if settled else rules.votes

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

    def __post_init__(self) -> None:
        self.tracker = Tracker(self.lost_s)

    def observe(self, view: View, matches: list[Match | None], permit: Permit) -> list[Decision]:
        """What this frame decides. `matches` belongs to `view.probes`; None for a face too poor to be scored."""
        decisions = self.close(view.at_s)
        tracks = self.tracker.update([probe.face.box for probe in view.probes], view.at_s)
        for probe, match, track in zip(view.probes, matches, tracks, strict=True):
            scored = match if probe.quality is Quality.OK else None
            sighting = Sighting(track.number, view.number, view.at_s, view.captured_at, probe.face.box, probe.quality, scored)
            passage = self.passages.setdefault(track.number, Passage(deque(maxlen=self.rules.window)))
            had_one = passage.answer is not None
            answer = passage.weigh(sighting, self.rules, permit)
            if answer is not None:
                decisions.append(self._decision(sighting, answer, len(view.probes), had_one))
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
        """Somebody was revoked or suspended."""
        for passage in self.passages.values():
            passage.forget(person)

    def begin_anew(self) -> None:
        """Another model serves from now on."""
        for passage in self.passages.values():
            passage.begin_anew()

    def retract(self, decision: Decision) -> None:
        """A decision could not be made durable and was never published: the passage starts anew."""
        self.passages.pop(decision.passage, None)

    def _end(self, numbers: list[int]) -> list[Decision]:
        decisions = []
        for number in numbers:
            passage = self.passages.pop(number, None)
            answer = passage.close(self.rules) if passage is not None else None
            if passage is not None and passage.last is not None and answer is not None:
                decisions.append(self._decision(passage.last, answer, 0, False))
        return decisions

    def _decision(self, sighting: Sighting, answer: Answer, faces: int, changes: bool) -> Decision:
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
        )
