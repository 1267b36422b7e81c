"""A passage in sentences."""

from collections import Counter
from math import isfinite

from daemon.core.counts import counted
from daemon.core.passages.gatekeeper import Decision
from daemon.core.passages.rules import Rules
from daemon.core.passages.traces import Moment
from daemon.core.values import Quality, Verdict
from daemon.drawing.trace import Trace
from daemon.drawing.words import STATES, VERDICTS, clock, quality, reason, similarity


def story(trace: Trace, first_s: float, rules: Rules) -> str:
    """What was seen of a passage, and what was decided about it and why. Times count from `first_s`."""
    moments = trace.moments
    poor = Counter(moment.quality for moment in moments if moment.quality is not Quality.OK)
    reasons = ", ".join(f"{number} {quality(why)}" for why, number in poor.most_common())
    bad = f", {poor.total()} too poor to be scored ({reasons})" if poor else ""
    looks = sum(moment.looked for moment in moments)
    said = [
        f"Seen from {clock(moments[0].at_s - first_s)} to {clock(moments[-1].at_s - first_s)} in {counted(len(moments), 'frame')}{bad}. "
        f"The gate searched {('never', 'once')[looks] if looks < 2 else f'{looks:,} times'}."
    ]
    aside = sum(moment.aside for moment in moments)
    if aside:
        said.append(f"{counted(aside, 'frame')} did not look like the same face and {'was' if aside == 1 else 'were'} set aside.")
    by_number = {moment.number: moment for moment in moments}
    said += [_decided(decision, by_number.get(decision.number), first_s, rules) for decision in trace.decisions]
    if not trace.decisions:
        said.append(f"There was no answer after {counted(max(moment.good for moment in moments), 'good frame')}.")
    return " ".join(said)


def _decided(decision: Decision, moment: Moment | None, first_s: float, rules: Rules) -> str:
    word = STATES[VERDICTS[decision.verdict]][1]
    named = f" as {decision.person}" if decision.person is not None and decision.verdict is Verdict.ACCEPT else ""
    after = f" on {counted(moment.good, 'good frame')}" if moment is not None else ""
    left = ", after the face had left" if moment is not None and moment.ruling is None else ""
    said = f"{word.capitalize()}{named} at {clock(decision.at_s - first_s)}{after}{left}: {reason(decision.reason.value)}."
    if decision.similarity is None or rules.threshold is None:
        return said
    apart = decision.similarity - rules.threshold
    near = f" Similarity {similarity(decision.similarity)}, {abs(apart):.3f} {'above' if apart >= 0 else 'below'} the threshold"
    match = moment.fused if moment is not None else None
    if match is None or match.rival <= -1 or not isfinite(match.rival):
        return f"{said}{near}."
    return f"{said}{near}; the next nearest person had {similarity(match.rival)}."
