"""The whole daemon with a real broker and two real bundles: there, back again, and what a crash or a wrong bundle does."""

import json
import re
import signal
from pathlib import Path

import cv2
import numpy as np
import pytest

from daemon.edges.embedder import bundle_id
from daemon.edges.store import open_store
from daemon.pipeline.opening import DEFAULT_BUNDLE
from tests.fixtures.bundles import reversed_bundle
from tests.fixtures.running import configure, ctl, daemon_running, ostiaryd, result

skimage_data = pytest.importorskip("skimage.data")

FIRST = bundle_id(DEFAULT_BUNDLE)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a public-domain portrait that comes inside scikit-image, and a recording of two seconds of that person."""
    folder = tmp_path_factory.mktemp("scene")
    image = skimage_data.astronaut()[:, :, ::-1]
    cv2.imwrite(str(folder / "portrait.jpg"), image)
    (folder / "still").mkdir()
    noise, small = np.random.default_rng(1), cv2.resize(image, (480, 480))
    for number in range(50):
        cv2.imwrite(str(folder / "still" / f"{number:03}.jpg"), np.clip(small + noise.normal(0, 3, small.shape), 0, 255).astype(np.uint8))
    return folder


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return reversed_bundle(tmp_path_factory.mktemp("bundle") / "second.onnx")


def seen(config: Path, scene: Path) -> tuple[str, str]:
    """(whom a replay with the gate's own gallery accepts, with which model)"""
    again = ostiaryd("replay", scene / "still", "--config", config)
    assert again.returncode == 0, again.stderr
    found = re.search(r"model (\S+)", again.stderr)
    return json.loads(again.stdout.splitlines()[0])["person"] or "nobody", found[1] if found else ""


def said(config: Path) -> dict[str, object]:
    answer = result(ctl(config, "status", "--gate", "north"))
    assert isinstance(answer, dict)
    return answer


@pytest.mark.broker
def test_to_another_bundle_over_a_crash_and_back(tmp_path: Path, broker: int, scene: Path, second: Path) -> None:
    other = bundle_id(second)
    config = configure(tmp_path, broker, scene / "still", extra=f'[model]\nnext = "{second}"\n[commands]\ngrants = ["reembed"]\n')
    with daemon_running(config) as process:
        assert result(ctl(config, "enroll", "E1", "--image", scene / "portrait.jpg"))["status"] == "done"
        assert said(config)["model"] == FIRST
        refused = result(ctl(config, "reembed", "--model", "faces-000000000000"))
        assert refused["reason"] == "unknown_model" and other in str(refused["detail"])
        changed = result(ctl(config, "reembed"))
        assert changed["status"] == "done" and f"{other} serves: 1 template embedded" in str(changed["detail"]), changed
        assert said(config)["model"] == other
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    assert seen(config, scene) == ("E1", other)
    checked = " ".join(ostiaryd("check", "--config", config).stdout.split())
    assert f"✓ next model {other}" in checked and f"{other} serves" in checked, checked
    with daemon_running(config):
        assert said(config)["model"] == other and "other_model" not in str(said(config)["reasons"])
        back = result(ctl(config, "reembed"))
        assert "0 templates embedded, 1 already" in str(back["detail"]), back
        assert said(config)["model"] == FIRST
    assert seen(config, scene) == ("E1", FIRST)
    store = open_store(tmp_path / "state", read_only=True)
    assert [sorted(t.vectors) for t in store.templates()] == [sorted([FIRST, other])]
    (one,), (two,) = store.vectors(FIRST), store.vectors(other)
    assert np.allclose(one.vector, two.vector[::-1], atol=1e-5)
    store.close()


@pytest.mark.broker
def test_a_bundle_in_the_old_ones_place_knows_nobody_until_everybody_is_embedded(
    tmp_path: Path, broker: int, scene: Path, second: Path
) -> None:
    config = configure(tmp_path, broker, scene / "still", extra='[commands]\ngrants = ["reembed"]\n')
    with daemon_running(config):
        assert result(ctl(config, "enroll", "E1", "--image", scene / "portrait.jpg"))["status"] == "done"
    config.write_text(config.read_text() + f'[model]\nbundle = "{second}"\n')
    with daemon_running(config):
        assert "other_model: 1 template" in str(said(config)["reasons"])
        assert result(ctl(config, "reembed"))["status"] == "done"
        assert "other_model" not in str(said(config)["reasons"])
    assert seen(config, scene) == ("E1", bundle_id(second))


def test_a_next_bundle_that_cannot_be_used_is_one_line_a_hint_and_exit_78(tmp_path: Path, scene: Path) -> None:
    broken = reversed_bundle(tmp_path / "broken.onnx", truthful=False)
    for path, word in (("absent.onnx", "no such model file"), (broken, "golden check failed")):
        done = ostiaryd("run", "--config", configure(tmp_path, 1, scene / "still", extra=f'[model]\nnext = "{path}"\n'))
        lines = [line for line in done.stderr.splitlines() if not line.startswith("INFO")]
        assert done.returncode == 78 and len(lines) == 2 and word in lines[0] and lines[1].startswith("  hint: "), done.stderr
