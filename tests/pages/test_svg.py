"""Charts as text: scales, ticks, thinning, and text that stays text."""

from math import nan

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from daemon.pages import svg
from daemon.pages.svg import Scale


def test_a_scale_goes_from_end_to_end_and_one_without_a_span_stays_at_its_start() -> None:
    scale = Scale(2.0, 4.0, 100.0, 0.0)
    assert [scale(value) for value in (2, 3, 4)] == [100, 50, 0]
    assert Scale(1.0, 1.0, 5.0, 9.0)(1.0) == 5 and Scale(1.0, 1.0, 5.0, 9.0).ticks(4) == [1.0]


@given(st.floats(-1e4, 1e4), st.floats(1e-3, 1e5), st.integers(1, 12))
def test_ticks_are_round_few_and_within(low: float, span: float, most: int) -> None:
    ticks = Scale(low, low + span, 0, 1).ticks(most)
    assert len(ticks) <= most + 1 and all(low - 1e-6 * span <= tick <= low + span * (1 + 1e-6) for tick in ticks)
    if most >= 3:
        assert len(ticks) >= 1 and len(set(ticks)) == len(ticks)


@given(st.lists(st.floats(-1, 1) | st.just(nan), max_size=400), st.integers(4, 50))
def test_thinning_keeps_the_ends_the_extremes_and_what_is_asked_for(values: list[float], most: int) -> None:
    kept = svg.thinned(values, most, lambda place: place == 3)
    assert kept == sorted(set(kept)) and len(kept) <= max(most, most + 3)
    if len(values) > most:
        assert {0, 3, len(values) - 1} <= set(kept)
        known = np.array(values)[~np.isnan(values)]
        if len(known):
            assert {known.min(), known.max()} <= {values[place] for place in kept}
    else:
        assert kept == list(range(len(values)))


def test_text_cannot_become_markup() -> None:
    drawn = svg.drawing(10, 10, 'a"b<c>', svg.text((1, 2), "<b>&", "tick"))
    assert "<b>" not in drawn and 'aria-label="a&quot;b&lt;c&gt;"' in drawn and "&lt;b&gt;&amp;" in drawn


def test_nothing_is_drawn_of_nothing() -> None:
    empty = (svg.path([], "k"), svg.dots([], 1, "k"), svg.diamonds([], 1, "k"), svg.marks([], 0, 1, "k"), svg.boxes([], 0, 1, "k"))
    assert empty == ("",) * 5
    assert svg.path([(1, 2)], "k") == '<path class="k" d="M1 2L1 2"/>'


def test_coordinates_are_short() -> None:
    assert [svg.place(value) for value in (0.04, -0.04, 1.0, 1.26, -2.0)] == ["0", "0", "1", "1.3", "-2"]
