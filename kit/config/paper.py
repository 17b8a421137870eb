"""What the paper says of the settings, and why a config of kit's may differ.

Rows are those that a setting answers to; what is fixed in the code (Adam, ReLU, the cosine, black pixels outside
both boxes) and what the paper leaves open (learning rates of detectors, sizes) has none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fnmatch import fnmatch
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pydantic import JsonValue

if TYPE_CHECKING:
    from kit.config.load import Config

Same = Callable[[Any], bool]


class Setting(NamedTuple):
    """One thing that the paper says: the dotted key (* is every one of a table), its value or words, its section.

    same: whether a config's value is what the paper says, default: equal to it. reasons: for a different one, by
    its text; mini: those that hold for the mini challenge alone. seen: what a config does by this setting, from
    the config and its value, where that is not the value.
    """

    key: str
    paper: JsonValue
    section: str
    same: Same | None = None
    reasons: Mapping[str, str] = {}
    mini: Mapping[str, str] = {}
    seen: Callable[[Config, Any], JsonValue] | None = None


def anything(_: Any) -> bool:
    """Any value: the paper names both."""
    return True


def never(_: Any) -> bool:
    """No value: no setting does what the paper says."""
    return False


def something(value: Any) -> bool:
    """Anything but null."""
    return value is not None


def one(values: list[Any]) -> bool:
    """A list of one."""
    return len(values) == 1


def several(values: list[Any]) -> bool:
    """A list of two or more."""
    return len(set(values)) > 1


def between(low: float, high: float) -> Same:
    """A number from low to high."""
    return lambda value: value is not None and low <= value <= high


def above(low: float) -> Same:
    """A number above low."""
    return lambda value: value > low


def one_of(*values: JsonValue) -> Same:
    """One of some values."""
    return lambda value: value in values


def file(name: str) -> Same:
    """The one file of this name."""
    return lambda names: names in (name, [name])


def like(pattern: str) -> Same:
    """A text of a pattern in small letters."""
    return lambda value: value is not None and fnmatch(value.lower(), pattern)


def each_like(*patterns: str) -> Same:
    """Texts: each of one of the patterns, and one at least of every pattern."""
    return lambda values: (
        all(any(like(pattern)(value) for pattern in patterns) for value in values)
        and all(any(like(pattern)(value) for value in values) for pattern in patterns)
    )


def _file_names(config: Config, value: Any) -> JsonValue:
    """The names of the files; those of the mini challenge are generated ones under the published names."""
    if config.data.source == "mini":
        return GENERATED
    if isinstance(value, list):
        return [PurePath(path).name for path in value]
    return value and PurePath(value).name


def _weight_names(config: Config, _: Any) -> JsonValue:
    """The names of the weights, with whose classes they have where that is said."""
    source = GENERATED if config.data.source == "mini" else SOURCE
    names = [
        f"{model.weights.name}{' (COCO)' if model.classes == 'coco' else ''}" if model.weights else source
        for model in config.detector.models.values()
    ]
    return list(dict.fromkeys(names))


def _views(config: Config, _: Any) -> JsonValue:
    return [view.name for view in config.detector.inference.views]


def _booster(table: Literal["spatial", "stack"]) -> Callable[[Config, Any], JsonValue]:
    """The booster that a table's model is trained with."""

    def seen(config: Config, value: str) -> JsonValue:
        return value if value != "dart" or getattr(config.relation, table).rate_drop else NO_DROPS

    return seen


def _backbone(config: Config, value: str | None) -> JsonValue:
    models = config.detector.models
    name = value or next(iter(models), "")
    return models[name].architecture if name in models else value


def _held_out(*_: Any) -> JsonValue:
    return HELD_OUT


GENERATED, SOURCE, CNN = "generated", "trained on detector.source", "a CNN on the union crop"
NO_DROPS, HELD_OUT = "dart without drops: gbtree", "held-out images of the split it learns from"

MINI = "the mini challenge is made for minutes on a laptop"
FEW_PAIRS = (
    "the mini challenge has 50 to 400 positives a predicate, and predicates teach each other: mean AP 0.664 "
    "against 0.579"
)
FEW_ROWS = "the mini challenge has 10 to 120 positives a predicate for the third stage"
CHOSEN = "chosen for the spatial model by cross-validation over real training rows (configs/relations.yaml)"
BOXES = "the boxes of the 57 classes: an image without one has nothing to detect"
FIXED = "the validation split then scores what boosting has not seen"
LOSS = "in cross-validation on real rows both metrics score alike (`kit reproduce early-stopping`)"
DROPS = (
    "no drop rate is named, and XGBoost's own is 0: dart then drops no tree and only predicts all of them anew in "
    "every round, about 1,000 core-hours in all against one or two"
)
RELATED = "images without a relation would be 600,000 photos more, about 170 GB"
NEGATIVES = (
    "all are about 156 million crops in 35 epochs, six days at 27 TFLOP/s; three a positive are 25 million and "
    "one day"
)

TREES: tuple[tuple[str, JsonValue, Mapping[str, str]], ...] = (
    ("subsample", 0.2, {"0.7": CHOSEN}),
    ("colsample_bytree", 0.2, {"0.5": CHOSEN}),
    ("gamma", 2, {"0": CHOSEN}),
    ("reg_lambda", 1000, {"30": CHOSEN}),
    ("rounds", 5000, {"300": CHOSEN}),
    ("early_stopping_interval", 50, {}),
)


def _trees(table: str) -> list[Setting]:
    """What both boosted models have in common."""
    return [
        *(Setting(f"{table}.{key}", value, "3.1", reasons=reasons) for key, value, reasons in TREES),
        Setting(f"{table}.early_stopping_metric", "average_precision", "3", reasons={"log_loss": LOSS}),
        Setting(
            f"{table}.folds", "judged on the 3,991 triplets", "3", never, {HELD_OUT: FIXED}, seen=_held_out
        ),
    ]


def _files(key: str, words: str, name: str) -> Setting:
    """Files that the paper describes by what they hold, and that were published under a name."""
    return Setting(key, words, "3", file(name), mini={GENERATED: MINI}, seen=_file_names)


PAPER = (
    Setting("data.source", "openimages", "3", mini={"mini": MINI}),
    _files("data.train.relations", "374,768 triplets", "challenge-2019-train-vrd.csv"),
    _files("data.stack.relations", "12,314 triplets", "test-annotations-vrd.csv"),
    _files("data.val.relations", "3,991 triplets", "challenge-2019-validation-vrd.csv"),
    _files("data.train.boxes", "1,743,042 images with boxes", "train-annotations-bbox.csv")._replace(
        reasons={"challenge-2019-train-vrd-bbox.csv": BOXES}
    ),
    _files("data.test.ids", "99,999 images", "VRD_sample_submission.csv"),
    Setting(
        "detector.models.*.architecture",
        "Cascade R-CNN: ResNeXt and HRNet",
        "3.1",
        each_like("resnext[0-9]*", "hrnet-w*"),
        mini={"resnext-mini, hrnet-mini": MINI},
    ),
    Setting(
        "detector.models.*.weights",
        "trained on COCO",
        "2.1",
        each_like("*coco*"),
        mini={GENERATED: MINI},
        seen=_weight_names,
    ),
    Setting("detector.initial_weights", "pwt", "2.1"),
    Setting("detector.class_map", "44 of the 57 from COCO's 80", "2.1", one_of(None)),
    Setting("detector.models.*.unmatched", "random, or a detector's without PWT", "3.1", anything),
    Setting("detector.sampling_limit", "1,000 to 10,000", "3", between(1000, 10_000), mini={"50": MINI}),
    Setting("detector.inference.views", "several (test-time augmentation)", "2.1", several, seen=_views),
    Setting("detector.fusion.method", "weighted average of boxes", "3.1", one_of("wbf", "nmw")),
    Setting("detector.fusion.weights", "one a model, by validation", "3.1", several),
    Setting("detector.fusion.rounds", "chosen by validation", "3.1", above(0)),
    Setting("attribute.models", "one of the base detectors", "3.1", one),
    Setting("relation.attributes", True, "3.1"),
    Setting("relation.train_boxes", "truth", "3.1"),
    Setting("relation.scorer", "stack", "2.3"),
    Setting("relation.spatial.objective", "binary", "2.2"),
    Setting(
        "relation.spatial.booster",
        "dart",
        "3.1",
        reasons={NO_DROPS: DROPS, "gbtree": CHOSEN},
        seen=_booster("spatial"),
    ),
    Setting("relation.spatial.max_depth", 10, "3.1", reasons={"5": CHOSEN}),
    *_trees("relation.spatial"),
    Setting("relation.visual", CNN, "2.2", something),
    Setting(
        "relation.visual.model",
        "a detector's ResNeXt",
        "3.1",
        like("resnext[0-9]*"),
        mini={"resnext-mini": MINI},
        seen=_backbone,
    ),
    Setting("relation.visual.backbone", "separate", "2.2", mini={"shared": FEW_PAIRS}),
    Setting("relation.visual.freeze_backbone", False, "2.2"),
    Setting("relation.visual.negatives", "all", "3.1", reasons={"3": NEGATIVES}, mini={"1.5": MINI}),
    Setting("relation.visual.negatives_from", "all", "3.1", reasons={"related": RELATED}),
    Setting("relation.visual.mlp_layers", 3, "3.1"),
    Setting("relation.visual.dropout", 0.2, "3.1"),
    Setting("relation.visual.batch_size", 32, "3.1"),
    Setting("relation.visual.epochs", 35, "3.1", mini={"10": MINI}),
    Setting("relation.visual.max_steps", "all of the epochs", "3.1", one_of(None)),
    Setting("relation.visual.max_lr", 3e-4, "3.1", mini={"0.001": MINI}),
    Setting("relation.visual.min_lr", 5e-5, "3.1"),
    Setting("relation.visual.warmup", "linear, its length not named", "3.1", above(0)),
    Setting("relation.stack.booster", "gbtree", "3.1", one_of("gbtree", NO_DROPS), seen=_booster("stack")),
    Setting("relation.stack.max_depth", 8, "3.1", mini={"2": FEW_ROWS}),
    *_trees("relation.stack"),
)
