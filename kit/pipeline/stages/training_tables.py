"""What the relation models learn from: a split's ground truth, or its relations on detected boxes (paper 3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kit.base.split_names import SplitName
from kit.config import Boosting, Config, Visual
from kit.pipeline.detector_task import OBJECTS
from kit.pipeline.splits import images_input, relation_images, split_inputs, split_tables
from kit.pipeline.stage import ImagesInput, StageContext
from kit.pipeline.stages.fused_detections import fused_detections

if TYPE_CHECKING:
    from kit.data.split_tables import SplitTables


def training_tables(context: StageContext, split: SplitName) -> SplitTables:
    """A split as the relation models learn from it: its ground-truth boxes, or detections matched to them."""
    config = context.config
    tables = split_tables(config, split)
    if config.relation.train_boxes == "truth":
        return tables
    from kit.relation.predicted import on_detections

    found = fused_detections(context.result(OBJECTS.fuse(split)))
    return on_detections(tables, found, config.relation.candidate_limits.boxes)


def pair_images(config: Config, split: SplitName) -> ImagesInput:
    """The images of a split that have pairs to learn from; which these are predicted boxes do not say before."""
    if config.relation.train_boxes != "truth":
        return relation_images(config, split)

    def with_pairs() -> Sequence[str]:
        import numpy as np

        from kit.relation.prior_model import pair_examples

        candidates = pair_examples(split_tables(config, split)).candidates
        return [candidates.images[i] for i in np.unique(candidates.image)]

    return images_input(config, split, split_inputs(config, split), with_pairs, "pairs")


def box_needs(config: Config, split: SplitName) -> tuple[str, ...]:
    """The stage that the training boxes come from, where they are predicted ones."""
    return (OBJECTS.fuse(split),) if config.relation.train_boxes == "predicted" else ()


def learning_settings(config: Config, model: Boosting | Visual) -> dict[str, Any]:
    """What a relation model depends on: its settings, the seed and the training boxes.

    Where it is computed (threads, workers, device) and how often it is kept makes nothing stale: the record of
    the stage names it.
    """
    settings: dict[str, Any] = model.model_dump(
        exclude={"threads", "workers", "device", "checkpoint_minutes"}
    )
    return {**settings, "seed": config.seed, **box_settings(config)}


def box_settings(config: Config) -> dict[str, Any]:
    """The settings that the training boxes depend on."""
    relation = config.relation
    if relation.train_boxes == "truth":
        return {}
    return {"train_boxes": relation.train_boxes, "boxes": relation.candidate_limits.boxes}
