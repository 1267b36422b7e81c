"""What every way of finding faces has in common."""

from collections.abc import Callable
from dataclasses import dataclass

from daemon.core.values import Face, Image


@dataclass(frozen=True, slots=True)
class Finder:
    """One way of finding faces. `find` takes a BGR picture and the smallest side of a face that matters, in its pixels.

    A face of `wanted_px` is found about as reliably as a larger one, so a picture is scaled down until the smallest wanted face has this
    size; and further, where its longer side would be more than `longest_px`. Faces smaller than `least_share` of the longer side are not
    looked for. Pictures whose sides are multiples of `grid_px` cost the least.
    """

    find: Callable[[Image, float], list[Face]]
    wanted_px: float
    longest_px: int
    least_share: float = 0.0
    grid_px: int = 1
