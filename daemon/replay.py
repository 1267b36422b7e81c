"""Recorded frames in, decisions out: one thread, one frame at a time, no clock.

The same recording, bundle and policy give the same bytes.
"""

from collections.abc import Callable, Iterable, Iterator

import msgspec

from daemon import pipeline
from daemon.core.decide import Decision, Gatekeeper
from daemon.core.quality import Limits
from daemon.core.values import Frame, Reason

Permit = Callable[[str, float], Reason | None]


def replay(
    frames: Iterable[Frame],
    detector: pipeline.Detector,
    limits: Limits,
    embedder: pipeline.Embeds,
    gallery: pipeline.Searches,
    keeper: Gatekeeper,
    permit: Permit,
) -> Iterator[Decision]:
    """Walk the line over `frames`, in order, every one of them."""
    for frame in frames:
        view = pipeline.look(frame, detector, limits)
        (vectors,) = pipeline.embed([view], embedder)
        yield from keeper.observe(view, vectors, gallery.search, permit)
    yield from keeper.finish()


def line(decision: Decision) -> str:
    """One decision as a line of JSON, with what a golden file compares: no time and no id that differs between runs."""
    return msgspec.json.encode(
        {
            "frame": decision.number,
            "passage": decision.passage,
            "decision": decision.verdict.value,
            "reason": decision.reason.value,
            "person": decision.person,
            "similarity": round(decision.similarity, 3) if decision.similarity is not None else None,
            "changes": decision.changes,
        }
    ).decode()
