"""Training on two devices is training on one: the same losses within rounding."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest

from tests.conftest import ROOT
from tests.trainer import faces
from trainer.learn import devices
from trainer.learn.stage import FitError
from trainer.recipes import reading

# The network with the fewest layers, because compiling is what takes the time.
RECIPE = (
    faces.SHORT.replace("[network]", '[network]\nkind = "article"')
    + """
[[stages]]
kind = "identify"
steps = 4
batch = 16
rate = 0.01
means = true
margin_form = "angle"
[[stages]]
kind = "triplets"
people = 4
images = 3
"""
)
STEPS = """
import json, sys
from pathlib import Path
from tests.trainer import faces
from tests.trainer.learn.test_devices import RECIPE
from trainer.learn import devices, stages, training
from trainer.learn.judge import Judge
from trainer.learn.stage import FitError
from trainer.models import networks
from trainer.recipes import reading

crops, val = faces.parts_of({"crops": Path(sys.argv[1]), "split": Path(sys.argv[2])})
recipe = reading.parse(RECIPE)
losses, shared = [], []
for count in (1, 2):
    with devices.spread(count):
        stage = stages.build(recipe, 0, crops, networks.fresh(recipe))
        average = stage.kept.get_weights()
        losses.append([training._step(stage, step, *stage.batch(step, step / 4), step / 4, average) for step in range(4)])
        shared.append(len(stage.model.trainable_variables[0].value.sharding.device_set))
        if count == 2:
            auc = Judge(recipe, val)(average)["auc"]
            pixels, targets = stage.batch(9, 1.0)
            try:
                training._step(stage, 9, pixels[:15], targets[:15], 1.0, average)
            except FitError as error:
                odd = error.message
print(json.dumps([losses, shared, auc, odd]))
"""


def test_two_devices_learn_what_one_learns(people: dict[str, Path]) -> None:
    pytest.importorskip("jax")
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    script = [sys.executable, "-W", "ignore", "-c", STEPS, str(people["crops"]), str(people["split"])]
    done = subprocess.run(script, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    (one, two), shared, auc, odd = json.loads(done.stdout.splitlines()[-1])
    assert shared == [1, 2]
    assert one == pytest.approx(two, rel=1e-4) and len(set(one)) == 4
    # The judge, whose batches are of any size, is not divided; a batch that cannot be divided is refused.
    assert 0 <= auc <= 1 and "15 crops cannot be divided among 2 devices" in odd


@pytest.mark.parametrize(
    ("backend", "found", "count", "message"),
    [
        ("tensorflow", 4, 2, "needs JAX"),
        ("jax", 2, 4, "JAX finds 2"),
        ("jax", 8, 5, "stages.0: 16 crops cannot be divided among 5 devices"),
        ("jax", 8, 8, "stages.1: 12 crops cannot be divided among 8 devices"),
    ],
)
def test_what_cannot_be_divided_is_refused(monkeypatch: pytest.MonkeyPatch, backend: str, found: int, count: int, message: str) -> None:
    monkeypatch.setattr(keras.backend, "backend", lambda: backend)
    monkeypatch.setattr(keras.distribution, "list_devices", lambda: [f"cpu:{place}" for place in range(found)])
    recipe = reading.parse(RECIPE)
    with pytest.raises(FitError, match=message):
        devices.check(recipe, count)
    devices.check(recipe, 1)
