"""Losses as pure functions of keras.ops, so that TensorFlow and JAX run the same code."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, assert_never

from keras import ops

Tensor: TypeAlias = Any
"""A backend tensor or a symbolic one. Keras ships no types, so the shapes stand in the docstrings."""

Reduce: TypeAlias = Literal["mean", "nonzero", "sum"]
Form: TypeAlias = Literal["l2", "l1", "cosine"]

APART_SLOPE = 20.0
ROUNDING = 1e-6
"""What float32 leaves of |a|² + |b|² - 2a·b where a and b are equal, as a share of |a|² + |b|²."""
FAR = 1e30
"""Larger than any distance or logit, but finite, so that nothing becomes NaN."""


def cosine_margin(targets: Tensor, cosines: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Softmax cross-entropy over scale*(cosine - margin at the true person) (CosFace, Wang et al. 2018); mean over the batch.

    targets: float32 [n, 3], person's number, margin and scale. Margin and scale travel with the targets because they are raised
    while training runs, and a compiled step would keep an old value of anything it closes over. cosines: float [n, people].
    """
    cosines = ops.cast(cosines, "float32")
    truth = ops.one_hot(ops.cast(targets[:, 0], "int32"), cosines.shape[-1])
    return _cross_entropy(truth, targets[:, 2:3] * (cosines - targets[:, 1:2] * truth), label_smoothing)


def angular_margin(targets: Tensor, cosines: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Softmax cross-entropy over scale*cos(angle), with the margin added to the true person's angle (ArcFace, Deng et al. 2019); mean over
    the batch. Arguments as for `cosine_margin`, the margin in radians.

    Where angle + margin is beyond pi the cosine would rise again and pull the wrong way. There it is cosine - margin*sin(margin), as in the
    authors' code. The sine is never below 0.001: its slope is infinite at angle zero, and float32 cannot tell smaller ones.
    """
    cosines = ops.cast(cosines, "float32")
    truth = ops.one_hot(ops.cast(targets[:, 0], "int32"), cosines.shape[-1])
    margin = targets[:, 1]
    own = ops.sum(truth * cosines, axis=-1)
    sine = ops.sqrt(ops.maximum((1.0 - own) * (1.0 + own), ROUNDING))
    farther = own * ops.cos(margin) - sine * ops.sin(margin)
    farther = ops.where(own > -ops.cos(margin), farther, own - margin * ops.sin(margin))
    return _cross_entropy(truth, targets[:, 2:3] * (cosines + truth * (farther - own)[:, None]), label_smoothing)


def nearest_centre(cosines: Tensor, centres: int) -> Tensor:
    """Cosines [n, people*centres], a person's centres side by side, to [n, people]: each person's nearest centre (sub-centre ArcFace, Deng
    et al. 2020). Wrongly labelled pictures gather at a centre of their own and leave the others alone."""
    return ops.max(ops.reshape(cosines, (-1, cosines.shape[-1] // centres, centres)), axis=-1)


def _cross_entropy(truth: Tensor, logits: Tensor, label_smoothing: float) -> Tensor:
    logarithm = ops.log_softmax(logits, axis=-1)
    nll = -ops.sum(truth * logarithm, axis=-1)
    if label_smoothing:
        nll = (1 - label_smoothing) * nll - label_smoothing * ops.mean(logarithm, axis=-1)
    return ops.mean(nll)


def multi_similarity(cosines: Tensor, own: Tensor, other: Tensor, alpha: float, beta: float, base: float) -> Tensor:
    """Multi-similarity loss (Wang et al. 2019), mean over the rows, which are anchors:
    log(1 + sum exp(-alpha (s - base))) / alpha over a row's pictures of the same person, and log(1 + sum exp(beta (s - base))) / beta over
    those of others. cosines: float [n, n]. own, other: bool [n, n], the pairs that take part (`mining.multi_similarity`)."""
    cosines = ops.cast(cosines, "float32")
    near = _log_one_and(-alpha * (cosines - base), own) / alpha
    return ops.mean(near + _log_one_and(beta * (cosines - base), other) / beta)


def circle(cosines: Tensor, own: Tensor, other: Tensor, margin: float, scale: float) -> Tensor:
    """Circle loss (Sun et al. 2020), mean over the anchors (rows) that have both kinds of pairs; zero if there are none.

    log(1 + sum exp(scale a (s - margin)) * sum exp(-scale b (s - 1 + margin))): the first sum over an anchor's pictures of other people
    with a = max(s + margin, 0), the second over those of the same person with b = max(1 + margin - s, 0). a and b carry no gradient.
    cosines: float [n, n]. own, other: bool [n, n].
    """
    cosines = ops.cast(cosines, "float32")
    fixed = ops.stop_gradient(cosines)
    far = scale * ops.relu(fixed + margin) * (cosines - margin)
    near = -scale * ops.relu(1.0 + margin - fixed) * (cosines - 1.0 + margin)
    usable = ops.logical_and(ops.any(own, axis=1), ops.any(other, axis=1))
    both = _log_sum(far, other) + _log_sum(near, own)
    cost = ops.where(usable, ops.softplus(ops.where(usable, both, 0.0)), 0.0)
    return ops.sum(cost) / ops.maximum(ops.sum(ops.cast(usable, "float32")), 1.0)


def _log_sum(values: Tensor, wanted: Tensor) -> Tensor:
    """log(sum exp) over the wanted numbers of each row of [n, k]; about -1e30, and no NaN, where none is wanted."""
    return ops.logsumexp(ops.where(wanted, values, -FAR), axis=1)


def _log_one_and(values: Tensor, wanted: Tensor) -> Tensor:
    """log(1 + sum exp) over the wanted numbers of each row of [n, k]; zero, with gradient zero, where none is wanted."""
    masked = ops.where(wanted, values, -FAR)
    return ops.logsumexp(ops.concatenate([ops.zeros_like(masked[:, :1]), masked], axis=1), axis=1)


def apart(vectors: Tensor, person: Tensor, at: float) -> Tensor:
    """How alike the two people of every pair of rows are, as softplus(20 (cosine - at)); mean over these pairs.

    A softmax over people sees no harm in what all rows of a batch share, for instance their camera. A threshold does. vectors: unit rows
    float [n, d]. person: int [n].
    """
    cosines = ops.matmul(vectors, ops.transpose(vectors))
    others = ops.cast(ops.not_equal(person[:, None], person[None, :]), "float32")
    return ops.sum(ops.softplus(APART_SLOPE * (cosines - at)) * others) / ops.maximum(ops.sum(others), 1.0)


def distances(embeddings: Tensor, squared: bool = False) -> Tensor:
    """All Euclidean distances [n, n] of rows [n, d], or their squares.

    Rows nearer than rounding can tell (for unit vectors 0.0014) are at distance zero, with gradient zero: the root would otherwise
    make a large random push out of the rounding between a picture and its copy.
    """
    embeddings = ops.cast(embeddings, "float32")
    length = ops.sum(ops.square(embeddings), axis=-1)
    lengths = length[:, None] + length[None, :]
    square = lengths - 2.0 * ops.matmul(embeddings, ops.transpose(embeddings))
    square = ops.where(square > ROUNDING * lengths, square, 0.0)
    return square if squared else _root(square)


def row_distances(a: Tensor, b: Tensor, squared: bool = False) -> Tensor:
    """Euclidean distances [n] between equal rows of a and b [n, d], or their squares; gradient zero where the rows are equal."""
    square = ops.sum(ops.square(_difference(a, b)), axis=-1)
    return square if squared else _root(square)


def soft_margin(positive: Tensor, negative: Tensor) -> Tensor:
    """log(1 + exp(d(a,p) - d(a,n))) per triplet (Hermans et al. 2017): a margin that never quite ends. 0.693 means collapse."""
    return ops.softplus(positive - negative)


def hard_margin(positive: Tensor, negative: Tensor, margin: float) -> Tensor:
    """max(d(a,p) - d(a,n) + margin, 0) per triplet (Schroff et al. 2015)."""
    return ops.relu(positive - negative + margin)


def triplet(positive: Tensor, negative: Tensor, usable: Tensor, margin: float, soft: bool, reduce: Reduce) -> Tensor:
    """Triplet loss, a scalar: zero, with gradient zero, where no triplet is usable.

    positive, negative: d(a,p) and d(a,n), plain or squared, of any one shape; usable: 0/1 of the same shape. soft: the soft margin in
    place of `margin`. reduce: "mean" over the usable triplets, "nonzero" over those of them that still cost something (Hermans et al.
    2017; the soft margin always costs something, so there it is the mean), or "sum".
    """
    usable = ops.cast(usable, "float32")
    cost = usable * (soft_margin(positive, negative) if soft else hard_margin(positive, negative, margin))
    match reduce:
        case "sum":
            return ops.sum(cost)
        case "mean":
            counted = usable
        case "nonzero":
            # exp underflows far from the margin: a soft cost of 0.0 was not zero.
            counted = usable if soft else ops.cast(cost > 0, "float32")
        case _:
            assert_never(reduce)
    return ops.sum(cost) / ops.maximum(ops.sum(counted), 1.0)


def contrastive(distance: Tensor, same: Tensor, margin: float) -> Tensor:
    """Per pair ½d² for the same person, ½max(0, margin - d)² for two (Hadsell et al. 2006); distance and same (0/1) [n]."""
    same = ops.cast(same, "float32")
    return 0.5 * (same * ops.square(distance) + (1.0 - same) * ops.square(ops.relu(margin - distance)))


def same_logits(a: Tensor, b: Tensor, weights: Tensor, bias: Tensor) -> Tensor:
    """Σ wᵢ|aᵢ - bᵢ| + bias per pair [n]: the logit of "same person" (Taigman et al. 2014; Koch et al. 2015).

    a, b: [n, d]; weights: [d], learnt along with bias, a scalar.
    """
    return ops.sum(weights * ops.abs(_difference(a, b)), axis=-1) + bias


def binary_cross_entropy(logits: Tensor, same: Tensor) -> Tensor:
    """Cross-entropy per pair of logits [n] against same [n], which is 0 or 1; exact also far from the boundary."""
    return ops.softplus((1.0 - 2.0 * ops.cast(same, "float32")) * ops.cast(logits, "float32"))


def verification(a: Tensor, b: Tensor, same: Tensor, form: Form, margin: float, weight: Tensor = 1.0, bias: Tensor = 0.0) -> Tensor:
    """The pair loss that joint training adds to the softmax (DeepID2, Sun et al. 2014), per pair [n].

    "l2": ½d² for the same person, ½max(0, margin - d)² for two. "l1": d and max(0, margin - d), with d = Σ|aᵢ - bᵢ|.
    "cosine": ½(same - σ(weight·cos + bias))², weight and bias being learnt scalars; no margin.
    a, b: [n, d]; same: 0/1 [n].
    """
    same = ops.cast(same, "float32")
    match form:
        case "l2":
            return contrastive(row_distances(a, b), same, margin)
        case "l1":
            distance = ops.sum(ops.abs(_difference(a, b)), axis=-1)
            return same * distance + (1.0 - same) * ops.relu(margin - distance)
        case "cosine":
            return 0.5 * ops.square(same - ops.sigmoid(weight * _cosine(a, b) + bias))
        case _:
            assert_never(form)


def distillation(student: Tensor, teacher: Tensor) -> Tensor:
    """1 - cosine per row [n] of student and teacher [n, d]; only directions are learnt, lengths are the student's own."""
    return 1.0 - _cosine(student, teacher)


def _difference(a: Tensor, b: Tensor) -> Tensor:
    return ops.cast(a, "float32") - ops.cast(b, "float32")


def _root(square: Tensor) -> Tensor:
    """Square root whose gradient at zero is zero. The inner choice is needed too: infinity times zero would be NaN."""
    apart = square > 0
    return ops.where(apart, ops.sqrt(ops.where(apart, square, 1.0)), 0.0)


def _cosine(a: Tensor, b: Tensor) -> Tensor:
    a, b = ops.cast(a, "float32"), ops.cast(b, "float32")
    square = ops.sum(ops.square(a), axis=-1) * ops.sum(ops.square(b), axis=-1)
    return ops.sum(a * b, axis=-1) * ops.rsqrt(square + 1e-12)
