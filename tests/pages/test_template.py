"""Pages from templates: text stays text, a value that is missing is an error, and nothing in a template undoes the escaping."""

import re
from pathlib import Path

import jinja2
import pytest
from markupsafe import Markup

from daemon.pages import template
from daemon.pages.parts import Drawing, Table
from tests.conftest import ROOT

TEMPLATES = sorted(path for room in ("daemon", "trainer") for path in (ROOT / room).rglob("templates/*.html"))
VILLAIN = "<script>alert(1)</script> \"'& {{ 7 * 7 }}{% raw %}\nnext line"
VALUES = {"legend": "", "drawings": (), "tables": ()}


def page(**values: object) -> str:
    return template.render("trainer.reports", "side_by_side.html", **{**VALUES, **values})


def test_text_is_escaped_wherever_it_goes() -> None:
    escaped = "&lt;script&gt;alert(1)&lt;/script&gt; &#34;&#39;&amp; {{ 7 * 7 }}{% raw %}\nnext line"
    table = Table([VILLAIN], [[VILLAIN]])
    made = page(legend=VILLAIN, drawings=[Drawing(Markup("<svg/>"), VILLAIN)], tables=[(VILLAIN, table)])
    assert made.count(escaped) == 5 and "<script>" not in made and "<svg/>" in made


def test_a_value_that_is_missing_is_an_error_and_not_an_empty_place() -> None:
    with pytest.raises(jinja2.UndefinedError, match="legend"):
        template.render("trainer.reports", "side_by_side.html", drawings=(), tables=())
    with pytest.raises(jinja2.TemplateNotFound):
        template.render("trainer.reports", "absent.html")


def test_a_page_holds_its_style_as_it_stands_in_the_files() -> None:
    for name in ("daemon/pages/templates/page.css", "trainer/reports/templates/report.css"):
        assert (ROOT / name).read_text("utf-8") in page()
    assert "script-src" not in page(), "a page without a script allows none"


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_template_undoes_the_escaping(path: Path) -> None:
    text = path.read_text("utf-8")
    assert not re.search(r"\|\s*safe|autoescape|Markup", text)
    if path.is_relative_to(ROOT / "daemon/console"):  # served by the console, which serves its style and scripts too
        text = re.sub(r'<link rel="(stylesheet|icon)" href="/static/[^"]*"|<script (type="module" )?src="/static/[^"]*"', "", text)
    assert not re.search(r"https?:|//|@import|<link|<script src|srcset|\son\w+=", text), "a page loads nothing"
