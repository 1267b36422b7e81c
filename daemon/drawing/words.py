"""The words of a replay's page: times, states, reasons and similarities, for people who did not write the rules."""

from daemon.core.passages.traces import State
from daemon.core.values import Quality, Verdict

STATES = {
    State.ACCEPT: ("✓", "accepted"),
    State.REJECT: ("✕", "rejected"),
    State.UNKNOWN: ("?", "unknown"),
    State.GATHERING: ("…", "gathering evidence"),
    State.POOR: ("–", "frame too poor to be scored"),
}
"""A sign and a word for each, so that nothing depends on a colour alone."""

VERDICTS = {Verdict.ACCEPT: State.ACCEPT, Verdict.REJECT: State.REJECT, Verdict.UNKNOWN: State.UNKNOWN}

REASONS = {
    "matched": "recognised",
    "verified": "recognised as the claimed person",
    "suspended": "recognised, but suspended",
    "unconfirmed": "recognised, but only by photos that no camera has confirmed",
    "expired": "recognised, but no longer valid",
    "not_yet_valid": "recognised, but not valid yet",
    "not_permitted_here": "recognised, but not permitted at this gate",
    "not_permitted_now": "recognised, but not permitted at this time",
    "clock_untrusted": "recognised, but a time rule applies and the clock is not trusted",
    "claim_mismatch": "not the claimed person",
    "spoof_suspected": "possibly not a living face",
    "ambiguous": "two enrolled people are too similar to tell apart",
    "no_match": "no enrolled person is similar enough",
    "unscorable": "stayed, but was never seen well enough to be scored",
}
"""By the reason codes of the MQTT contract."""


def reason(value: str) -> str:
    """A reason code in words. An unknown code stays as it is."""
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


def similarity(value: float | None, sign: str = "") -> str:
    """A similarity, or the difference of two with `sign` "+"."""
    return "–" if value is None else f"{value:{sign}.3f}".replace("-", "−")


def quality(value: Quality) -> str:
    """Why a frame is poor: too bright, too small."""
    return value.value.replace("_", " ")
