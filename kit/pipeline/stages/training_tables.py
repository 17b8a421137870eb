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
    from kit.relation.prior_model import Examples


def learns_from_detections(config: Config, model: str) -> bool:
    """Whether a model (the name of its stage) learns from detected boxes, not from true ones."""
    boxes = config.relation.train_boxes
    return boxes == "predicted" or (boxes == "mixed" and model == "spatial")


def training_tables(context: StageContext, split: SplitName) -> SplitTables:
    """A split as the relation models learn from it: its ground-truth boxes, or detections matched to them."""
    config = context.config
    tables = split_tables(config, split)
    if not learns_from_detections(config, context.stage.name):
        return tables
    from kit.relation.predicted import on_detections

    found = fused_detections(context.result(OBJECTS.fuse(split)))
    return on_detections(tables, found, config.relation.candidate_limits.boxes)


def visual_examples(tables: SplitTables, settings: Visual) -> Examples:
    """The pairs that the visual model learns from."""
    from kit.relation.prior_model import pair_examples

    examples = pair_examples(tables)
    return examples.of_related_images() if settings.negatives_from == "related" else examples


def pair_images(config: Config, split: SplitName, visual: Visual | None = None) -> ImagesInput:
    """The images of a split that have pairs to learn from; which these are predicted boxes do not say before.

    visual: where these are the visual model's.
    """
    if config.relation.train_boxes == "predicted":
        return relation_images(config, split)

    def with_pairs() -> Sequence[str]:
        from kit.relation.prior_model import pair_examples

        tables = split_tables(config, split)
        return images_of(visual_examples(tables, visual) if visual else pair_examples(tables))

    choice = "pairs of related images" if visual and visual.negatives_from == "related" else "pairs"
    return images_input(config, split, split_inputs(config, split), with_pairs, choice)


def images_of(examples: Examples) -> list[str]:
    """The ids of the images that some pairs are of."""
    import numpy as np

    return [examples.candidates.images[i] for i in np.unique(examples.candidates.image)]


def box_needs(config: Config, model: str, split: SplitName) -> tuple[str, ...]:
    """The stage that a model's training boxes come from, where they are predicted ones."""
    return (OBJECTS.fuse(split),) if learns_from_detections(config, model) else ()


def learning_settings(config: Config, name: str, model: Boosting | Visual) -> dict[str, Any]:
    """What a relation model depends on: its settings, the seed and the training boxes. name: of its stage.

    Where it is computed (threads, workers, device, in memory or from disk) and how often it is kept makes nothing
    stale: the record of the stage names threads, processor and `rows_in`, memory or disk.
    """
    settings = model.result_settings(
        {"threads", "workers", "device", "external_memory", "checkpoint_minutes"}
    )
    return {**settings, "seed": config.seed, **box_settings(config, name)}


def box_settings(config: Config, model: str) -> dict[str, Any]:
    """The settings that a model's training boxes depend on; scores: the detections keep theirs."""
    if not learns_from_detections(config, model):
        return {}
    return {"train_boxes": "predicted", "boxes": config.relation.candidate_limits.boxes, "scores": True}
