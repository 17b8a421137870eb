"""Stage `attribute-detector-NAME` (paper 3.1): 42 (object, attribute) classes, from a base detector's weights."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from kit.base.log import logger
from kit.config import Architecture, Config
from kit.pipeline.detector_task import (
    ATTRIBUTES,
    OBJECTS,
    detector_model,
    seed_settings,
    training_stage,
    validation_inputs,
)
from kit.pipeline.splits import CLASSES, image_folder, split_inputs, split_tables
from kit.pipeline.stage import Metrics, Stage, StageContext
from kit.pipeline.stage_registry import register_stages
from kit.pipeline.training_draws import train_split_input, training_draws

if TYPE_CHECKING:
    from kit.detector.checkpoint import State
    from kit.detector.class_balanced_sampling import DrawnImages
    from kit.tables.schema import Boxes


@register_stages
def attribute_detector_stages(config: Config) -> Iterator[Stage]:
    """An "is" detector for every model in `attribute.models`, after the detector of that name."""
    settings = config.attribute
    for name in settings.models:
        detector_model(config, name)
        files = split_inputs(config, "train")
        processes = config.attribute_processes
        images = train_split_input(config, files, _attribute_draws, settings, processes, "is")
        yield training_stage(
            ATTRIBUTES.detector(name),
            partial(_train, name=name),
            needs=(OBJECTS.detector(name),),
            inputs=(*files, images),
            watched=validation_inputs(config, ATTRIBUTES),
            settings={
                "training": settings.training.weights_key(),
                "sampling_limit": settings.sampling_limit,
                **seed_settings(config, name, processes),
            },
            processes=processes,
            command=f"train attribute {name}",
            device=config.detector.device,
            trains=True,
            implicit=False,
        )


def _train(context: StageContext, name: str) -> Metrics:
    from kit.detector.annotated_images import training_images
    from kit.detector.process_group import process_count
    from kit.pipeline.training_stage import split_validation, task_of, train_stage

    config, settings = context.config, context.config.attribute
    model = detector_model(config, name)
    draws = _attribute_draws(config, config.seed, process_count())
    images = training_images(image_folder(config, "train"), draws, ATTRIBUTES.classes)
    base = context.result(OBJECTS.detector(name)) / "weights.pth"
    start = attribute_weights(model.architecture, base, config.seed, context.path)
    validate = split_validation(config, ATTRIBUTES, settings.training)
    task = task_of(config, context.stage.name, name, images, settings.training, "attribute.training")
    return train_stage(task, context.path, start, validate)


def _attribute_draws(config: Config, seed: int, processes: int) -> DrawnImages:
    """The training images that an "is" detector draws."""
    settings = config.attribute
    return training_draws(
        _shown(config), ATTRIBUTES.classes, settings.training, settings.sampling_limit, seed, processes
    )


def _shown(config: Config) -> Boxes:
    """The boxes of "is" relations, of the images that have some."""
    import numpy as np

    from kit.tables.attribute_classes import attribute_boxes

    boxes = attribute_boxes(split_tables(config, "train").relations)
    return boxes.of_images([boxes.images[i] for i in np.unique(boxes.image)])


def attribute_weights(architecture: Architecture, base: Path, seed: int, folder: Path) -> State:
    """Weights of the 42 classes, each with its object's rows of the base detector (paper 3.1)."""
    from kit.base.files import write_json
    from kit.detector.architecture import fresh_weights
    from kit.detector.checkpoint import read_state
    from kit.detector.process_group import is_main_process
    from kit.detector.weight_transfer import transfer_weights
    from kit.tables.attribute_classes import attribute_classes

    target = fresh_weights(architecture, len(attribute_classes()), seed)
    state, report = transfer_weights(read_state(base), target, attribute_classes()[:, 0])
    write_json(folder / "transfer.json", report.as_dict())
    if is_main_process():
        logger.info(
            f"{len(attribute_classes())} (object, attribute) classes take their objects' weights of {len(CLASSES)}"
        )
    return state
