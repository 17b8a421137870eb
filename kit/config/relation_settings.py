"""Settings of the relation models: prior, spatial, visual, stack, limits of candidates, final confidence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from kit.base.registry import Registry
from kit.config.detector_settings import Size
from kit.config.model import LATER, MOST_PROCESSES, MOST_THREADS, Model, Share

if TYPE_CHECKING:
    from kit.relation.scorers import Scorer


def _no_column(name: str) -> str | None:
    """Why a scorer cannot have a name: it becomes a column of the scored candidates and a part of stages' names."""
    if not name.isidentifier() or name.startswith("_"):
        return "not a name of letters, digits and _ that a column can have"
    return "a word that columns or stages have already" if name in TAKEN else None


TAKEN = {
    *(
        "images",
        "image",
        "subject",
        "object",
        "predicate",
        "subject_box",
        "object_box",
        "score",
        "scores",
        "take",
    ),
    *(
        "subject_score",
        "object_score",
        "concat",
        "empty",
        "of_images",
        "COLUMNS",
        "detections",
        "attributes",
        "gt",
    ),
}
SCORERS: Registry[Scorer] = Registry(
    "scorer", "kit.relation.scorers", ("prior", "spatial", "visual", "average", "stack"), _no_column
)


class Prior(Model):
    """P(predicate | subject, object): pseudo-counts of the back-off to the classes and to the predicate."""

    smooth_class: float = Field(2.0, gt=0)
    smooth_pair: float = Field(50.0, gt=0)


class Boosting(Model):
    """XGBoost's own parameters under its own names, and early stopping.

    early_stopping_interval: rounds between two evaluations of the held-out images; patience: after how many of
    them without a better value it stops; early_stopping_metric: which value, the log loss or the average
    precision, which the relation metric is made of; folds: how many held-out parts of the images the number of
    rounds is chosen on; the model is then trained again on all rows. With 1, a tenth of the images is held out
    and the best evaluation's model is kept; where that tenth holds too few images with the predicate to judge
    by, it is as with 3. device: of training and prediction, the CPU where XGBoost finds no GPU. external_memory:
    train from disk, batch by batch, where the rows would fill half of the machine's memory (auto), always or never;
    the trees' bins are then others, the average precision the same within noise. max_bin: bins a feature; what
    is held in memory to find them grows with it. processes: of this machine that grow one model's trees together,
    each on its part of the rows, by XGBoost's own collective; under torchrun its number counts, for rows that
    outgrow a machine. Bins and samples are then others; with 1 a Ray cluster trains the models side by side.
    """

    booster: Literal["gbtree", "dart"] = "gbtree"
    eta: float = Field(0.1, gt=0, le=1)
    max_depth: int = Field(5, ge=1, le=30)
    min_child_weight: float = Field(0.1, ge=0)
    subsample: Share = 0.7
    colsample_bytree: Share = 0.5
    gamma: float = Field(0.0, ge=0)
    reg_lambda: float = Field(30.0, ge=0)
    rate_drop: float = Field(0.0, ge=0, lt=1)
    max_bin: Annotated[int, Field(ge=2, le=65_536), LATER] = 256
    rounds: int = Field(300, ge=0)
    early_stopping_interval: int = Field(50, ge=1)
    patience: int = Field(1, ge=1)
    early_stopping_metric: Literal["log_loss", "average_precision"] = "log_loss"
    folds: int = Field(3, ge=1, le=10)
    device: str = Field("cpu", pattern=r"^(cpu|cuda(:\d+)?)$")
    threads: int = Field(0, ge=0, le=MOST_THREADS)
    external_memory: Literal["auto", "always", "never"] = "auto"
    processes: Annotated[int, Field(ge=1, le=MOST_PROCESSES), LATER] = 1

    @model_validator(mode="after")
    def _a_gpu_each(self) -> Self:
        if self.processes > 1 and ":" in self.device:
            raise ValueError(
                f"{self.processes} processes need a GPU each, but device is {self.device}; set it to cuda"
            )
        return self


class Spatial(Boosting):
    """The spatio-semantic model: a binary model a predicate, or one multiclass model with a "none" class.

    base_margin: what boosting starts from, the prior's log-odds or the mean of the labels; pooled_weight: in the
    log-odds, of one more binary model of the rows of all predicates, which knows the predicate as a feature.
    """

    objective: Literal["binary", "multiclass"] = "binary"
    base_margin: Literal["prior", "mean"] = "mean"
    pooled_weight: Annotated[float, Field(ge=0, le=1), LATER] = 0.0

    @model_validator(mode="after")
    def _blends_binary_models(self) -> Spatial:
        if self.pooled_weight and self.objective != "binary":
            raise ValueError("pooled_weight goes with objective: binary")
        return self


class Visual(Model):
    """The visual model (paper 2.2, 3.1): an MLP on what a detector's backbone sees of a pair.

    features: of the masked union crop of every pair, or of the regions of subject, object and both, which the
    detector sees by one look at an image for all its pairs (backbone and neck, not fine-tuned; cells are stored
    for the training as crops are by `crops: store`); model: whose backbone it starts from, null for the first of
    `detector.models`; backbone: a network a predicate, or a shared one with a head a predicate; freeze_backbone:
    do not fine-tune it; crop_size: side in pixels; image_size: longest and shortest side of an image whose
    regions are seen; negatives: at most so many times the positives, drawn anew in every epoch, or all;
    negatives_from: all images, or the related ones, which show a relation, so that no other photo is needed;
    crops: cut out of the
    photos anew for each use, or once into a store of JPEGs, whose negatives are then a pool of
    negatives_stored times the positives; batch_size: pairs that a step of the optimizer learns from, whatever
    it is computed in; accumulate: so many parts, one after another (the learning rate stays: the batch does);
    max_steps: at most so many steps a predicate, null for all of the epochs; warmup: share of the steps in which
    the learning rate rises to max_lr, from where a cosine takes it to min_lr; checkpoint_minutes: between two
    checkpoints; processes: of this machine that train a network together, as `detector.processes` are, but each on
    its part of batch_size pairs (one network after another; 1 lets a Ray cluster train separate ones side by side).
    """

    features: Annotated[Literal["crops", "regions"], LATER] = "crops"
    model: str | None = None
    backbone: Literal["separate", "shared"] = "separate"
    freeze_backbone: bool = False
    crop_size: int = Field(224, ge=32)
    image_size: Annotated[Size, LATER] = (1333, 800)
    hidden: int = Field(512, ge=1)
    mlp_layers: int = Field(3, ge=1)
    dropout: float = Field(0.2, ge=0, lt=1)
    batch_size: int = Field(32, ge=1)
    accumulate: int = Field(1, ge=1)
    epochs: int = Field(35, ge=1)
    max_steps: int | None = Field(None, ge=1)
    negatives: Annotated[float, Field(gt=0)] | Literal["all"] = 3.0
    negatives_from: Annotated[Literal["all", "related"], LATER] = "all"
    crops: Literal["photos", "store"] = "photos"
    negatives_stored: float = Field(12.0, gt=0)
    max_lr: float = Field(3e-4, gt=0)
    min_lr: float = Field(5e-5, gt=0)
    warmup: float = Field(0.05, ge=0, lt=1)
    precision: Literal["float32", "bfloat16"] = "float32"
    workers: int = Field(0, ge=0)
    checkpoint_minutes: float = Field(10.0, ge=0)
    processes: Annotated[int, Field(ge=1, le=MOST_PROCESSES), LATER] = 1

    @model_validator(mode="after")
    def _a_pair_each(self) -> Visual:
        if self.processes > self.batch_size:
            raise ValueError(f"{self.processes} processes need a pair each: batch_size is {self.batch_size}")
        return self


class Stack(Boosting):
    """The third stage (paper 2.3): XGBoost over both scores and the features, a model a predicate.

    base_margin: what boosting starts from: a logistic regression of the two scores, the mean of the labels, or
    pooled: a logistic regression that few rows leave near one of all predicates' rows, and which stands where
    trees are no better than it; min_positives: with fewer positive rows a predicate gets no trees, and but for
    a pooled start keeps the average of its scores.
    """

    max_depth: int = Field(8, ge=1, le=30)
    base_margin: Literal["logistic", "pooled", "mean"] = "logistic"
    min_positives: int = Field(10, ge=1)


class CandidateLimits(Model):
    """How many candidates of an image are scored, the likeliest by ranking and detection scores.

    boxes: an image's objects; per_image: its pairs; per_pair: those of one subject and object class; ranking:
    by the prior of a pair's likeliest predicate, or by prior and geometry, where rare predicates weigh more and
    every predicate keeps its best pair (as far as per_image and per_pair have room for them).
    """

    boxes: int = Field(60, ge=1)
    per_image: int = Field(200, ge=1)
    per_pair: int = Field(30, ge=1)
    ranking: Annotated[Literal["prior", "geometry"], LATER] = "prior"


class Final(Model):
    """The final confidence. exponents: what is tried for the detection scores; calibrate: one scale for all."""

    exponents: list[Annotated[float, Field(ge=0)]] = Field([0.25, 0.5, 0.75, 1.0, 1.5], min_length=1)
    calibrate: bool = True


class Relation(Model):
    """The relation models of the second and third stage.

    train_boxes: ground truth (paper 3.1), or the fused detections of the training images, which the paper
    tried, or mixed: the spatial model learns from detections, the others from the truth; scorer: whose score of
    a pair counts; attributes: predict "is"; visual: null for none.
    """

    train_boxes: Literal["truth", "predicted", "mixed"] = "truth"
    scorer: Annotated[str, AfterValidator(SCORERS.check)] = "stack"
    attributes: bool = True
    candidate_limits: CandidateLimits = CandidateLimits()
    prior: Prior = Prior()
    spatial: Spatial = Spatial()
    visual: Visual | None = Visual()
    stack: Stack = Stack()
    final: Final = Final()
