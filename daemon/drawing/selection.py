"""Which frames of a passage a chart shows: of a long passage only so many that the page opens at once."""

from collections.abc import Sequence
from itertools import pairwise
from math import nan

from daemon.core.passages.traces import Moment
from daemon.pages.svg import thinned

MAX_SEARCHES = 40


def shown(moments: Sequence[Moment], decided: set[int], limit: int) -> list[int]:
    """The places of about `limit` moments: all of a short passage; else the lowest and highest of each stretch, and those that mean
    something. `decided` are the numbers of the frames that were decided on."""
    single = thinned([m.single.similarity if m.single else nan for m in moments], limit // 2, lambda i: moments[i].number in decided)
    fused = thinned([m.fused.similarity if m.fused else nan for m in moments], limit // 4)
    asides = [place for place, moment in enumerate(moments) if moment.aside]
    return sorted({*single, *fused, *_some(asides, limit // 8), *searches(moments)})


def searches(moments: Sequence[Moment]) -> list[int]:
    """The places where the gate searched the gallery. It does so once a second, so a recording of hours has too many to mark."""
    return _some([place for place, moment in enumerate(moments) if moment.looked], MAX_SEARCHES)


def visits(moments: Sequence[Moment], apart_s: float) -> list[int]:
    """For each moment the number of the visit that it belongs to: a face that was gone for longer than `apart_s` is on its next visit."""
    found = [0]
    for before, moment in pairwise(moments):
        found.append(found[-1] + (not 0 <= moment.at_s - before.at_s <= apart_s))
    return found


def _some(places: Sequence[int], limit: int) -> list[int]:
    return [places[i] for i in thinned([0.0] * len(places), limit)]
