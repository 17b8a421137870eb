"""What the paper says of the settings, and why a config of kit's may differ.

Rows are those that a setting answers to; what is fixed in the code (Adam, ReLU, the cosine, black pixels outside
both boxes) and what the paper leaves open (learning rates of detectors, sizes) has none.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Literal

from pydantic import JsonValue

from kit.config.reference_setting import (
    ARCHITECTURE,
    Reason,
    Setting,
    above,
    anything,
    between,
    each_like,
    file,
    is_mini,
    like,
    never,
    one,
    one_of,
    several,
    without_detectors,
)
from kit.config.relation_settings import Spatial

if TYPE_CHECKING:
    from kit.config.load import Config


def _file_names(config: Config, value: Any) -> JsonValue:
    """The names of the files; those of the mini challenge are generated ones under the published names."""
    if is_mini(config):
        return GENERATED
    if isinstance(value, list):
        return [PurePath(path).name for path in value]
    return value and PurePath(value).name


def _weight_names(config: Config, _: Any) -> JsonValue:
    """The names of the weights, with whose classes they have where that is said."""
    source = GENERATED if is_mini(config) else SOURCE
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


def _visual(config: Config, value: Any) -> JsonValue:
    """A visual model needs a detector to start from."""
    return None if value is None or without_detectors(config) else CNN


def _is(words: str) -> Callable[[Config, Any], JsonValue]:
    """What every config does."""
    return lambda *_: words


GENERATED, SOURCE, CNN = "generated", "trained on detector.source", "a CNN on the union crop"
NO_DROPS, HELD_OUT = "dart without drops: gbtree", "held-out images of the split it learns from"
VERIFIED = "a pair of verified labels is"

MINI = "the mini challenge is made for minutes on a laptop"
REGIONS = (
    "one look at an image for all its pairs; on the mini challenge's validation split, true boxes, mean AP 0.810 "
    "against 0.667"
)
ONE_TRUNK = (
    "regions were tried with one network for all predicates alone, on the mini challenge; with crops separate ones "
    "were worse there, 0.564 against 0.667"
)
FEW_PAIRS = (
    "the mini challenge has 50 to 400 positives a predicate, and predicates teach each other: mean AP 0.667 "
    "against 0.564"
)
FEW_ROWS = "the mini challenge has 10 to 120 positives a predicate for the third stage"
CHOSEN = "chosen for the spatial model by cross-validation over real training rows (configs/relations.yaml)"
ALONE = "without detectors a config is for relations on annotations alone; --set names the files"
UNVERIFIED = (
    "where a label is not verified a relation may be there unseen; the metric counts no error there either"
)
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

TREES: tuple[tuple[str, JsonValue, str], ...] = (  # with the values of configs/relations.yaml
    ("subsample", 0.2, "0.7"),
    ("colsample_bytree", 0.2, "0.5"),
    ("gamma", 2, "0"),
    ("reg_lambda", 1000, "30"),
    ("rounds", 5000, "300"),
)


def _chosen(table: Literal["spatial", "stack"], value: str) -> tuple[Reason]:
    """The reason for a value that was chosen with others: it holds where all of them are as they were chosen."""
    keys = [key for key, *_ in TREES] + (["booster", "max_depth"] if table == "spatial" else [])

    def holds(config: Config) -> bool:
        settings = getattr(config.relation, table)
        return all(getattr(settings, key) == Spatial.model_fields[key].default for key in keys)

    return (Reason(value, CHOSEN, holds),)


def _trees(table: Literal["spatial", "stack"]) -> list[Setting]:
    """What both boosted models have in common."""
    key = f"relation.{table}"
    return [
        *(Setting(f"{key}.{name}", value, "3.1", None, _chosen(table, own)) for name, value, own in TREES),
        Setting(f"{key}.early_stopping_interval", 50, "3.1"),
        Setting(f"{key}.early_stopping_metric", "average_precision", "3", None, (Reason("log_loss", LOSS),)),
        Setting(
            f"{key}.folds",
            "judged on the 3,991 triplets",
            "3",
            never,
            (Reason(HELD_OUT, FIXED),),
            _is(HELD_OUT),
        ),
    ]


def _files(key: str, words: str, name: str, *more: Reason) -> Setting:
    """Files that the paper describes by what they hold, and that were published under a name."""
    reasons = (Reason(GENERATED, MINI, is_mini), Reason("none", ALONE, without_detectors), *more)
    return Setting(key, words, "3", file(name), reasons, _file_names)


def _sees_regions(config: Config) -> bool:
    """Whether the visual model sees regions."""
    return config.relation.visual is not None and config.relation.visual.features == "regions"


PAPER = (
    Setting("data.source", "openimages", "3", reasons=(Reason("mini", MINI, is_mini),)),
    _files("data.train.relations", "374,768 triplets", "challenge-2019-train-vrd.csv"),
    _files("data.stack.relations", "12,314 triplets", "test-annotations-vrd.csv"),
    _files("data.val.relations", "3,991 triplets", "challenge-2019-validation-vrd.csv"),
    _files(
        "data.train.boxes",
        "1,743,042 images with boxes",
        "train-annotations-bbox.csv",
        Reason("challenge-2019-train-vrd-bbox.csv", BOXES),
    ),
    Setting(
        "data.train.labels",
        "every other pair is a negative",
        "3.1",
        never,
        (Reason(VERIFIED, UNVERIFIED),),
        _is(VERIFIED),
    ),
    _files("data.test.ids", "99,999 images", "VRD_sample_submission.csv"),
    Setting(
        ARCHITECTURE,
        "Cascade R-CNN: ResNeXt and HRNet",
        "3.1",
        each_like("resnext[0-9]*", "hrnet-w*"),
        reasons=(
            Reason("resnext-mini, hrnet-mini", MINI, is_mini),
            Reason("resnext-mini", MINI, is_mini),
            Reason("none", ALONE),
        ),
    ),
    Setting(
        "detector.models.*.weights",
        "trained on COCO",
        "2.1",
        each_like("*coco*"),
        reasons=(Reason(GENERATED, MINI, is_mini),),
        seen=_weight_names,
    ),
    Setting("detector.initial_weights", "pwt", "2.1"),
    Setting("detector.class_map", "44 of the 57 from COCO's 80", "2.1", one_of(None)),
    Setting("detector.models.*.unmatched", "random, or a detector's without PWT", "3.1", anything),
    Setting(
        "detector.sampling_limit",
        "1,000 to 10,000",
        "3",
        between(1000, 10_000),
        reasons=(Reason("50", MINI, is_mini),),
    ),
    Setting("detector.inference.views", "several (test-time augmentation)", "2.1", several, seen=_views),
    Setting("detector.fusion.method", "weighted average of boxes", "3.1", one_of("wbf", "nmw")),
    Setting("detector.fusion.weights", "one a model, by validation", "3.1", several),
    Setting("detector.fusion.rounds", "chosen by validation", "3.1", above(0)),
    Setting("attribute.models", "one of the base detectors", "3.1", one),
    Setting("relation.attributes", True, "3.1"),
    Setting("relation.train_boxes", "truth", "3.1"),
    Setting("relation.scorer", "stack", "2.3", reasons=(Reason("spatial", ALONE, without_detectors),)),
    Setting("relation.spatial.objective", "binary", "2.2"),
    Setting(
        "relation.spatial.booster",
        "dart",
        "3.1",
        reasons=(Reason(NO_DROPS, DROPS), *_chosen("spatial", "gbtree")),
        seen=_booster("spatial"),
    ),
    Setting("relation.spatial.max_depth", 10, "3.1", reasons=_chosen("spatial", "5")),
    *_trees("spatial"),
    Setting("relation.visual", CNN, "2.2", reasons=(Reason("none", ALONE, without_detectors),), seen=_visual),
    Setting(
        "relation.visual.model",
        "a detector's ResNeXt",
        "3.1",
        like("resnext[0-9]*"),
        reasons=(Reason("resnext-mini", MINI, is_mini),),
        seen=_backbone,
    ),
    Setting("relation.visual.features", "crops", "2.2", reasons=(Reason("regions", REGIONS),)),
    Setting(
        "relation.visual.backbone",
        "separate",
        "2.2",
        reasons=(Reason("shared", FEW_PAIRS, is_mini), Reason("shared", ONE_TRUNK, _sees_regions)),
    ),
    Setting("relation.visual.freeze_backbone", False, "2.2"),
    Setting(
        "relation.visual.negatives",
        "all",
        "3.1",
        reasons=(
            Reason("3", NEGATIVES),
            Reason("1.5", MINI, is_mini),
        ),
    ),
    Setting("relation.visual.negatives_from", "all", "3.1", reasons=(Reason("related", RELATED),)),
    Setting("relation.visual.mlp_layers", 3, "3.1"),
    Setting("relation.visual.dropout", 0.2, "3.1"),
    Setting("relation.visual.batch_size", 32, "3.1"),
    Setting("relation.visual.epochs", 35, "3.1", reasons=(Reason("10", MINI, is_mini),)),
    Setting("relation.visual.max_steps", "all of the epochs", "3.1", one_of(None)),
    Setting("relation.visual.max_lr", 3e-4, "3.1", reasons=(Reason("0.001", MINI, is_mini),)),
    Setting("relation.visual.min_lr", 5e-5, "3.1"),
    Setting("relation.visual.warmup", "linear, its length not named", "3.1", above(0)),
    Setting("relation.stack.booster", "gbtree", "3.1", one_of("gbtree", NO_DROPS), seen=_booster("stack")),
    Setting("relation.stack.max_depth", 8, "3.1", reasons=(Reason("2", FEW_ROWS, is_mini),)),
    *_trees("stack"),
)
