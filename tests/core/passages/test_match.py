import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from daemon.core.passages.match import best_two


def test_the_rival_is_another_person_not_another_template() -> None:
    owner, best, rival = best_two(np.array([0.9, 0.85, 0.4], np.float32), np.array([7, 7, 3]))
    assert owner == 7
    assert (best, rival) == pytest.approx((0.9, 0.4))


def test_alone_in_the_gallery_there_is_no_rival() -> None:
    assert best_two(np.array([0.3], np.float32), np.array([1]))[2] == -1.0


@given(
    arrays(np.float32, st.integers(1, 40), elements=st.floats(-1, 1, width=32) | st.just(float("nan")) | st.just(float("inf"))),
    st.integers(0, 1000),
)
def test_like_a_plain_loop(similarities: np.ndarray, seed: int) -> None:
    owners = np.random.default_rng(seed).integers(0, 5, len(similarities))
    best: dict[int, float] = {}
    for similarity, owner in zip(similarities, owners, strict=True):
        value = float(similarity) if np.isfinite(similarity) else -1.0
        best[int(owner)] = max(best.get(int(owner), -1.0), value)
    owner, similarity, rival = best_two(similarities, owners)
    assert similarity == max(best.values()) and best[owner] == similarity
    assert rival == max((v for o, v in best.items() if o != owner), default=-1.0)
