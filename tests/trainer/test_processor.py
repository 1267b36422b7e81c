"""A processor without AVX gets a line, not an illegal instruction."""

import os
import shutil
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from trainer import processor


@pytest.mark.parametrize("features", [{}, {"SSE2": True, "AVX": True}, {"NEON": True, "ASIMD": True}, {"SSE2": True}])
def test_processors_that_can(features: dict[str, bool]) -> None:
    processor.need_avx(features)


def test_one_that_cannot() -> None:
    with pytest.raises(processor.ProcessorError, match="no AVX"):
        processor.need_avx({"SSE2": True, "AVX": False, "AVX2": False})


def test_numpy_still_tells_what_this_one_has() -> None:
    assert processor._features(), "numpy has moved its list of features"
    processor.need_avx()


@pytest.mark.skipif(shutil.which("qemu-x86_64") is None, reason="needs qemu-user")
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_an_emulated_one_of_2010(backend: str) -> None:
    command = ["qemu-x86_64", "-cpu", "Westmere", sys.executable, "-m", "trainer", "fit", "--data", "crops", "--run", "run"]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "KERAS_BACKEND": backend}, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2 and "no AVX" in done.stderr and "hint: " in done.stderr and "Traceback" not in done.stderr, done
