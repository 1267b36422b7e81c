"""How alike: a head's comparison is what it was trained as."""

import numpy as np

from trainer.measure import metrics, scoring
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


def test_networks_side_by_side_compare_by_their_mean_cosine() -> None:
    rng = np.random.default_rng(1)
    raw = [rng.normal(size=(6, size)).astype(np.float32) for size in (4, 9)]
    one, other = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True) for vectors in raw)
    scorers = [scoring.Scorer(lambda crops: one[: len(crops)], metrics.cosine), scoring.Scorer(lambda crops: other, metrics.cosine)]
    crops = np.zeros((6, 2, 2, 1), np.uint8)
    vectors = scoring.joined(scorers).embed(crops)
    assert vectors.shape == (6, 13) and np.allclose(np.linalg.norm(vectors, axis=1), 1)
    cosines = [metrics.cosine(scorer.embed(crops), scorer.embed(crops)) for scorer in scorers]
    assert np.allclose(metrics.cosine(vectors, vectors), np.mean(cosines, axis=0), atol=1e-6)
