"""What a replay says in words: times, states and reasons, for people who did not write the rules."""

from daemon.core.passages.traces import State
from daemon.core.values import Verdict

STATES = {
    State.ACCEPT: ("✓", "accepted"),
    State.REJECT: ("✕", "rejected"),
    State.UNKNOWN: ("?", "unknown"),
    State.GATHERING: ("…", "gathering evidence"),
    State.POOR: ("–", "frame too poor to be scored"),
}
"""A sign and a word for each, so that nothing hangs on a colour."""

VERDICTS = {Verdict.ACCEPT: State.ACCEPT, Verdict.REJECT: State.REJECT, Verdict.UNKNOWN: State.UNKNOWN}

REASONS = {
    "matched": "recognised",
    "verified": "the claim presented holds",
    "suspended": "recognised, but suspended",
    "expired": "recognised, but no longer valid",
    "not_yet_valid": "recognised, but not valid yet",
    "not_permitted_here": "recognised, but not permitted at this gate",
    "not_permitted_now": "recognised, but not permitted at this time",
    "clock_untrusted": "recognised, but a rule of time applies and the clock is not in step",
    "claim_mismatch": "not the person who was claimed",
    "spoof_suspected": "perhaps not a living face",
    "ambiguous": "two people are too close to tell apart",
    "no_match": "nobody enrolled is near enough",
    "unscorable": "stayed, but was never seen well enough",
}
"""By the words of the contract, those to come among them."""


def reason(value: str) -> str:
    """A reason in words; one that has none yet, as it is."""
    return REASONS.get(value, value.replace("_", " "))


def clock(at_s: float, digits: int = 2) -> str:
    """A time from the start of a recording: 0:01.23, 1:02:03.45."""
    parts = 10**digits
    total = round(at_s * parts)
    seconds, rest = divmod(abs(total), parts)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    whole = f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
    return f"{'-' if total < 0 else ''}{whole}{f'.{rest:0{digits}}' if digits else ''}"


def count(number: int, one: str, many: str | None = None) -> str:
    """1 frame, 2 frames."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
