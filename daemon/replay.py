"""Recorded frames in, decisions out: one thread, one frame at a time, no clock.

The same recording, bundle and policy give the same bytes.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from daemon import pipeline
from daemon.core.decide import Decision, Gatekeeper
from daemon.core.liveness import Lives
from daemon.core.quality import Limits
from daemon.core.values import Frame, Liveness, Reason, Vector, View

Permit = Callable[[str, float], Reason | None]
Watch = Callable[[Frame, View, Sequence[Vector | None]], None]
"""Takes a frame, its view and its vectors, when the frame has been decided about."""


def replay(
    frames: Iterable[Frame],
    detector: pipeline.Detector,
    limits: Limits,
    embedder: pipeline.Embeds,
    gallery: pipeline.Searches,
    keeper: Gatekeeper,
    permit: Permit,
    watch: Watch | None = None,
    lives: Lives | None = None,
) -> Iterator[Decision]:
    """Walk the line over `frames`, in order, every one of them. `watch` is called after a frame's decisions have been taken."""
    for frame in frames:
        view = pipeline.look(frame, detector, limits, liveness=lives is not None)
        (vectors,) = pipeline.embed([view], embedder)
        yield from keeper.observe(view, vectors, gallery.search, permit, lives=lives)
        if watch is not None:
            watch(frame, view, vectors)
    yield from keeper.finish()


def line(decision: Decision) -> str:
    """One decision as a line of JSON, with what a golden file compares: no time and no id that differs between runs.
    What nobody looked at (liveness) is not in it."""
    liveness = {} if decision.liveness is Liveness.NOT_EVALUATED else {"liveness": decision.liveness.value}
    return msgspec.json.encode(
        {
            "frame": decision.number,
            "passage": decision.passage,
            "decision": decision.verdict.value,
            "reason": decision.reason.value,
            "person": decision.person,
            "similarity": round(decision.similarity, 3) if decision.similarity is not None else None,
            "changes": decision.changes,
            **liveness,
        }
    ).decode()
