"""Recorded frames in, decisions out: one thread, one frame at a time, no clock.

The same recording, bundle and policy give the same bytes.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from math import isfinite

import msgspec

from daemon.core.attention import Attention
from daemon.core.faces.quality import Judge
from daemon.core.passages.gatekeeper import Decision, Gatekeeper
from daemon.core.passages.liveness import Lives
from daemon.core.region import Region
from daemon.core.values import Frame, Liveness, Reason, Vector, View
from daemon.pipeline import steps

Permit = Callable[[str, float], Reason | None]
Watch = Callable[[Frame, View, Sequence[Vector | None]], None]
"""Takes a frame, its view and its vectors, when the frame has been decided about."""


def replay(
    frames: Iterable[Frame],
    detector: steps.Detector,
    attention: Attention,
    judge: Judge,
    embedder: steps.Embeds,
    gallery: steps.Searches,
    keeper: Gatekeeper,
    permit: Permit,
    watch: Watch | None = None,
    lives: Lives | None = None,
    region: Region | None = None,
) -> Iterator[Decision]:
    """Walk the line over `frames`, in order, every one of them. `watch` is called after a frame's decisions have been taken."""
    for frame in frames:
        view = steps.look(frame, detector, judge, attention=attention, region=region, liveness=lives is not None)
        (vectors,) = steps.embed([view], embedder, wanted=[keeper.wants(view)])
        yield from keeper.observe(view, vectors, gallery.search, permit, lives=lives, known=gallery)
        if watch is not None:
            watch(frame, view, vectors)
    yield from keeper.finish()


def _rounded(similarity: float | None) -> float | None:
    return round(similarity, 3) if similarity is not None and isfinite(similarity) else None


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
            "similarity": _rounded(decision.similarity),
            **({"centred": _rounded(decision.centred)} if decision.centred is not None else {}),
            "changes": decision.changes,
            **liveness,
        }
    ).decode()
