"""What the processor must have before TensorFlow or JAX is imported: without AVX they end the process without a word."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

from daemon.core.faults import Fault


class ProcessorError(Fault):
    """This processor cannot run the trainer; `message` and `hint` are one line each."""


def need_avx(features: Mapping[str, bool] | None = None) -> None:
    """Raises ProcessorError on an x86 processor (or an emulated one) without AVX. `features` are those of this processor, as numpy asks the
    processor itself; /proc/cpuinfo shows the machine's even to an emulated program. Where numpy does not say, nothing is raised."""
    found = _features() if features is None else features
    if found.get("SSE2", False) and not found.get("AVX", True):
        raise ProcessorError(
            "this processor has no AVX, which TensorFlow and JAX need",
            "train on another machine (x86 of 2011 or later; in a virtual machine, pass the host's processor through); a gate needs none",
        )


def _features() -> Mapping[str, bool]:
    try:
        # numpy's own list, which `numpy.show_runtime` prints
        return dict(importlib.import_module("numpy._core._multiarray_umath").__cpu_features__)
    except (ImportError, AttributeError):
        return {}
