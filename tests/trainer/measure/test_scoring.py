"""How alike: a head's comparison is what it was trained as."""

import numpy as np

from trainer.measure import scoring
from trainer.models import losses


def test_a_head_compares_as_it_was_trained() -> None:
    rng = np.random.default_rng(1)
    a, b, kernel = rng.normal(size=(5, 300)).astype(np.float32), rng.normal(size=(700, 300)).astype(np.float32), rng.normal(size=300)
    found = scoring.by_head(kernel.astype(np.float32), 0.25)(a, b)
    wanted = [[float(np.abs(x - y) @ kernel) + 0.25 for y in b] for x in a]
    assert found.shape == (5, 700) and np.allclose(found, wanted, atol=1e-2)
    pairs = losses.same_logits(a, b[:5], kernel.astype(np.float32), np.float32(0.25))
    assert np.allclose(np.diagonal(found[:, :5]), np.asarray(pairs), atol=1e-2)


def test_nothing_to_compare() -> None:
    none = np.empty((0, 4), np.float32)
    head = scoring.by_head(np.ones(4, np.float32), 0.0)
    assert head(none, np.ones((3, 4), np.float32)).shape == (0, 3) and head(np.ones((3, 4), np.float32), none).shape == (3, 0)
