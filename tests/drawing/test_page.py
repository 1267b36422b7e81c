"""The page about a replay: what stands on it, what cannot get out of it, and how large it grows."""

import json
import re
from base64 import b64encode
from dataclasses import replace
from hashlib import sha256
from html.parser import HTMLParser

import numpy as np
import pytest

from daemon.core.boxes import Box
from daemon.core.passages.gatekeeper import Decision
from daemon.core.passages.rules import HOLD
from daemon.core.passages.traces import Moment
from daemon.core.values import Frame, Match, Quality, Reason, Verdict, View
from daemon.drawing.page import MAX_CHARTS, render
from daemon.drawing.trace import Trace, Tracer
from tests.drawing.film import DAY, Film

VILLAIN = "</script><script>alert(1)</script>\"'&<b>"
VILLAINS = (
    VILLAIN,
    "{{ 7 * 7 }}{% raw %}{# #}",
    "two\nlines\r\nand\u2028a third",
    "' onmouseover='alert(1)",
    '"><img src=x onerror=alert(1)>',
    "<!--",
    "\\u003c",
)


class Outline(HTMLParser):
    """The tags of a page with their attributes, its text, and whether every tag is closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "br", "img"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in {"style", "script"}:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def kinds(self, tag: str) -> list[str]:
        return [attributes.get("class") or "" for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def day() -> Outline:
    return Outline(render(Film(DAY.shown).traced(), DAY.about()))


def test_every_decision_and_what_it_rests_on_is_said(day: Outline) -> None:
    assert not day.open
    assert "The gate would have opened for ada, bob. 4 faces were followed: 2 accepted, 1 unknown, 1 not seen well" in day.text
    assert day.text.count("✓ accepted: ada") == 2 and "no enrolled person is similar enough" in day.text
    assert "Similarity 1.000, 0.050 above the threshold; the next nearest person had 0.552." in day.text
    assert "Similarity 0.881, 0.069 below the threshold" in day.text
    for fact in ("gate.mkv", "faces-0123 on cpu", "2 people enrolled", "threshold τ 0.950", "0123456789ab", "detector painted"):
        assert fact in day.text


def test_charts_have_threshold_hold_looks_and_poor_frames(day: Outline) -> None:
    charts = [attributes for tag, attributes in day.tags if tag == "svg" and str(attributes.get("class")).startswith("similarities")]
    assert [chart["class"] for chart in charts] == ["similarities wide", "similarities narrow"] * 3, "one was never seen well: no chart"
    assert all(chart["role"] == "img" and "passage" in str(chart["aria-label"]) for chart in charts)
    lines, paths = day.kinds("line"), day.kinds("path")
    assert lines.count("threshold") == 2 * 3 + 1 and lines.count("hold") == 2 * 2 + 1, "and one each in the key; a stranger is not held"
    assert f"stays recognised down to {0.95 - HOLD:.3f}" in day.text
    assert [paths.count(kind) for kind in ("best", "look", "single")] == [2 * 3 + 0, 2 * 3 + 1, 2 * 3 + 1]
    assert paths.count("poor-tick") == 2 * 1 + 1 and "too bright" in day.text
    decided = sorted(kind for kind in lines if kind.startswith("decided"))
    assert decided == ["decided accept"] * 4 + ["decided unknown"] * 2


def test_the_timeline_shows_states_by_colour_height_and_sign(day: Outline) -> None:
    states = {kind for kind in day.kinds("path") if kind.startswith("state")}
    assert states == {"state poor", "state gathering", "state accept", "state unknown"}
    assert day.kinds("circle") == ["mark accept", "mark unknown", "mark accept"] * 2
    targets = {attributes.get("id") for _, attributes in day.tags}
    links = [str(attributes["href"]) for tag, attributes in day.tags if tag == "a"]
    assert len(links) == 2 * 4 + 3 and all(link.removeprefix("#") in targets for link in links)


def test_it_asks_nobody_and_runs_no_other_script() -> None:
    page = render(Film(DAY.shown).traced(), DAY.about())
    assert not re.search(r"https?:|//[a-z]|@import|url\(", re.sub(r"base64,[^\"]*", "", page))
    found = Outline(page)
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.S)
    (policy,) = [attributes["content"] for tag, attributes in found.tags if attributes.get("http-equiv") == "Content-Security-Policy"]
    digest = b64encode(sha256(script.encode()).digest()).decode()
    assert policy == f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    sources = [str(attributes["src"]) for tag, attributes in found.tags if tag == "img"]
    assert sources and all(source.startswith("data:image/jpeg;base64,") for source in sources)


@pytest.mark.parametrize("villain", VILLAINS)
def test_names_are_text_and_nothing_else(villain: str) -> None:
    film = Film(DAY.shown, people=(villain, "bob"))
    page = render(film.traced(), replace(film.about(), recording=villain, gate=villain, model=villain, detector=villain, policy=villain))
    found, plain = Outline(page), Outline(render(Film(DAY.shown).traced(), DAY.about()))
    assert [tag for tag, _ in found.tags] == [tag for tag, _ in plain.tags]
    assert {name for _, attributes in found.tags for name in attributes} == {name for _, attributes in plain.tags for name in attributes}
    shown = " ".join(villain.split())
    for place in (
        f"Replay: {shown}",
        f"opened for {', '.join(sorted((shown, 'bob')))}.",
        f"accepted: {shown}",
        f"accepted as {shown}",
        f"gate {shown}",
        f"model {shown}",
    ):
        assert place in found.text
    assert "alert(1)</script>" not in page and page.count("</script") == page.count("<script"), "nor does the data of a chart end early"
    frames = [json.loads(data) for data in re.findall(r'<script type="application/json">(.*?)</script>', page, re.S)]
    assert [data["people"][0] for data in frames] == [villain, villain, "bob"]


def test_every_drawing_fits_a_screen_and_a_phone(day: Outline) -> None:
    drawn = [attributes for tag, attributes in day.tags if tag == "svg" and "class" in attributes]
    widths = [(str(one["class"]).split()[1], str(one["viewbox"]).split()[2]) for one in drawn]
    assert widths == [("wide", "1000"), ("narrow", "360")] + [("wide", "720"), ("narrow", "360")] * 3
    (style,) = re.findall(r"<style>(.*?)</style>", render(DAY.traced(), DAY.about()), re.S)
    assert ".narrow { display: none; }" in style and "min-width" not in style.replace("min-width: 0", "")


def test_without_faces_there_are_none() -> None:
    page = render(Film(DAY.shown).traced(faces=False), DAY.about())
    assert "<img" not in page and "base64" not in page and "shows faces" not in page
    assert "shows faces" in render(Film(DAY.shown).traced(), DAY.about())


def test_the_same_replay_gives_the_same_bytes() -> None:
    assert render(Film(DAY.shown).traced(), DAY.about()) == render(Film(DAY.shown).traced(), DAY.about())


def test_who_looks_on_changes_no_decision() -> None:
    shown = ["As"] * 12 + ["xs"] * 3 + ["Bs"] * 8
    plain, watched = Film(shown), Film(shown)
    assert plain.play(watched=False) == watched.play(Tracer()) != []
    assert len(watched.seen) == len(shown)


def test_a_rejection_and_a_frame_set_aside_are_told() -> None:
    film = Film(["A"] * 8 + ["B"] * 8, forbidden={"bob": Reason.SUSPENDED})
    found = Outline(render(film.traced(), film.about()))
    assert "✕ rejected: bob" in found.text and "recognised, but suspended" in found.text
    assert "1 frame did not look like the same face and was set aside" in found.text and "set aside" in found.text


def test_an_empty_recording_and_one_without_faces_have_a_page() -> None:
    for film in (Film([]), Film([""] * 5)):
        text = Outline(render(film.traced(), film.about())).text
        assert "No face was found" in text and "Nothing was decided." in text


def test_a_single_frame_and_times_that_jump_have_a_page() -> None:
    for film in (Film(["A"]), Film(["A"] * 9, times=[0, 0, 0, 5, 4, 4.1, 4.2, 4.3, 4.4])):
        assert not Outline(render(film.traced(), film.about())).open


def passage(number: int, frames: int, every: int = 1) -> Trace:
    """A long passage whose nearest moment is in the middle, one frame in `every` good."""
    values = np.random.default_rng(number).normal(0.5, 0.05, frames)
    values[frames // 2] = 0.987
    moments = []
    for place, value in enumerate(values.tolist()):
        match = Match("ada", value, value - 0.2) if place % every == 0 else None
        quality = Quality.OK if match is not None else Quality.BLURRED
        moments.append(
            Moment(number, place, place / 10, Box(10, 10, 50, 50), quality, place + 1, None, match, match, place % 10 == 0, place % 50 == 7)
        )
    return Trace(number, moments)


def test_a_long_recording_keeps_its_extremes_in_a_small_file() -> None:
    tracer = Tracer(frames=20_000, last_s=2000.0, traces={1: passage(1, 20_000), 2: passage(2, 20_000, 3)})
    page = render(tracer, DAY.about())
    assert len(page) < 400_000
    assert page.count("0.987") >= 1, "the nearest frame is never thinned away"


def test_a_crowd_is_a_page_too() -> None:
    decision = Decision("north", 7, Verdict.UNKNOWN, Reason.NO_MATCH, None, 0.5, 3, 0.3, 0.3, 1, False)
    tracer = Tracer(frames=9000, last_s=900.0, traces={n: passage(n, 40 + n % 9) for n in range(1, 1500)})
    tracer.traces[7].decisions.append(decision)
    page = render(tracer, DAY.about())
    assert len(page) < 3_000_000 and page.count('class="similarities wide"') == MAX_CHARTS
    assert 'id="passage-7"><' not in page.split("Other passages")[1] and "further passages are not listed" in page


def test_no_number_is_written_that_is_none() -> None:
    trace = passage(1, 30)
    odd = Match(None, float("nan"), float("-inf"))
    trace.moments[5] = replace(trace.moments[5], single=odd, fused=odd)
    page = render(Tracer(frames=30, last_s=3.0, traces={1: trace}), DAY.about())
    assert not re.search(r'[ "M,L](nan|inf|-inf|NaN|Infinity)\b', page)


def test_portraits_are_of_the_moments_they_are_named_by() -> None:
    tracer = Film(["s"] + ["A"] * 7 + ["x"] * 2 + ["B"]).traced()
    (trace,) = tracer.traces.values()
    found = {name: portrait.moment.number for name, portrait in trace.portraits.items()}
    assert found == {"first": 0, "decided": trace.decisions[0].number, "least": 0, "most": 1, "aside": 10}
    late = Film(["s"] * 4 + [""] * 8).traced().traces[1]
    assert late.decisions[0].number == late.portraits["decided"].moment.number == 3, "decided when it had left, about its last frame"


def test_a_passage_that_ended_long_ago_keeps_no_crop() -> None:
    tracer = Film(["A"] * 4).traced()
    for number, kept in ((10, True), (100, False)):
        black = Frame("north", number, float(number), float(number), np.zeros((4, 4, 3), np.uint8))
        tracer.saw(black, View("north", number, float(number), float(number), ()), ())
        assert (tracer.traces[1].last is not None) is kept


def test_who_was_seen_too_briefly_for_a_chart_has_a_row_with_a_face() -> None:
    film = Film(["A"] * 2 + [""] * 8)
    page = render(film.traced(), film.about())
    row = page.split('<tr id="passage-1">')[1].split("</tr>")[0]
    assert "data:image/jpeg" in row and "2 good" in row and "ada 1.000" in row and 'class="similarities' not in page


def test_no_setting_is_wider_than_a_phone() -> None:
    page = render(DAY.traced(), DAY.about())
    rows = re.findall(r"<tr><td>([^<]*)</td><td>([^<]*)</td></tr>", page[page.index("Rules and limits") :])
    assert len(rows) > 15 and max(len(name) for name, _ in rows) <= 36 and max(len(value) for _, value in rows) <= 12
