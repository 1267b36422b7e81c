"""A box that is killed at any instant: what it has answered reaches the others, and what it has heard is not lost."""

import json
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.fixtures.boxes import SITE, Box, fleet
from tests.fixtures.desk import command, painted

KILLS = 4
PEOPLE = {f"E{place}": brightness for place, brightness in enumerate(range(80, 240, 40))}


def process(south: Box) -> "subprocess.Popen[bytes]":
    site = south.fleet
    writers = {name: {"public": its.public, "keeper": its.keeper} for name, its in site.writers("south").items()}
    arguments = [site.folder, site.port, "south", site.admin_public, json.dumps(writers)]
    with (site.folder / "south.log").open("ab") as log:
        return subprocess.Popen([sys.executable, "-m", "tests.faults.box", *map(str, arguments)], cwd=ROOT, stderr=log)


@pytest.mark.broker
def test_what_was_answered_before_a_kill_holds_at_all_boxes(tmp_path: Path) -> None:
    chance = random.Random(3)
    with fleet(tmp_path) as site:
        north, south = site.box("north", keeper=True), site.box("south")
        north.start()
        south.start()
        site.admit(north, south)
        north.complete()
        south.complete()
        south.stop()
        there = dict.fromkeys(PEOPLE, False)
        for _ in range(KILLS):
            running = process(south)
            try:
                for person in chance.sample(sorted(PEOPLE), 3):
                    op = "revoke" if there[person] else "enroll"
                    images = [painted(PEOPLE[person])] if op == "enroll" else None
                    body = command(op, person, images, now=time.time(), life=300.0)
                    site.watcher.say(body, f"ostiary/v1/{SITE}/south/command")
                    answer, _ = site.watcher.answer(json.loads(body)["command_id"])
                    assert answer["status"] == "done", answer
                    there[person] = op == "enroll"
                time.sleep(chance.choice((0.0, 0.005, 0.02, 0.1)))
            finally:
                running.kill()
                running.wait()
        south.start()
        wanted = {person for person, enrolled in there.items() if enrolled}
        site.until(lambda: set(north.people) == set(south.people) == wanted)
        site.agree(north, south)
        assert all(north.accepts(PEOPLE[person]) is enrolled for person, enrolled in there.items())
