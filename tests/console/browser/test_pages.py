"""The console's pages as people use them: by keyboard, on a phone, in the dark, with names that are meant to break them."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("selenium", reason="the extra `dev` is not installed")
pytest.importorskip("skimage", reason="the extra `demo` is not installed")
pytest.importorskip("fastapi", reason="the extra `console` is not installed")

from selenium.webdriver.common.keys import Keys

from daemon.console.pages import PAGES
from daemon.demo.brokers import Running
from daemon.drawing.words import REASONS
from tests.conftest import ROOT
from tests.console.browser.conftest import HTML, SCRIPT, At
from tests.console.browser.looks import CONTRAST, WIDER
from tests.fixtures.chromium import Page, names_of
from tests.fixtures.fake_gate import decision
from tests.fixtures.peopled_gate import PeopledGate

pytestmark = [pytest.mark.browser, pytest.mark.broker]

WITH_A_NAME = ("button", "link", "textbox", "searchbox", "combobox", "checkbox", "radio", "dialog", "form", "navigation", "img", "image",
               "DateTime", "InputTime", "spinbutton", "region", "search")  # fmt: skip
SHOWN = [path for path in PAGES if path != "/visitors"]


def unbroken(page: Page) -> None:
    """Nothing of what somebody wrote has become part of the page."""
    assert page.script("return window.broken") is None
    assert page.all("main img[src='x'], dialog img[src='x'], main script, dialog script") == []


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


def test_no_sign_turns_a_name_round(at: At, gate: PeopledGate) -> None:
    """With U+202E, "tpecca" would read as "accept"."""
    gate.add("E1004", "Eve \u202etpecca\u202c\u2066\u0007")
    gate.tell(reasons=["odd: \u202eenif si lla"], model="\u2067faces")
    page = at.login("guard")
    gate.decide([decision(event_id="turned", decision="reject", reason="\u202edehctam", person="E1004")])
    page.reads("Eve \ufffdtpecca", "#feed")
    page.reads("\ufffdenif si lla", "#gates")
    page.open("/people").press("Eve \ufffdtpecca")
    page.reads("E1004", "dialog")
    turning = "return /[\u202a-\u202e\u2066-\u2069]/.test(document.body.innerText + document.body.innerHTML)"
    assert page.script(turning) is False
    page.open("/health").reads("\ufffdfaces", "#gates")
    assert page.script(turning) is False


def test_the_health_page_shows_what_boxes_share(at: At, gate: PeopledGate) -> None:
    shared = {"name": "box-north", "standing": "incomplete", "records": 1234, "sum": "ab" * 32, "people": 56, "disputed": 2, "head": 7,
              "head_age_s": 120.0, "waiting": 0, "old_key": 0, "exchange_key": "k", "keeper": True}  # fmt: skip
    gate.tell(roster=shared)
    page = at.login("viewer", "/health")
    for words in ("box-north, the keeper", "misses records", "1,234", "56 people", "2 min old when said", "2 people", "abababab"):
        page.reads(words, "#gates")
    gate.tell()
    page.until(lambda: "other boxes" not in page.text("#gates"), "a box that shares nothing says nothing of it")


@pytest.mark.parametrize("where", ["//evil.example", "https://evil.example/", "javascript:window.broken=1", "/\\evil.example", "/../evil"])
def test_the_login_leads_to_the_consoles_own_pages_alone(at: At, where: str) -> None:
    page = at.login("viewer", where)
    page.reads("Live", "nav")
    assert page.script("return location.origin + location.pathname") == page.address + "/"
    unbroken(page)


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
        process.terminate()
        second.reads("Connection lost. Trying again…", "#link")
        second.driver.close()
        first.driver.switch_to.window(here)
        first.wrongs()  # the second console is gone, and the browser says so too
    finally:
        process.terminate()
        process.wait(20)


def test_nothing_is_wider_than_a_phone(at: At, gate: PeopledGate) -> None:
    gate.add("E" + "9" * 63, "Wolfeschlegelsteinhausenbergerdorff" * 5, gates=["a-gate-with-a-long-name-" * 2] * 3)
    gate.tell(state="degraded", reasons=["camera_down: " + "x" * 300])
    page = at.login("admin")
    gate.decide([decision(event_id="w", sequence=50, previous=49, person="E" + "9" * 63)])
    page.look(width=320, height=844, phone=True)
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


def test_a_validity_that_is_over_or_has_not_begun_is_not_called_active(at: At, gate: PeopledGate) -> None:
    gate.add("E1010", "Annie Easley", valid_until="2026-01-01T00:00:00Z")
    gate.add("E1011", "Katherine Johnson", valid_from="2999-01-01T00:00:00Z")
    gate.add("E1012", "Mary Jackson", state="suspended", valid_until="2026-01-01T00:00:00Z")
    page = at.login("guard", "/people")
    for person, word in (("E1010", "Expired"), ("E1011", "Not valid yet"), ("E1012", "Suspended"), ("E1001", "Active")):
        page.reads(word, f"[data-person={person}]")


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
