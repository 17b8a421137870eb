"""The "is" detector (paper 3.1): 42 (object, attribute) classes that start from a base detector's weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from kit.config import Config
from kit.data.splits import load_split, split_files
from kit.errors import KitError
from kit.progress import notice
from kit.run import Run
from kit.stages.detector import detector_model
from kit.stages.family import ATTRIBUTES
from kit.stages.images import files_hash, images_key
from kit.stages.splits import CLASSES, picture_folder
from kit.tables.schema import Boxes

if TYPE_CHECKING:
    from pathlib import Path

    from kit.detector.checkpoint import State


def attribute_stage(run: Run, name: str, force: bool = False) -> dict[str, Any]:
    """Train an "is" detector on the boxes of "is" relations: stage `attribute-NAME`, after `detector-NAME`."""
    from kit.detector.pictures import labelled_pictures
    from kit.detector.processes import join
    from kit.stages.shared import shared_stage

    config, settings = run.config, run.config.attribute
    if name not in settings.models:
        known = ", ".join(settings.models) or "none"
        raise KitError(f"attribute.models has no {name}", f"it has: {known}")
    model, folder = detector_model(config, name), picture_folder(config, "train")
    base = run.folder(f"detector-{name}") / "weights.pth"
    files = split_files(config.data.train)
    choice = {
        "training": settings.training.weights_key(),
        "images": images_key(run, folder, f"is {files_hash(run, files)}", lambda: _shown(config).images),
        "limit": settings.sampling_limit,
        "seed": config.seed,
    }
    made_from = run.key(choice, files, after=[f"detector-{name}"])
    own = f"attribute-{name}"
    join(config.detector)
    with shared_stage(run, own, made_from, force=force) as stage:
        if stage:
            from kit.stages.training import split_validation, task_of, train_stage

            pictures = labelled_pictures(folder, _shown(config), ATTRIBUTES.classes)
            task = task_of(config, own, model, pictures, settings.training, settings.sampling_limit)
            start = composite_weights(model.architecture, base, config.seed, stage.path)
            validate = split_validation(config, ATTRIBUTES, settings.training)
            stage.metrics = train_stage(task, stage.path, start, validate)
    return run.finished(own) or {}


def _shown(config: Config) -> Boxes:
    """The boxes of "is" relations, of the images that have some."""
    from kit.detector.composite import composite_boxes

    boxes = composite_boxes(load_split(config.data.train, "train").relations)
    return boxes.of_images([boxes.images[i] for i in np.unique(boxes.image)])


def composite_weights(architecture: Any, base: Path, seed: int, folder: Path) -> State:
    """Weights of the 42 classes, each with its object's rows of the base detector (paper 3.1)."""
    from kit.detector.checkpoint import read_state
    from kit.detector.composite import composites
    from kit.detector.processes import is_first
    from kit.detector.transfer import transfer_weights
    from kit.files import write_json
    from kit.stages.training import fresh_weights

    target = fresh_weights(architecture, len(composites()), seed)
    state, report = transfer_weights(read_state(base), target, composites()[:, 0])
    write_json(folder / "transfer.json", report.as_dict())
    if is_first():
        notice(
            f"{len(composites())} (object, attribute) classes take their objects' weights of {len(CLASSES)}"
        )
    return state
