"""Stage `visual` (paper 2.2, 3.1): a CNN on masked union crops, or on the regions that a detector sees."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from kit.base.errors import KitError
from kit.base.log import logger
from kit.config import Config, Visual
from kit.data.photos import list_photos
from kit.detector.process_group import is_main_process
from kit.pipeline.begun_by import check_begun_by, end_begun_by
from kit.pipeline.detector_task import OBJECTS
from kit.pipeline.engine.tasked import Step, TaskedWork
from kit.pipeline.splits import image_folder, split_inputs
from kit.pipeline.stage import Metrics, Stage, StageContext
from kit.pipeline.stage_registry import register_stages
from kit.pipeline.stages.training_tables import (
    box_needs,
    images_of,
    learning_settings,
    pair_images,
    training_tables,
    visual_examples,
)
from kit.relation.model_names import pairwise
from kit.relation.scorers import visual_is_there
from kit.vocabulary import vocabulary

SHARED = "shared"  # the network of all predicates


@register_stages
def visual_stages(config: Config) -> Iterator[Stage]:
    """The visual model, where the config has settings for it and a detector to start from."""
    settings = config.relation.visual
    if settings is None or not visual_is_there(config):
        return
    separate = settings.backbone != SHARED and settings.features == "crops"
    apart = separate and settings.processes == 1
    step = Step(pairwise(), config.detector.device)
    yield Stage(
        "visual",
        TaskedWork((step,), _train_one, _finish) if apart else _finish,
        needs=(OBJECTS.detector(base_detector(config)), *box_needs(config, "visual", "train")),
        inputs=(*split_inputs(config, "train"), pair_images(config, "train", settings)),
        settings={**seen_settings(config, settings), "model": base_detector(config)},
        version=2,
        command="train visual",
        headline="loss",
        device=config.detector.device,
        timing_files=tuple(f"{name}.json" for name in (SHARED, *vocabulary().predicates)),
        trains=True,
        implicit=False,
        distributed=True,
        processes=settings.processes,
    )


def base_detector(config: Config) -> str:
    """The detector that the visual model starts from. Raises KitError where there is none."""
    settings = config.relation.visual
    name = (settings.model if settings else None) or next(iter(config.detector.models), None)
    if name is None or name not in config.detector.models:
        raise KitError(
            f"relation.visual.model: there is no detector {name or ''}".rstrip(), "set detector.models"
        )
    return name


def seen_settings(config: Config, settings: Visual) -> dict[str, Any]:
    """What the model depends on of its settings: those of crops, or of regions, are not among it for the other."""
    others = {"crops": ("image_size",), "regions": ("crops", "crop_size", "freeze_backbone")}
    left_out = others[settings.features]
    learned = learning_settings(config, "visual", settings)
    return {key: value for key, value in learned.items() if key not in left_out}


def _train_one(context: StageContext, only: str) -> None:
    _train(context, only)


def _finish(context: StageContext) -> Metrics:
    from kit.detector.annotated_images import SKIPPED, left_out, tidy_skipped

    networks, shown = _train(context)
    if not is_main_process():
        return {}
    end_begun_by(context)
    photos = list_photos(image_folder(context.config, "train"))
    skipped = tidy_skipped(context.path / SKIPPED, [image for image in shown if image not in photos])
    if skipped:
        logger.warning(f"visual: {left_out(skipped, len(shown))}; see {SKIPPED}")
    losses = [figures["loss"] for figures in networks.values()]
    mean = round(sum(losses) / len(losses), 4) if losses else None
    return {"loss": mean, "networks": networks, "left_out": len(skipped)}


def _train(context: StageContext, only: str | None = None) -> tuple[dict[str, Any], Sequence[str]]:
    """Train one network, or all that are not there; the figures of each, and the images that they are shown."""
    from kit.detector.checkpoint import read_state
    from kit.relation.visual_data import pair_rows
    from kit.relation.visual_training import train_visual

    check_begun_by(context)
    config, settings = context.config, context.config.relation.visual
    assert settings is not None
    name, folder = base_detector(config), image_folder(config, "train")
    split = training_tables(context, "train")
    examples = visual_examples(split, settings)
    networks = train_visual(
        pair_rows(examples, split.objects, folder),
        config.detector.models[name].architecture,
        read_state(context.result(OBJECTS.detector(name)) / "weights.pth"),
        settings,
        config.seed,
        context.path,
        config.detector.device,
        config.data.decoding(),
        only,
    )
    return networks, images_of(examples)
