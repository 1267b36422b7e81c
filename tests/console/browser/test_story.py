"""The whole story in a browser, with a real gate and a camera: a stranger is enrolled, let in, suspended and forgotten, and every step is
seen live."""

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("selenium", reason="the extra `dev` is not installed")
pytest.importorskip("skimage", reason="the extra `demo` is not installed")
pytest.importorskip("fastapi", reason="the extra `console` is not installed")

from daemon.demo.brokers import Running
from daemon.demo.console import Made, playing
from daemon.demo.frames import enrolment_photo
from tests.console.browser.conftest import At
from tests.fixtures.chromium import chromium
from tests.fixtures.served import served

pytestmark = [pytest.mark.browser, pytest.mark.broker]


@pytest.fixture(scope="module")
def made(folder: Path, site: Running) -> Iterator[Made]:
    with playing(site, folder, folder / "daemon.log", gates=("north",), people=False) as made, served(made.served):
        yield made


@pytest.fixture(scope="module")
def at(folder: Path, made: Made) -> Iterator[At]:
    with chromium(folder / "browser", made.served.address) as page:
        yield At(page, made.passwords)


def test_from_a_stranger_to_a_stranger(at: At, made: Made, tmp_path: Path) -> None:
    stage, page = made.stages["north"], at.page
    photo = tmp_path / "collins.jpg"
    photo.write_bytes(enrolment_photo("collins"))

    at.login("desk")
    page.reads("north", "#gates")
    page.until(lambda: "Camera works" in page.text("#gates"), "the gate's camera works")
    stage.enter("collins", 1)
    page.reads("Somebody unknown", "#feed")
    page.reads("no enrolled person is similar enough", "#feed")

    page.open("/visitors")
    page.until(lambda: page.script("return document.querySelector('#visitors img')?.naturalWidth > 0"), "the visitor's picture is seen")
    page.press("Dismiss")
    page.reads("No unknown visitor.")

    page.open("/enrol").choose([photo])
    page.write("[name=person]", "E1042")
    page.write("[name=name]", "Eileen Collins")
    page.reads("It would enrol this face.", "#answer")
    assert page.all(".thumb.taken")
    page.press("Enrol", "#enrol .answer")
    page.reads("E1042 is enrolled at north", "#done-title")

    page.press("Watch live")
    page.reads("Accepted: recognised", "#feed li:first-child")
    page.reads("Eileen Collins", "#feed li:first-child")
    assert page.text("#feed li.replaced .chip") == "replaced by a later answer"
    stage.leave()

    page.open("/people").press("Eileen Collins")
    page.press("Suspend", "dialog")
    page.reads("Suspended: rejected from now on.", "dialog")
    page.open("/")
    page.reads("north", "#gates")
    stage.enter("collins", 3)
    page.reads("Rejected: recognised, but suspended", "#feed li:first-child")

    page.open("/people?person=E1042").press("Revoke…", "dialog")
    page.reads("Templates and pictures at north are erased. This cannot be undone.", "dialog:last-of-type")
    assert not page.button("Erase this person").is_enabled()
    page.write("[name=number]", "E1042")
    page.press("Erase this person")
    page.reads("Revoked: templates and pictures are erased.", "dialog")
    page.open("/")
    page.reads("Unknown: no enrolled person is similar enough", "#feed li:first-child")
    stage.leave()
