"""Every reason of an answer has plain words and a next step."""

import re

from daemon.core.refusals import TABLE, words
from tests.conftest import ROOT


def test_every_reason_that_the_contract_documents_has_words_and_no_words_are_of_nothing() -> None:
    text = (ROOT / "daemon/README.md").read_text("utf-8")
    rows = text.split("| reason | why |", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    documented = {word for row in rows for word in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert set(TABLE) == documented | {"not_durable", "internal"}  # these two are told below the table


def test_words_are_one_line_each_with_a_next_step() -> None:
    for one in TABLE.values():
        assert one.so and one.step and "\n" not in one.so + one.step and not one.so.endswith(".")


def test_a_reason_of_a_newer_gate_is_told_as_it_is() -> None:
    assert words("quite_new").so == "quite new"
    assert words(None).so == ""
