"""Everything together as deploy/README.md sets it up: broker with logins, gate, desk with a key, and the lock."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.conftest import ROOT
from tests.fixtures.deployed import deployed
from tests.fixtures.mosquitto import Mosquitto
from tests.fixtures.running import daemon_running, ostiaryd

skimage_data = pytest.importorskip("skimage.data")
CTL = [sys.executable, "-m", "daemon.ctl"]


@pytest.fixture
def broker_with_roles(tmp_path: Path, mosquitto_installed: None) -> Iterator[Mosquitto]:
    with deployed(tmp_path) as running:
        yield running


class Site:
    """Site acme with gate north, at which the astronaut of scikit-image stands, and a desk with a key."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port
        image = cv2.resize(skimage_data.astronaut()[:, :, ::-1], (480, 480))
        (folder / "frames").mkdir()
        for number, noise in enumerate(np.random.default_rng(1).normal(0, 3, (75, *image.shape))):
            cv2.imwrite(str(folder / "frames" / f"{number:03}.jpg"), np.clip(image + noise, 0, 255).astype(np.uint8))
        cv2.imwrite(str(folder / "photo.jpg"), skimage_data.astronaut()[:, :, ::-1])
        for login in ("gate-north", "hr", "admin", "door-north"):
            (folder / login).write_text(f"secret of {login}\n")
        made = subprocess.run([*CTL, "keygen", "--out", str(folder / "hr-1.key")], cwd=ROOT, capture_output=True, text=True, check=True)
        table = made.stdout[made.stdout.index("[commands.keys") :]
        (folder / "config.toml").write_text(
            f'site = "acme"\nstate_dir = "{folder}/state"\n[gates.north]\nsource = "{folder}/frames"\n'
            f'[mqtt]\nport = {port}\nusername = "gate-{{gate}}"\npassword_file = "{folder}/gate-{{gate}}"\n[metrics]\nport = 0\n{table}'
        )

    def ctl(self, login: str, *arguments: str, timeout_s: float = 30) -> Any:
        """What ostiaryctl says under a login, as JSON."""
        where = ["--port", str(self.port), "--site", "acme", "--gate", "north", "--json", "--timeout", str(timeout_s)]
        command = [*CTL, *arguments, *where, "--username", login, "--password-file", str(self.folder / login)]
        said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
        return json.loads(said.stdout.splitlines()[-1])


@pytest.mark.broker
def test_a_signed_enrolment_and_what_the_others_may_not(tmp_path: Path, broker_with_roles: Mosquitto) -> None:
    site = Site(tmp_path, broker_with_roles.port)
    photo, key = ["--image", str(tmp_path / "photo.jpg")], ["--key", str(tmp_path / "hr-1.key")]
    with daemon_running(tmp_path / "config.toml"):
        assert site.ctl("hr", "enroll", "E1", *photo)["reason"] == "unsigned"
        assert site.ctl("admin", "enroll", "E1", *photo)["reason"] == "unsigned"
        done = site.ctl("hr", "enroll", "E1", *photo, *key)
        assert (done["status"], done["key"]) == ("done", "hr-1")
        assert "error" in site.ctl("door-north", "revoke", "E1", *key, timeout_s=2), "the broker takes nothing from a lock"
        assert site.ctl("hr", "status", timeout_s=5)["commands"] == "signed"


@pytest.mark.broker
def test_the_lock_opens_when_the_gate_recognises_somebody(tmp_path: Path, broker_with_roles: Mosquitto) -> None:
    site = Site(tmp_path, broker_with_roles.port)
    with daemon_running(tmp_path / "config.toml"):
        site.ctl("hr", "enroll", "E1", "--image", str(tmp_path / "photo.jpg"), "--key", str(tmp_path / "hr-1.key"))
        public = site.ctl("hr", "status", timeout_s=5)["public_key"]
    lock = subprocess.Popen(
        [
            sys.executable, str(ROOT / "deploy" / "lock_controller.py"), "--port", str(site.port), "--site", "acme", "--gate", "north",
            "--gate-key", public, "--state", str(tmp_path / "lock.json"), "--open", f"touch {tmp_path}/opened",
            "--username", "door-north", "--password-file", str(tmp_path / "door-north"),
        ],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert lock.stdout is not None and lock.stdout.readline().startswith("listening")
        played = ostiaryd("run", "--config", tmp_path / "config.toml", "--until-end")
        assert played.returncode == 0, played.stderr
        deadline = time.monotonic() + 10
        while not (tmp_path / "opened").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert (tmp_path / "opened").exists()
    finally:
        lock.kill()
        lock.communicate()
