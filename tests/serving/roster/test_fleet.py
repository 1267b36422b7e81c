"""Boxes that share their people through one broker."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.fleet import Box, Fleet, fleet

ALICE, BOB, CAROL = 100, 140, 180


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Fleet]:
    with fleet(tmp_path) as found:
        yield found


def three(site: Fleet) -> tuple[Box, Box, Box]:
    """Three boxes, of which the first is the keeper, that hold the same."""
    boxes = (site.box("north", keeper=True), site.box("south"), site.box("vault"))
    for box in boxes:
        box.start()
    site.admit(*boxes)
    for box in boxes:
        box.complete()
    return boxes


def test_enrolled_at_one_is_accepted_at_all_and_revoked_at_one_at_none(site: Fleet) -> None:
    north, south, vault = three(site)
    assert south.do("enroll", "E1", face=ALICE, name="Alice")["status"] == "done"
    for box in (north, south, vault):
        site.until(lambda box=box: "E1" in box.people)
        assert box.sees(ALICE) == ("accept", "matched", "E1"), box.name
    assert vault.do("revoke", "E1")["status"] == "done"
    for box in (north, south, vault):
        site.until(lambda box=box: "E1" not in box.people)
        assert box.sees(ALICE)[0] == "unknown"
    site.agree(north, south, vault)
