"""Claims: "the next person at this gate is E1042". Badge and face: whoever shows both is compared with one person instead of with all.

A gate has one claim at a time, and a newer claim replaces an older one. One passage takes the claim: the one that is alone in view, has
been seen well, and is nobody else's. How a claim ends is its `End`, whether a passage took it or not; only `verified` opens.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf, isfinite
from typing import Literal

from daemon.core.values import Reason, Vector

Mode = Literal["identify", "verify", "both"]
"""Whom a gate compares a face with. `identify`: everybody. `verify`: the person whom a claim names; nobody without a claim. `both`: the
person whom a claim names; everybody without a claim."""

LONGEST_S = 60.0
"""How long a claim may stand at most: within this time whoever showed the badge should be there, and nobody else."""

End = Literal[
    "verified", "forbidden", "mismatch", "lapsed", "several_faces", "replaced", "barred", "camera_lost", "model_changed", "gate_closed"
]
"""How a claim ended. The face was the person's, who may pass (`verified`) or may not (`forbidden`); or it was not theirs (`mismatch`). Or
nobody took the claim in time (`lapsed`); more than one face was in view; a newer claim replaced it; the person was revoked, suspended or
given another face (`barred`); the gate lost its camera, or the camera's time stepped back; the gate has another model; or the gate can no
longer compare anybody (`gate_closed`)."""

Compare = Callable[[Vector, str], float]
"""A unit vector, float32 [D], and a person, to the best similarity to that person's templates; -1 or NaN where there is none."""


def nobody(vector: Vector, person: str) -> float:
    """A `Compare` for gates that take no claims."""
    return -1.0


@dataclass(slots=True)
class Claim:
    """The next passage is `person`'s, from `since_s` until just before `until_s` (the clock of the frames). `passage` is the number of the
    one that took the claim; `looks` counts how often it was compared."""

    person: str
    since_s: float
    until_s: float
    passage: int | None = None
    looks: int = 0

    def concerns(self, at_s: float) -> bool:
        """Whether a frame of that time was taken after the claim was made: what was seen before says nothing about who came next."""
        return at_s >= self.since_s

    def over(self, at_s: float) -> bool:
        """Whether the claim's time is up. Written so that NaN is over."""
        return not at_s < self.until_s

    def compared(self, similarity: float, recognised: str | None, pair: float | None, max_looks: int) -> bool | None:
        """Whether the face is the person's, after one more look. None while that is open; after `max_looks` it is not.

        `recognised` is whom a search among all people found clearly, if there was a search. It can only speak against the claim: a face
        that is clearly somebody else's is not the person's, however alike the two are.
        """
        self.looks += 1
        if recognised not in (None, self.person):
            return False
        if pair is not None and isfinite(similarity) and similarity >= pair:
            return True
        return False if self.looks >= max_looks else None


def seconds_left(seconds: float, issued_at: float, now: float) -> float:
    """How long a claim of `seconds` still stands if it was issued at `issued_at` and arrived at `now` (UTC seconds). At most LONGEST_S.

    Its time runs from the earlier of the two. So neither a command that took long to arrive nor a sender's fast clock makes it longer.
    """
    left = min(seconds, LONGEST_S) - max(0.0, now - issued_at)
    return left if left > 0 else 0.0


@dataclass(slots=True)
class Claims:
    """The claim that stands at one gate, if any: no passage has taken it yet, or the one that has is being compared. `ended` lists whose
    claims ended and how, since it was last emptied."""

    standing: Claim | None = None
    ended: list[tuple[str, End]] = field(default_factory=list)
    _met_s: float = -inf

    def present(self, person: str, since_s: float, until_s: float) -> None:
        """Somebody claims that the next passage is this person's. Times are on the clock of the frames."""
        self.end("replaced")
        self.standing = Claim(person, since_s, until_s)

    def end(self, ending: End) -> None:
        """End the claim that stands, if there is one: no passage can take it any more."""
        if self.standing is not None:
            self.ended.append((self.standing.person, ending))
            self.standing = None

    def forget(self, person: str) -> None:
        """Somebody was revoked, suspended or given another face."""
        if self.standing is not None and self.standing.person == person:
            self.end("barred")

    def meet(self, at_s: float, faces: int, can_verify: bool) -> Claim | None:
        """Take a frame that shows `faces` faces, and end the claim if it must end. Returns the claim if its time ran out while a passage
        was compared with it: the gate looked at that face, and it did not turn out to be the person's."""
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
            self.end("several_faces")  # nobody can say which of them the claim belongs to
        return None

    def leave(self, passage: int, can_verify: bool) -> Claim | None:
        """A face has left: end the claim that its passage was compared with. Returns the claim, if the gate can still answer it."""
        claim = self.standing
        if claim is None or claim.passage != passage:
            return None
        self.end("mismatch" if can_verify else "gate_closed")
        return claim if can_verify else None

    def settle(self, reason: Reason) -> None:
        """The passage that took the claim has its answer, for this reason."""
        self.end("verified" if reason is Reason.VERIFIED else "mismatch" if reason is Reason.CLAIM_MISMATCH else "forbidden")
