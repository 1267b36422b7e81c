"""The rows of the page's tables: decisions, passages without a chart, and the settings that were decided by."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, fields, is_dataclass

from daemon.core.faces.quality import Limits
from daemon.core.passages.gatekeeper import Decision
from daemon.core.passages.rules import Rules
from daemon.core.values import Quality
from daemon.drawing.passage import Chip, address, chip
from daemon.drawing.trace import Trace
from daemon.drawing.words import clock, quality, reason, similarity
from daemon.pages.parts import Table


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision: when, in which frame, what and why; its similarity, and that minus the threshold."""

    passage: int
    at: str
    frame: int
    chip: Chip
    why: str
    similarity: str
    apart: str


@dataclass(frozen=True, slots=True)
class Uncharted:
    """A passage without a chart. `image` is the address of its face, or empty."""

    passage: int
    image: str
    seen: str
    frames: str
    quality: str
    nearest: str
    answer: str


def decided(decisions: Iterable[Decision], first_s: float, rules: Rules) -> list[Decided]:
    """Decisions in the order given. Times count from `first_s`."""
    return [_decided(decision, first_s, rules.threshold) for decision in decisions]


def uncharted(traces: Iterable[Trace], first_s: float) -> list[Uncharted]:
    """Passages in the order given. Times count from `first_s`."""
    return [_uncharted(trace, first_s) for trace in traces]


def settings(rules: Rules, lost_s: float, limits: Limits) -> Table:
    """Everything that a replay was decided by, under the names of the configuration's keys."""
    rows = [(name.replace("decision.same", "same face (card)"), value) for name, value in _named("decision", rules)]
    rows.append(("decision.lost_s", f"{lost_s}"))
    rows += [(name.replace("quality.min_face_px", "detector.min_face_px"), value) for name, value in _named("quality", limits)]
    return Table(("setting", "value"), rows)


def _named(name: str, value: object) -> list[tuple[str, str]]:
    """A value under its name; one that has parts, part by part, so that a line is short enough for a phone."""
    if is_dataclass(value) and not isinstance(value, type):
        return [row for part in fields(value) for row in _named(f"{name}.{part.name}", getattr(value, part.name))]
    return [(name, f"{value:.5g}" if isinstance(value, float) else "none" if value is None else f"{value}")]


def _decided(decision: Decision, first_s: float, threshold: float | None) -> Decided:
    apart = decision.similarity - threshold if decision.similarity is not None and threshold is not None else None
    return Decided(
        decision.passage,
        clock(decision.at_s - first_s),
        decision.number,
        chip(decision),
        reason(decision.reason.value) + (" (replaces the earlier answer)" if decision.changes else ""),
        similarity(decision.similarity),
        similarity(apart, "+") if apart is not None else "",
    )


def _uncharted(trace: Trace, first_s: float) -> Uncharted:
    kinds = Counter("good" if m.quality is Quality.OK else quality(m.quality) for m in trace.moments)
    nearest = max((m.single for m in trace.moments if m.single is not None), key=lambda match: match.similarity, default=None)
    portrait = trace.portraits.get("most") or trace.portraits.get("decided")
    return Uncharted(
        trace.passage,
        address(portrait) if portrait is not None else "",
        f"{clock(trace.moments[0].at_s - first_s)} – {clock(trace.moments[-1].at_s - first_s)}",
        f"{len(trace.moments):,}",
        ", ".join(f"{number} {name}" for name, number in kinds.most_common()),
        f"{nearest.person or 'nobody'} {similarity(nearest.similarity)}" if nearest is not None else "–",
        "; ".join(f"{d.verdict.value}: {reason(d.reason.value)}" for d in trace.decisions) or "none",
    )
