"""How often a liveness model is wrong, in the words of ISO/IEC 30107-3.

APCER is the share of attacks taken for living faces, by kind of attack (the standard's *presentation attack instrument species*), and the
worst kind is what counts: an attacker chooses. BPCER is the share of living (*bona fide*) faces taken for attacks. A presentation of which
the gate sees no face well enough has no answer: it is in neither, and counted beside (APNRR, BPNRR).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from daemon.core.rates import wilson


@dataclass(frozen=True, slots=True)
class Share:
    """So many `of` how many; `low` and `high` are the ends of Wilson's 95 % interval."""

    count: int
    of: int

    @property
    def rate(self) -> float:
        """NaN of none."""
        return self.count / self.of if self.of else float("nan")

    @property
    def low(self) -> float:
        return wilson(self.count, self.of)[0]

    @property
    def high(self) -> float:
        return wilson(self.count, self.of)[1]


@dataclass(frozen=True, slots=True)
class Presentations:
    """The fused probability of every labelled presentation, None for one without an answer. `attacks` by kind."""

    living: Sequence[float | None]
    attacks: Mapping[str, Sequence[float | None]]

    def bpcer(self, threshold: float) -> Share:
        """Living faces taken for attacks at a threshold."""
        answers = _answers(self.living)
        return Share(sum(not answer >= threshold for answer in answers), len(answers))

    def apcer(self, threshold: float) -> dict[str, Share]:
        """Attacks of each kind taken for living faces at a threshold."""
        found = {kind: _answers(answers) for kind, answers in self.attacks.items()}
        return {kind: Share(sum(answer >= threshold for answer in answers), len(answers)) for kind, answers in found.items()}

    def worst(self, threshold: float) -> Share | None:
        """The APCER of the kind that fares best for the attacker, the larger upper end where rates are equal; None without an answer."""
        shares = [share for share in self.apcer(threshold).values() if share.of]
        return max(shares, key=lambda share: (share.rate, share.high), default=None)

    def threshold_for(self, apcer: float) -> float | None:
        """The least threshold at which no kind's APCER is above `apcer`; None where fewer than 1 / `apcer` presentations of some kind have
        an answer, or where it would have to be above 1. It was set with these presentations, and tells nothing of others."""
        kinds = [_answers(answers) for answers in self.attacks.values()]
        if not kinds or any(len(answers) * apcer < 1 for answers in kinds):
            return None
        # Just above the first probability of each kind that must be refused.
        least = max(sorted(answers, reverse=True)[int(apcer * len(answers) + 1e-9)] for answers in kinds)
        others = (1.0, *_answers(self.living), *(answer for answers in kinds for answer in answers))
        above = min((answer for answer in others if answer > least), default=None)
        return None if above is None else (least + above) / 2

    def unanswered(self) -> tuple[Share, dict[str, Share]]:
        """Presentations without an answer: of the living, and of each kind of attack."""
        return _none(self.living), {kind: _none(answers) for kind, answers in self.attacks.items()}


def _answers(given: Sequence[float | None]) -> list[float]:
    return [answer for answer in given if answer is not None]


def _none(given: Sequence[float | None]) -> Share:
    return Share(sum(answer is None for answer in given), len(given))
