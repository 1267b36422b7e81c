"""Site calibration: recordings of known people at a gate, to the file that raises its threshold."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from daemon import pipeline
from daemon.config import ConfigError
from daemon.core.decide import Gatekeeper, Rules
from daemon.core.match import NOBODY
from daemon.core.quality import Limits
from daemon.core.site import Site
from daemon.core.values import Frame

NOBODY_NEAR = 2.0
"""A threshold that no similarity reaches, so that a passage gets every look that a stranger's would get."""


def looks(
    frames: Iterable[Frame], detector: pipeline.Detector, limits: Limits, embedder: pipeline.Embeds, rules: Rules, lost_s: float
) -> npt.NDArray[np.float32]:
    """The fused vectors, float32 [looks, D], of the face that a recording shows longest: what a gate with these rules would search for."""
    keeper = Gatekeeper("site", replace(rules, threshold=NOBODY_NEAR), lost_s)
    found: dict[int, list[npt.NDArray[np.float32]]] = {}
    for frame in frames:
        view = pipeline.look(frame, detector, limits)
        (vectors,) = pipeline.embed([view], embedder)
        keeper.observe(view, vectors, lambda searched: [NOBODY] * len(searched), lambda person, now: None)
        for number, passage in keeper.passages.items():
            if passage.looked_s == view.at_s:
                found.setdefault(number, []).append(passage.evidence.fused)
    longest = max(found.values(), key=len, default=[])
    return np.array(longest, np.float32)


def text(site: Site, model: str) -> str:
    """The file, for a person to read before a gate uses it."""
    lines = [
        "# The threshold of this gate, from recordings made there (`ostiaryd calibrate`). Read it, then name it in",
        "# decision.site_calibration.",
        f"# {site.passages} passages of {site.people} people. It only ever raises the threshold of the model's card.",
        f"threshold = {site.threshold:.4f}",
        "# Vectors of another model have other similarities: with another bundle the file is refused.",
        f'model = "{model}"',
        "",
        "# Pairs so alike that they were left out, as twins or one person under two ids would be. Are they?",
        *(f"# {pair.a} and {pair.b}: {pair.similarity:.3f}" for pair in site.ignored),
        "# The most alike of those that count:",
        *(f"# {pair.a} and {pair.b}: {pair.similarity:.3f}" for pair in site.pairs[:5]),
    ]
    if site.own:
        lost = sum(own < site.threshold for own in site.own)
        lines += [f"# Nearest to themselves, worst passage first: {', '.join(f'{own:.3f}' for own in site.own[:5])}"]
        lines += [f"# With this threshold {lost} of {len(site.own)} rightful passages would not have been recognised."]
    return "\n".join(lines) + "\n"


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    threshold: float
    model: str


def read(path: Path, model: str) -> float:
    """The threshold of a site calibration made with this model. Raises ConfigError."""
    try:
        file = msgspec.toml.decode(path.read_bytes(), type=_File)
    except OSError as error:
        raise ConfigError(f"decision.site_calibration: {path}: {error.strerror}", "make one with `ostiaryd calibrate`") from None
    except msgspec.MsgspecError as error:
        raise ConfigError(f"decision.site_calibration: {path}: {error}", "make one with `ostiaryd calibrate`") from None
    if file.model != model:
        raise ConfigError(f"{path} was made with model {file.model}, not {model}", "calibrate anew: `ostiaryd calibrate`")
    if not 0 < file.threshold < 1:
        raise ConfigError(f"{path}: threshold = {file.threshold} is no usable similarity", "calibrate anew: `ostiaryd calibrate`")
    return file.threshold
