"""The stages of a recipe: one frozen dataclass for each way to learn, every key with its range, default and description."""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeAlias

from msgspec import Meta

Positive = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]

Epochs = Annotated[float, Meta(ge=0, description="How often the crops are passed through.")]
Steps = Annotated[int, Meta(ge=0, description="How many batches are learned. 0: as many as `epochs` have.")]
PairCount = Annotated[int, Meta(gt=0, description="Pairs in a batch, half of them of one person.")]
People = Annotated[int, Meta(gt=1, description="People in a batch. Triplets need two people and two images of each.")]
Images = Annotated[int, Meta(gt=1, description="Images of each person in a batch. Triplets need two people and two images of each.")]
MinImages = Annotated[int, Meta(gt=0, description="People with fewer images than this are left out.")]
Rate = Annotated[float, Meta(gt=0, description="The highest learning rate. It falls to zero along a cosine.")]
WeightDecay = Annotated[float, Meta(ge=0, description="The weight decay, decoupled from the gradient as in AdamW.")]
RateWarmEpochs = Annotated[float, Meta(description="For how many epochs the learning rate rises from zero.")]
Ema = Annotated[
    float, Meta(ge=0, lt=1, description="The weight of the past in the moving average of the weights, which is what a run keeps.")
]
Keep = Annotated[
    Literal["better", "surely", "always"],
    Meta(
        description="`better` drops the stage's weights if val people are told apart better without them; `surely` unless they are better "
        "by more than chance explains; `always` keeps them."
    ),
]


@dataclass(frozen=True, slots=True)
class Trained:
    """The keys of every kind of stage that came later (see LATER in values.py): by what it is optimised, and when it ends."""

    patience: Annotated[int, Meta(ge=0, description="End the stage after this many validations without gain on val people. 0: never.")] = 0
    best: Annotated[bool, Meta(description="The stage gives the averaged weights of its best validation, not those of its end.")] = False
    optimizer: Annotated[
        Literal["adamw", "adam", "sgd", "rmsprop", "nadam", "lion", "lamb", "adafactor"],
        Meta(description="The optimizer, by Keras' name for it."),
    ] = "adamw"
    optimizer_with: Annotated[
        dict[str, float | bool],
        Meta(description="The optimizer's own parameters, named as in Keras: {momentum = 0.9, nesterov = true}."),
    ] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Identify(Trained):
    """Identification: softmax with margin over people, whose classifier is dropped afterwards."""

    epochs: Epochs = 60.0
    steps: Steps = 0
    batch: Annotated[Count, Meta(description="Crops in a batch.")] = 128
    min_images: MinImages = 2
    rate: Rate = 2e-3
    weight_decay: WeightDecay = 0.05
    rate_warm_epochs: RateWarmEpochs = 1.0
    scale_warm: Annotated[Positive, Meta(description="The scale of the cosines at first.")] = 16.0
    scale: Annotated[Positive, Meta(description="The scale of the cosines at the end.")] = 28.0
    margin: Annotated[float, Meta(ge=0, lt=1, description="The margin taken off the cosine to the right person at the end.")] = 0.3
    margin_form: Annotated[
        Literal["cosine", "angle"],
        Meta(description="`cosine`: the margin is taken off the cosine (CosFace). `angle`: it is added to the angle in radians (ArcFace)."),
    ] = "cosine"
    centres: Annotated[
        Count,
        Meta(description="Centres of each person in the classifier (sub-centre ArcFace). Wrongly labelled pictures gather at one of them."),
    ] = 1
    warm_epochs: Annotated[float, Meta(description="For how many epochs there is no margin, and the scale is `scale_warm`.")] = 4.0
    ramp_epochs: Annotated[float, Meta(description="Over how many further epochs margin and scale rise to `margin` and `scale`.")] = 8.0
    label_smoothing: Annotated[float, Meta(ge=0, lt=1, description="The share of the target that is spread over all people.")] = 0.0
    verify: Annotated[
        NotNegative,
        Meta(description="The weight of a second loss, on pairs or triplets of the batch (DeepID2). 0: none."),
    ] = 0.0
    verify_form: Annotated[
        Literal["l2", "l1", "cosine", "batch-hard"],
        Meta(description="The second loss: `l2`, `l1` and `cosine` on pairs, half of one person; `batch-hard` on people x 4 images."),
    ] = "l2"
    verify_margin: Annotated[
        float, Meta(description="Two people whose distance is larger than this cost nothing in the second loss (`l2`, `l1`).")
    ] = 1.0
    means: Annotated[
        bool,
        Meta(description="Start the classifier at the mean vector of each person. For a model that knows faces already."),
    ] = False
    apart: Annotated[
        NotNegative,
        Meta(description="The weight of a loss on the similarity of every two people of a batch, which rises above `apart_at`. 0: none."),
    ] = 0.0
    apart_at: Annotated[float, Meta(ge=-1, le=1, description="The similarity of two people above which that loss rises.")] = 0.3
    ema: Ema = 0.999
    keep: Keep = "better"


@dataclass(frozen=True, slots=True)
class Triplets(Trained):
    """Triplet loss on P people x K images."""

    epochs: Epochs = 6.0
    steps: Steps = 0
    mining: Annotated[
        Literal["batch-hard", "batch-all", "semi-hard", "hard", "rising", "random", "article"],
        Meta(
            description="Which triplets are learned: the first five choose from a batch of people x images; `random` draws them; `article` "
            "takes of `candidates` random ones the `hard` worst and `random` others."
        ),
    ] = "batch-hard"
    soft: Annotated[bool, Meta(description="The soft margin log(1 + exp(x)), instead of `margin`.")] = True
    margin: Annotated[NotNegative, Meta(description="How much farther another person must be than the same person.")] = 0.2
    squared: Annotated[bool, Meta(description="Compare squared distances.")] = False
    reduce: Annotated[
        Literal["mean", "nonzero", "sum"],
        Meta(description="How a batch's losses become one: their mean, the mean of those above zero, or their sum."),
    ] = "mean"
    people: People = 32
    images: Images = 4
    candidates: Annotated[Count, Meta(description="For mining `article`: how many random triplets are drawn.")] = 200
    hard: Annotated[int, Meta(description="For mining `article`: how many of the worst triplets are learned.")] = 16
    random: Annotated[int, Meta(description="For mining `article`: how many of the other triplets are learned.")] = 16
    min_images: MinImages = 3
    rate: Rate = 1e-4
    weight_decay: WeightDecay = 0.05
    rate_warm_epochs: RateWarmEpochs = 0.0
    ema: Ema = 0.999
    keep: Keep = "better"


@dataclass(frozen=True, slots=True)
class MultiSimilarity(Trained):
    """Multi-similarity loss (Wang 2019) with its mining, on P people x K images."""

    epochs: Epochs = 20.0
    steps: Steps = 0
    people: People = 32
    images: Images = 4
    alpha: Annotated[Positive, Meta(description="How sharply the least alike pictures of one person are preferred.")] = 2.0
    beta: Annotated[Positive, Meta(description="How sharply the most alike pictures of two people are preferred.")] = 50.0
    base: Annotated[float, Meta(ge=-1, le=1, description="The cosine around which pairs are weighed (the paper's lambda).")] = 0.5
    margin: Annotated[
        float,
        Meta(description="How far on the right side of its anchor's hardest pair of the other kind a pair may be and still be learned."),
    ] = 0.1
    min_images: MinImages = 2
    rate: Rate = 1e-3
    weight_decay: WeightDecay = 0.05
    rate_warm_epochs: RateWarmEpochs = 1.0
    ema: Ema = 0.999
    keep: Keep = "better"


@dataclass(frozen=True, slots=True)
class Circle(Trained):
    """Circle loss (Sun 2020) on all pairs of P people x K images."""

    epochs: Epochs = 20.0
    steps: Steps = 0
    people: People = 32
    images: Images = 4
    margin: Annotated[
        float, Meta(ge=0, lt=1, description="Pictures of one person are pulled to a cosine of 1 - margin, those of two pushed to margin.")
    ] = 0.4
    scale: Annotated[Positive, Meta(description="The scale of the weighted cosines (the paper's gamma).")] = 80.0
    min_images: MinImages = 2
    rate: Rate = 1e-3
    weight_decay: WeightDecay = 0.05
    rate_warm_epochs: RateWarmEpochs = 1.0
    ema: Ema = 0.999
    keep: Keep = "better"


@dataclass(frozen=True, slots=True)
class Pairs(Trained):
    """Contrastive loss (Hadsell 2006) on pairs."""

    epochs: Epochs = 20.0
    steps: Steps = 0
    pairs: PairCount = 64
    margin: Annotated[NotNegative, Meta(description="Two people whose distance is larger than this cost nothing.")] = 1.0
    min_images: MinImages = 2
    rate: Rate = 1e-3
    weight_decay: WeightDecay = 0.05
    rate_warm_epochs: RateWarmEpochs = 1.0
    ema: Ema = 0.999
    keep: Keep = "better"


@dataclass(frozen=True, slots=True)
class Same(Trained):
    """A head that says same or different from the weighted absolute difference of two features (Koch 2015; DeepFace)."""

    epochs: Epochs = 20.0
    steps: Steps = 0
    pairs: PairCount = 64
    every: Annotated[
        bool,
        Meta(description="Take all pairs of a batch of people x 4 images, with the same weight for same and different, not random pairs."),
    ] = False
    features: Annotated[
        Literal["sigmoid", "unit"], Meta(description="What the head compares: the embedding's `sigmoid`, or its `unit` vector.")
    ] = "sigmoid"
    frozen: Annotated[bool, Meta(description="Train the head alone.")] = False
    min_images: MinImages = 2
    rate: Rate = 1e-3
    weight_decay: WeightDecay = 0.0
    rate_warm_epochs: RateWarmEpochs = 1.0
    ema: Ema = 0.999
    keep: Keep = "always"


@dataclass(frozen=True, slots=True)
class Distil(Trained):
    """Cosine to a teacher's vectors, on P people x K images."""

    epochs: Epochs = 20.0
    steps: Steps = 0
    people: People = 32
    images: Images = 4
    triplets: Annotated[NotNegative, Meta(description="The weight of batch-hard triplets with soft margin beside the cosine. 0: none.")] = (
        0.1
    )
    min_images: MinImages = 1
    rate: Rate = 1e-3
    weight_decay: WeightDecay = 0.05
    rate_warm_epochs: RateWarmEpochs = 1.0
    ema: Ema = 0.999
    keep: Keep = "better"


StageRecipe: TypeAlias = Identify | Triplets | MultiSimilarity | Circle | Pairs | Same | Distil
STAGES: dict[str, type[Any]] = {
    "identify": Identify,
    "triplets": Triplets,
    "multi-similarity": MultiSimilarity,
    "circle": Circle,
    "pairs": Pairs,
    "same": Same,
    "distil": Distil,
}


def kind_of(stage: StageRecipe) -> str:
    """The word for a stage in a recipe."""
    return next(name for name, kind in STAGES.items() if isinstance(stage, kind))
