"""Claims: "the next person at this gate is E1042". Badge and face: whoever shows both is compared with one person instead of with all.

A gate has one claim at a time, and a newer one takes the place of an older one. It is taken by one passage: the one that is alone in view,
has been seen well, and is nobody else's. What a claim may end by, whether it has been taken or not, is an `End`; only `verified` opens.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf, isfinite
from typing import Literal

from daemon.core.values import Reason, Vector

Mode = Literal["identify", "verify", "both"]
"""Whom a gate compares a face with: everybody; whom a claim names, or else nobody; whom a claim names, or else everybody."""

LONGEST_S = 60.0
"""So long a claim may stand: who showed the badge should be there by then, and nobody else."""

End = Literal[
    "verified", "forbidden", "mismatch", "lapsed", "several_faces", "replaced", "barred", "camera_lost", "model_changed", "gate_closed"
]
"""How a claim ended. The face was the person's, who may pass (`verified`) or not (`forbidden`), or it was not (`mismatch`). Or nobody took
it in time; more than one face was in view; a newer one came; the person was revoked, suspended or given another face; the gate has no
camera any more (or one whose time stepped back), another model, or nothing to compare by."""

Compare = Callable[[Vector, str], float]
"""A unit vector, float32 [D], and a person, to the best similarity to that person's templates; -1 or NaN where there is none."""


def nobody(vector: Vector, person: str) -> float:
    """For gates that take no claims."""
    return -1.0


@dataclass(slots=True)
class Claim:
    """The next passage is `person`'s, from `since_s` until before `until_s` (the clock of the frames). `passage` is the one that took it,
    `looks` how often it was compared."""

    person: str
    since_s: float
    until_s: float
    passage: int | None = None
    looks: int = 0

    def concerns(self, at_s: float) -> bool:
        """Whether a frame of that time is of after the claim: what was seen before says nothing about who came next."""
        return at_s >= self.since_s

    def over(self, at_s: float) -> bool:
        """Whether its time is up. Written so that NaN is over."""
        return not at_s < self.until_s

    def compared(self, similarity: float, recognised: str | None, pair: float | None, most: int) -> bool | None:
        """Whether the face is the person's, after one more look; None while that is open, for `most` looks at the most.

        `recognised` is who the search among all found, where there was one. It can only speak against the claim: a face that is clearly
        somebody else's is not the person's, however alike the two are.
        """
        self.looks += 1
        if recognised not in (None, self.person):
            return False
        if pair is not None and isfinite(similarity) and similarity >= pair:
            return True
        return False if self.looks >= most else None


def seconds_left(seconds: float, issued_at: float, now: float) -> float:
    """How long a claim that was issued at `issued_at` and came at `now` (UTC seconds) still stands: its time runs from the earlier of the
    two, so that neither a command that was long under way nor a sender's clock that is ahead makes it longer. At most LONGEST_S."""
    left = min(seconds, LONGEST_S) - max(0.0, now - issued_at)
    return left if left > 0 else 0.0


@dataclass(slots=True)
class Claims:
    """The claim that stands at one gate: nobody has taken it yet, or the passage that has is being compared. `ended` says whose claims
    ended and how, since somebody last emptied it."""

    standing: Claim | None = None
    ended: list[tuple[str, End]] = field(default_factory=list)
    _met_s: float = -inf

    def present(self, person: str, since_s: float, until_s: float) -> None:
        """The next passage is this person's. Times are those of the frames."""
        self.end("replaced")
        self.standing = Claim(person, since_s, until_s)

    def end(self, how: End) -> None:
        """Nobody takes it any more."""
        if self.standing is not None:
            self.ended.append((self.standing.person, how))
            self.standing = None

    def forget(self, person: str) -> None:
        """Somebody was revoked, suspended or given another face."""
        if self.standing is not None and self.standing.person == person:
            self.end("barred")

    def meet(self, at_s: float, faces: int, can_verify: bool) -> Claim | None:
        """A frame with so many faces: ends the claim where it must. Returns one whose time was up while a passage was compared with it: it
        was looked at, and it was not the person."""
        claim, in_order, self._met_s = self.standing, at_s >= self._met_s, at_s
        if claim is not None and not in_order:
            self.end("camera_lost")  # its seconds mean nothing any more
            return None
        if claim is None or not claim.concerns(at_s):
            return None
        if not can_verify:
            self.end("gate_closed")
        elif claim.over(at_s):
            self.end("lapsed" if claim.passage is None else "mismatch")
            return claim if claim.passage is not None else None
        elif faces > 1:
            self.end("several_faces")  # whose it is, nobody can say
        return None

    def leave(self, passage: int, can_verify: bool) -> Claim | None:
        """A face has left: the claim that its passage was being compared with, which ends."""
        claim = self.standing
        if claim is None or claim.passage != passage:
            return None
        self.end("mismatch" if can_verify else "gate_closed")
        return claim if can_verify else None

    def settle(self, reason: Reason) -> None:
        """The passage that took it has its answer."""
        self.end("verified" if reason is Reason.VERIFIED else "mismatch" if reason is Reason.CLAIM_MISMATCH else "forbidden")
