"""The report's headline: figures in words, and what they mean for a gate."""

from __future__ import annotations

import re

from daemon.core.bundle import Figure
from daemon.core.counts import counted, persons
from trainer.measure import koch
from trainer.measure.same import plural, some
from trainer.reports.drawing import percent
from trainer.reports.measure import Report
from trainer.reports.verification import Gate

NAMES = {
    "accuracy": "accuracy (10-fold)", "auc": "AUC", "eer": "EER",
    "distance:same": "mean distance, one person", "distance:other": "mean distance, two people",
    f"accuracy@pairs={koch.PAIRS}": "verification accuracy (Koch 2015)",
} | {
    f"tar@{fmr:.0e}": f"TAR at FMR {percent(fmr)}" for fmr in (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
}  # fmt: skip


def spoken(name: str) -> str:
    """A figure's name as it is printed: `fnir@fpir=1e-01,n=10` is FNIR at FPIR 10 %, N = 10. A name of another form stays as it is."""
    found = re.fullmatch(r"(fnir|misidentified)@fpir=([0-9e.+-]+),n=(\d+)", name)
    if found is None:
        ranked, shot = re.fullmatch(r"rank-(\d+),n=(\d+)", name), re.fullmatch(r"one-shot-(\d+)-way", name)
        if ranked is not None:
            return f"within rank {ranked[1]} of {int(ranked[2]):,}" if ranked[1] != "1" else f"rank 1 of {int(ranked[2]):,}"
        return f"{shot[1]}-way one-shot" if shot is not None else NAMES.get(name, name)
    what = "FNIR" if found[1] == "fnir" else "misidentified"
    return f"{what} at FPIR {percent(float(found[2]))}, N = {found[3]}"


def rate(share: float) -> str:
    """A share in per cent: one decimal, below 1 % two digits, and close to 100 % enough digits to show that it is less than 100 %."""
    if 0 < share < 0.01:
        return f"{float(f'{100 * share:.2g}'):.10f}".rstrip("0").rstrip(".") + "\N{NO-BREAK SPACE}%"
    digits = next((digits for digits in (1, 2, 3, 4) if share == 1 or round(share, digits + 2) < 1), 5)
    return f"{100 * share:.{digits}f}\N{NO-BREAK SPACE}%"


def interval(low: float | None, high: float | None) -> str:
    """An interval of shares in brackets, never broken over lines, or an empty text."""
    return "" if low is None or high is None else f"({100 * low:.1f}\N{WORD JOINER}–\N{WORD JOINER}{100 * high:.1f})"


def tiles(report: Report) -> list[tuple[str, str, str]]:
    """(name, value, interval) of the figures that matter, of people also at a gate; "not resolvable" where these people cannot show one."""
    chosen = strictest(report)
    equal = next((figure for figure in report.verification.figures if figure.name == "eer"), None) if report.verification else None
    shown = [_tile(f"Recognised at {NAMES[chosen.name][7:]}" if chosen else "Recognised at FMR 0.1 %", chosen)]
    shown += [_tile("Equal error rate", equal)]
    if report.noun != "person":
        return shown
    gate = report.gate
    at_gate = f"Recognised at the threshold for {persons(gate.people)}, FPIR {percent(gate.fpir)}"
    return [*shown, _tile(at_gate, Figure("", gate.tar, gate.low, gate.high, report.on) if gate.tar is not None else None)]


def strictest(report: Report) -> Figure | None:
    """TAR at FMR 0.1 %, or at the next higher FMR that these people can show."""
    names = ("tar@1e-03", "tar@1e-02", "tar@1e-01")
    figures = {figure.name: figure for figure in report.verification.figures} if report.verification else {}
    return next((figures[name] for name in names if name in figures and figures[name].value is not None), None)


def headline(report: Report) -> list[str]:
    """What was measured, and what to expect of it at a gate."""
    chosen, many = strictest(report), plural(report.noun)
    if report.verification is None:
        first = f"Nothing can be measured on {report.on}: rates need two {many}, and one of them with two pictures."
    elif chosen is None or chosen.value is None:
        pairs = counted(report.verification.impostor, "pair")
        first = f"{pairs} of two {many} in {report.on}: too few even for a false match rate of 10 %."
    else:
        first = (
            f"On {some(report.noun, report.people)} ({report.on}), {rate(chosen.value)} of the pairs of one {report.noun} are recognised "
            f"where {NAMES[chosen.name][11:]} of the pairs of two {many} are taken for one."
        )
    return [first, *_gate(report.gate)] if report.noun == "person" else [first]


def _gate(gate: Gate) -> list[str]:
    asked = f"a gate of {persons(gate.people)} that may take {percent(gate.fpir)} of strangers' tries for somebody enrolled"
    if gate.threshold is None:
        return [f"For {asked}, no threshold is known: neither the card nor these people can resolve it. Such a gate stays closed."]
    source = "the card asks" if gate.basis == "card" else "these people, by the rule FPIR ≈ N · FMR, ask"
    if gate.tar is None or gate.fmr is None:
        return [
            f"For {asked}, {source} for a similarity of {gate.threshold:.3f}; what share of rightful tries reaches it was not measured."
        ]
    strangers = (
        f"Of the pairs of two people here {rate(gate.fmr)} reach it: about {rate(1 - (1 - gate.fmr) ** gate.people)} of strangers' tries "
        f"at {counted(gate.people, 'template')}."
        if gate.fmr > 0
        else "No pair of two people here reaches it."
    )
    failing = round(100 * (1 - gate.tar))
    return [
        f"For {asked}, {source} for a similarity of {gate.threshold:.3f}. One picture against one enrolled picture reaches it in "
        f"{rate(gate.tar)} {interval(gate.low, gate.high)} of rightful tries: about {failing} of 100 fail. {strangers}",
        "A passage has several frames and a person can be enrolled with several pictures, so a gate does better than a single pair; its "
        "camera and light make people more alike, so it does worse than photographs. Measure at the gate before relying on either.",
    ]


def _tile(name: str, figure: Figure | None) -> tuple[str, str, str]:
    if figure is None or figure.value is None:
        return name, "not resolvable", ""
    return name, rate(figure.value), f"95 %: {100 * (figure.low or 0):.1f}–{100 * (figure.high or 0):.1f} %"
