"""What a console of few letters shows."""

import io
import json

import pytest

from daemon.core.plain import plain, show_anywhere


@pytest.mark.parametrize(("text", "shown"), [("✓ done", "+ done"), ("✗", "x"), ("Đ", "?"), ("č", "c"), ("王", "?"), ("a\u200cb", "a?b")])
def test_a_nearby_sign_stands_for_each_that_is_missing(text: str, shown: str) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), "latin-1")
    show_anywhere(stream)
    stream.write(text)
    stream.flush()
    stream.seek(0)
    assert stream.read() == shown


def test_what_the_console_has_stays() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), "latin-1")
    show_anywhere(stream, io.StringIO())
    stream.write("Zoë Müller × 2 … “north”")
    stream.flush()
    stream.seek(0)
    assert stream.read() == "Zoë Müller × 2 ... ?north?"
    assert plain("–→ž", "ascii") == "-->z"


def test_json_loses_nothing() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), "latin-1")
    show_anywhere(stream, escaped=True)
    text = json.dumps({"name": "Zoë ✓ 王 👩‍🔬"}, ensure_ascii=False)
    stream.write(text)
    stream.flush()
    stream.seek(0)
    assert json.loads(stream.read()) == json.loads(text)
