"""Enrolment at a desk: by keyboard, with photos that are refused, of somebody who looks alike, of an unknown visitor."""

import secrets
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("selenium", reason="the extra `dev` is not installed")
pytest.importorskip("skimage", reason="the extra `demo` is not installed")
pytest.importorskip("fastapi", reason="the extra `console` is not installed")

import pillow_heif
from PIL import Image
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from daemon.core import messages as m
from daemon.core import sealed_box
from tests.console.browser.conftest import At
from tests.fixtures.chromium import Page
from tests.fixtures.peopled_gate import PeopledGate

pytestmark = [pytest.mark.browser, pytest.mark.broker]


def tab_to(page: Page, name: str) -> None:
    """Press Tab until the element with this name, words or accessible name has the focus."""
    code = "const e = document.activeElement; return [e.name, e.id, e.getAttribute('aria-label'), e.textContent.trim()]"
    for _ in range(60):
        ActionChains(page.driver).send_keys(Keys.TAB).perform()
        if name in page.script(code):
            return
    raise AssertionError(f"no way to {name} by Tab")


def focus(page: Page) -> str:
    return str(page.script("return document.activeElement.textContent.trim() || document.activeElement.name"))


def test_a_person_is_enrolled_by_keyboard_alone(at: At, gate: PeopledGate, photo: Path) -> None:
    page = at.login("desk")
    page.reads("north", "#gates")
    tab_to(page, "Enrol")
    page.driver.switch_to.active_element.send_keys(Keys.ENTER)
    page.until(lambda: page.all("#choose"), "the page is there")
    tab_to(page, "choose")
    page.driver.switch_to.active_element.send_keys(str(photo))  # what the browser's own dialog would give
    tab_to(page, "person")
    page.driver.switch_to.active_element.send_keys("E1042", Keys.TAB, "Ada Lovelace")
    page.reads("It would enrol this face.", "#answer")
    tab_to(page, "go")
    page.driver.switch_to.active_element.send_keys(Keys.ENTER)
    page.reads("E1042 is enrolled at north", "#done-title")
    assert page.script("return document.activeElement.id") == "done", "whoever cannot see is told the end"
    assert gate.people["E1042"].name == "Ada Lovelace"

    page.open("/people").reads("Ada Lovelace", "#people")
    tab_to(page, "Ada Lovelace")
    page.driver.switch_to.active_element.send_keys(Keys.ENTER)
    page.reads("at any time", "dialog")
    assert page.script("return document.activeElement.closest('dialog') !== null")
    page.driver.switch_to.active_element.send_keys(Keys.ESCAPE)
    page.until(lambda: not page.all("dialog[open]"), "Escape closes the sheet")
    assert focus(page) == "Ada Lovelace", "the focus is where it was"


def test_a_refusal_is_told_per_picture_and_in_plain_words(at: At, gate: PeopledGate, photo: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a picture")
    page = at.login("desk", "/enrol")
    page.choose([photo, tmp_path / "notes.txt"])
    page.reads("“notes.txt” is not a photo that can be read", "#notices")
    page.choose([photo])
    gate.refuse = ("profile", "image 2: the face is turned aside; look at the camera")
    page.write("[name=person]", "E1042")
    page.reads("The face is turned aside.", "#answer")
    page.reads("Look at the camera.", "#answer")
    page.until(lambda: "refused" in str(page.all(".thumb")[1].get_attribute("class")), "the second photo is marked")
    assert len(page.all(".thumb.refused")) == 1 and not page.find("#go").is_enabled()
    gate.refuse = None
    page.find("[aria-label='Remove photo 2']").click()
    page.reads("It would enrol this face.", "#answer")
    assert "E1042" not in gate.people, "a dry run changes nothing"


def test_every_photo_is_judged_and_the_good_ones_are_enrolled(at: At, gate: PeopledGate, photo: Path, tmp_path: Path) -> None:
    walls = [tmp_path / "wall.png", tmp_path / "door.png"]
    for wall in walls:
        Image.new("RGB", (100, 100), "grey").save(wall)

    def as_a_gate(command: m.Enroll) -> tuple[str, str] | None:
        """Refuses the first picture of a wall and says nothing of the others."""
        for number, jpeg in enumerate(command.images or (), 1):
            if cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR).shape[0] == 100:  # type: ignore[union-attr]
                return "no_face", f"image {number}: no face was found; use an upright frontal photo"
        return None

    gate.refuse = as_a_gate
    page = at.login("desk", "/enrol")
    page.choose([walls[0], photo, walls[1]])
    page.write("[name=person]", "E1042")
    page.reads("Left out: wall.jpg and door.jpg.", "#answer")
    assert [len(page.all(f".thumb.{look}")) for look in ("refused", "taken")] == [2, 1]
    page.press("Enrol", ".answer")
    page.reads("E1042 is enrolled at north", "#done-title")
    asked = [one for one in gate.commands if isinstance(one, m.Enroll) and not one.dry_run]
    assert [len(one.images or ()) for one in asked] == [1]

    (tmp_path / "a.pdf").write_text("%PDF-1.4")
    page = at.login("desk", "/enrol")
    page.choose([tmp_path / "a.pdf", walls[0], walls[1]])
    page.write("[name=person]", "E1043")
    page.reads("No face was found.", "#answer")
    page.until(lambda: len(page.all(".thumb.refused")) == 2, "each says why")
    assert not page.find("#go").is_enabled() and "“a.pdf” is not a photo" in page.text("#notices")


def test_photos_of_phones_are_shrunk_and_turned_upright(at: At, gate: PeopledGate, photo: Path, tmp_path: Path) -> None:
    big, phone = tmp_path / "big.jpg", tmp_path / "phone.heic"
    exif = Image.Exif()
    exif[274] = 6  # the camera was held upright: turn it by 90 degrees
    with Image.open(photo) as small:
        small.resize((4000, 3000)).save(big, exif=exif)
        pillow_heif.from_pillow(small).save(phone)
    page = at.login("desk", "/enrol")
    page.choose([big, phone])
    page.write("[name=person]", "E1050")
    page.reads("It would enrol this face.", "#answer")
    page.reads("No preview of this format here", "#thumbs")
    asked = next(one for one in reversed(gate.commands) if isinstance(one, m.Enroll))
    sizes = [np.asarray(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)).shape[:2] for jpeg in asked.images or ()]
    assert sizes == [(2400, 1800), (480, 640)]


def test_two_who_look_alike_stand_side_by_side_with_a_choice(at: At, gate: PeopledGate, photo: Path) -> None:
    gate.refuse = ("duplicate_of", "this face is already enrolled as E1001; use force to enrol it anyway")
    page = at.login("desk", "/enrol")
    page.choose([photo])
    page.write("[name=person]", "E1043")
    page.write("[name=name]", "Amelia")
    page.reads("This face is already enrolled as E1001", "#alike")
    page.until(lambda: "Grace Hopper" in page.text("#alike") and "Amelia" in page.text("#alike"), "both are named")
    assert "enrol anyway" not in page.text("#alike"), "that needs an admin"
    gate.refuse = None
    page.press("It is the same person: add to E1001")
    page.reads("E1001 is Grace Hopper and is already enrolled with 2 pictures", "#known")
    page.press("Add to E1001")
    page.reads("E1001 is enrolled at north", "#done-title")

    gate.refuse = ("lookalike", "the gate could take this face for E1001; send better images, or use force")
    page = at.login("admin", "/enrol")
    page.choose([photo])
    page.write("[name=person]", "E1044")
    page.press("They are two people: enrol anyway")
    page.press("Enrol anyway", ".answer")
    page.reads("E1044 is enrolled at north", "#done-title")
    assert gate.commands[-1].force or any(getattr(one, "force", False) for one in gate.commands)


def test_an_unknown_visitor_comes_live_and_becomes_a_person(at: At, gate: PeopledGate, photo: Path) -> None:
    assert at.opener is not None
    key, place = sealed_box.public_key(at.opener), "ostiary/v1/demo/north/visitor/"
    page = at.login("desk", "/visitors")
    page.reads("No unknown visitor.")
    for ident in ("v1", "v2"):
        sealed = sealed_box.seal(key, place + ident, photo.read_bytes(), secrets.token_bytes(32))
        gate.say(f"visitor/{ident}", m.encode(m.VisitorMessage(
            id=ident, gate="north", passage="p", event_id="e", seen_at=m.utc(time.time()), gone_at=m.utc(time.time() + 300),
            key=sealed_box.fingerprint(key), sealed=sealed)), retain=True)  # fmt: skip
    page.until(lambda: len(page.all("#visitors img")) == 2, "both visitors are seen")
    page.until(
        lambda: page.script("return [...document.querySelectorAll('#visitors img')].every((e) => e.naturalWidth > 0)"), "with pictures"
    )
    page.press("Who is it?", "[data-visitor=v1]")
    page.write("dialog [name=person]", "E3000")
    page.press("Enrol", "dialog")
    page.reads("E3000 is enrolled.", "#notices")
    page.press("Dismiss", "[data-visitor=v2]")
    page.reads("No unknown visitor.")
    assert "E3000" in gate.people
