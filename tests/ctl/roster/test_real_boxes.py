"""ostiaryctl roster with boxes that are real but for cameras and models."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.ctl import __main__ as ctl
from tests.fixtures.boxes import SITE, Box, Fleet, fleet

pytestmark = pytest.mark.broker
ALICE, BOB = 100, 140


@pytest.fixture
def site(mosquitto_installed: None, tmp_path: Path) -> Iterator[Fleet]:
    with fleet(tmp_path) as found:
        yield found


class Roster:
    """Runs `ostiaryctl roster` as the administrator of this fleet."""

    def __init__(self, site: Fleet, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._site, self._capsys, self.keys, self._key = site, capsys, folder / "fleet.toml", folder / "admin.key"
        self._key.touch(0o600)
        self._key.write_text(f"admin {base64.b64encode(site.admin.private_bytes_raw()).decode()}\n")
        assert self("init", "--out", str(self.keys))[0] == 0

    def __call__(self, *args: str, signed: bool = True) -> tuple[int, str]:
        key = ["--key", str(self._key)] if signed else []
        code = ctl.main(["--site", SITE, "--port", str(self._site.port), *key, "roster", *args])
        told = self._capsys.readouterr()
        return code, told.out + told.err

    def on_keys(self, *args: str) -> tuple[int, str]:
        return self(*args, "--keys", str(self.keys))

    def admit(self, *boxes: Box) -> None:
        for box in boxes:
            self._site.until(lambda one=box: one.status()["roster"]["standing"] == "no_key")  # type: ignore[misc]
            code, told = self.on_keys("admit", box.name, "--gate-key", box.public)
            assert code == 0, told


def test_from_new_keys_to_a_retired_box(site: Fleet, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    roster = Roster(site, tmp_path, capsys)
    north, south, west = (site.box(name, keeper=name == "north", head_life_s=60.0) for name in ("north", "south", "west"))
    for box in (north, south, west):
        box.start()
    roster.admit(north, south, west)
    for box in (north, south, west):
        box.complete()
    south.do("enroll", "E1", face=ALICE, name="Alice")
    west.do("enroll", "E2", face=BOB)
    site.until(lambda: "E1" in west.people and "E2" in south.people)
    site.agree(north, south, west)
    code, told = roster.on_keys("verify", "--json")
    said = json.loads(told)
    assert code == 0 and said["states"] == {"active": 2} and said["sum"] == north.sum() and said["old_key"] == 0, told
    # West is stolen.
    west.stop()
    code, told = roster.on_keys("rotate-key", "--retire", "west")
    assert code == 0 and "north, south" in told
    said = {"old_key": 2}
    while said["old_key"] > 1:  # south seals again what it wrote
        code, told = roster.on_keys("verify", "--json")
        said = json.loads(told)
    assert said["states"] == {"active": 1, "suspended": 1}, "only what west wrote is as it was"
    site.until(lambda: all(box.status()["roster"]["waiting"] == 0 for box in (north, south)))
    code, told = roster.on_keys("rotate-key", "--forget")
    assert code == 1 and "1 record of west under key 1" in told
    # A box reads everything anew.
    code, told = roster("rebuild", "south", signed=False)  # this fleet takes commands without a signature
    assert code == 0, told
    south.complete()
    site.agree(north, south)
    assert south.accepts(ALICE)
