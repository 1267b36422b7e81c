"""The console's pages as people use them: by keyboard, on a phone, in the dark, with names that are meant to break them."""

import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("selenium", reason="the extra `dev` is not installed")
pytest.importorskip("skimage", reason="the extra `demo` is not installed")
pytest.importorskip("fastapi", reason="the extra `console` is not installed")

from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from daemon.console.pages import PAGES
from daemon.core import messages as m
from daemon.core import sealed_box
from daemon.demo.brokers import Running
from daemon.demo.frames import enrolment_photo
from daemon.drawing.words import REASONS
from tests.conftest import ROOT
from tests.console.browser.conftest import At
from tests.console.browser.looks import CONTRAST, WIDER
from tests.fixtures.chromium import Page, names_of
from tests.fixtures.fake_gate import decision
from tests.fixtures.peopled_gate import PeopledGate

pytestmark = [pytest.mark.browser, pytest.mark.broker]

HTML = "<img src=x onerror=alert(1)>"
SCRIPT = "</script><script>window.broken=1</script>{{7*7}}"
WITH_A_NAME = ("button", "link", "textbox", "searchbox", "combobox", "checkbox", "radio", "dialog", "form", "navigation", "img", "image",
               "DateTime", "InputTime", "spinbutton", "region", "search")  # fmt: skip
SHOWN = [path for path in PAGES if path != "/visitors"]


@pytest.fixture
def gate(site: Running) -> Iterator[PeopledGate]:
    """Gate north with a few people; two of them have names that a careless page would run."""
    with PeopledGate(site.port, site="demo") as made:
        made.add("E1001", "Grace Hopper")
        made.add("E1002", HTML, schedule=SCRIPT, consent=HTML)
        made.add("E1003", SCRIPT)
        made.tell()
        yield made


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / f"{HTML}.jpg"
    path.write_bytes(enrolment_photo("collins"))
    return path


def unbroken(page: Page) -> None:
    """Nothing of what somebody wrote has become part of the page."""
    assert page.script("return window.broken") is None
    assert page.all("main img[src='x'], dialog img[src='x'], main script, dialog script") == []


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


def test_the_words_of_decisions_are_those_of_a_replay(at: At) -> None:
    at.login("viewer")
    assert at.page.driver.execute_async_script("import('/static/words.js').then((m) => arguments[0](m.REASONS))") == REASONS


def test_a_role_sees_what_it_may_do_and_nothing_else(at: At, gate: PeopledGate) -> None:
    page = at.login("viewer")
    gate.decide([decision(event_id="v1", decision="unknown", reason="no_match", person=None)])
    page.reads("Somebody unknown", "#feed")
    assert page.text("nav").split() == ["Live", "Health"] and not page.all("#feed a")
    for path, role in (("/people", "guard"), ("/enrol", "desk")):
        page.open(path)
        page.reads("You may not see this page")
        page.reads(f"needs the role {role}")
    assert page.script("return performance.getEntriesByType('navigation')[0].responseStatus") == 403

    page = at.login("guard", "/people")
    page.press("Grace Hopper")
    page.button("Suspend", "dialog")
    assert [one.text for one in page.all("dialog .buttons button, dialog .buttons a")] == ["Suspend"]
    assert not page.all("a[href='/enrol']")


def test_what_others_wrote_is_text(at: At, gate: PeopledGate, photo: Path) -> None:
    gate.tell(state="degraded", reasons=[f"{HTML}: {SCRIPT}", f"camera_down: {HTML}"], model=SCRIPT, version=HTML)
    page = at.login("admin")
    gate.decide([
        decision(event_id=HTML, sequence=2, previous=1, person=SCRIPT, name=HTML, reason=HTML, model=HTML),
        decision(event_id='"]', sequence=9, previous=8, decision="reject", reason="constructor", person="E1002"),
    ])  # fmt: skip
    page.reads(HTML, "#feed")
    page.reads("constructor", "#feed")
    page.reads(SCRIPT, "#gates")
    page.reads("decisions after number 2 and before 9 have not come so far", "#feed")
    unbroken(page)

    page.open("/health").reads(SCRIPT, "#gates")
    page.reads(HTML, "#gates")
    unbroken(page)

    page.open("/people").press(HTML)
    page.reads(SCRIPT, "dialog")
    page.press("Edit", "dialog")
    assert page.find("dialog [name=consent]").get_attribute("value") == HTML
    unbroken(page)

    page.open("/enrol").choose([photo])
    page.reads(HTML, "#thumbs")
    gate.refuse = ("duplicate_of", "this face is already enrolled as E1002; use force to enrol it anyway")
    page.write("[name=person]", "E2000")
    page.write("[name=name]", SCRIPT)
    page.reads("It looks like", "#alike")
    assert HTML in page.text("#alike") and SCRIPT in page.text("#alike")
    unbroken(page)


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


def test_two_consoles_agree(at: At, gate: PeopledGate, site: Running, folder: Path) -> None:
    settings = folder / "second.toml"
    settings.write_text((folder / "console.toml").read_text())
    log = folder / "second.log"
    with log.open("wb") as sink:
        process = subprocess.Popen([sys.executable, "-m", "daemon.console", "--settings", str(settings)], cwd=ROOT, stderr=sink)
    try:
        deadline = time.monotonic() + 60
        while "the console is at" not in log.read_text():
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        address = log.read_text().split("the console is at ")[1].split()[0]
        first = at.login("desk", "/people")
        first.reads("Grace Hopper", "#people")
        here = first.driver.current_window_handle
        first.driver.switch_to.new_window("window")
        second = Page(first.driver, address.replace("127.0.0.1", "localhost"))  # another host: its cookie is another one
        second.login("desk", at.passwords["desk"], "/people")
        second.press("Grace Hopper")
        second.press("Suspend", "dialog")
        second.reads("Suspended: rejected from now on.", "dialog")
        there = first.driver.current_window_handle
        first.driver.switch_to.window(here)
        first.reads("Suspended", "tr[data-person=E1001]")
        first.press("Grace Hopper")
        first.press("Resume", "dialog")
        first.driver.switch_to.window(there)
        second.reads("Active", "dialog")
        second.driver.close()
        first.driver.switch_to.window(here)
    finally:
        process.terminate()
        process.wait(20)


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


@pytest.mark.parametrize("width", [320, 390])
def test_nothing_is_wider_than_a_phone(at: At, gate: PeopledGate, width: int) -> None:
    gate.add("E" + "9" * 63, "Wolfeschlegelsteinhausenbergerdorff" * 5, gates=["a-gate-with-a-long-name-" * 2] * 3)
    gate.tell(state="degraded", reasons=["camera_down: " + "x" * 300])
    page = at.login("admin")
    gate.decide([decision(event_id=f"w{width}", sequence=50, previous=49, person="E" + "9" * 63)])
    page.look(width=width, height=844, phone=True)
    try:
        for path in [*SHOWN, "/login", "/nowhere"]:
            page.open(path)
            page.find("h1")
            if path == "/people":
                page.press("Wolfe")
                page.reads("May pass", "dialog")
            time.sleep(0.3)
            assert page.script(WIDER) == [], path
    finally:
        page.look()


def test_colours_follow_the_system_or_the_button_and_are_told_apart(at: At, gate: PeopledGate) -> None:
    gate.tell(state="degraded", reasons=["camera_down: x"])
    page = at.login("admin")
    gate.decide([
        decision(event_id=f"c{number}", sequence=60 + number, previous=59 + number, decision=verdict, reason=reason)
        for number, (verdict, reason) in enumerate((("accept", "matched"), ("reject", "suspended"), ("unknown", "no_match")))
    ])  # fmt: skip
    for dark in (False, True):
        page.look(dark=dark)
        for path in SHOWN:
            page.open(path)
            page.until(lambda: not page.all("[aria-busy=true]"), "the page is there")
            assert page.script(CONTRAST) == [], (path, dark)
    black = page.script("return getComputedStyle(document.body).backgroundColor")
    page.find("#theme").click()
    assert page.find("#theme").get_attribute("aria-label") == "Colours: light"
    assert page.script("return getComputedStyle(document.body).backgroundColor") != black
    page.open("/health")
    assert page.script("return document.documentElement.dataset.theme") == "light", "the choice is kept"
    page.find("#theme").click()
    page.find("#theme").click()
    page.look()


def test_everything_that_can_be_used_has_a_name(at: At, gate: PeopledGate, photo: Path) -> None:
    page = at.login("admin")
    for path in [*SHOWN, "/people#sheet", "/people#edit", "/enrol#photos"]:
        page.open(path.split("#")[0])
        page.until(lambda: not page.all("[aria-busy=true]"), "the page is there")
        if path == "/people#sheet":
            page.press("Grace Hopper")
            page.press("Revoke…", "dialog")
        if path == "/people#edit":
            page.press("Grace Hopper")
            page.press("Edit", "dialog")
        if path == "/enrol#photos":
            page.choose([photo])
            page.find("#thumbs img")
        found = names_of(page.nodes(), WITH_A_NAME)
        assert len(found) > 4, path
        assert [role for role, name in found if not name.strip()] == [], path
        assert page.script(
            "return [...document.querySelectorAll('[id]')].length === new Set([...document.querySelectorAll('[id]')].map(e => e.id)).size"
        )
        assert page.script("return document.querySelectorAll('h1').length") == 1


def test_a_session_that_has_ended_leads_to_the_login_and_back(at: At, gate: PeopledGate) -> None:
    page = at.login("guard", "/people")
    page.reads("Grace Hopper", "#people")
    page.driver.delete_all_cookies()
    page.write("#filter [name=search]", "Grace")
    page.reads("Your session has ended.")
    page.write("[name=user]", "guard")
    page.write("[name=password]", "wrong wrong wrong" + Keys.ENTER)
    page.until(lambda: page.text("#notices"), "a wrong password is told")
    page.write("[name=password]", at.passwords["guard"] + Keys.ENTER)
    page.reads("Grace Hopper", "#people")
    page.find("#leave").click()
    page.find("#login")
    assert page.driver.get_cookies() == []
