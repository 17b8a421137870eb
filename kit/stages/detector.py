"""The training of the detectors: weights of the source set, then the 57 classes by partial weight transfer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kit.config import Config, DetectorModel
from kit.errors import FileFault, KitError
from kit.progress import notice
from kit.run import Run
from kit.stages.family import OBJECTS
from kit.stages.images import files_hash, images_key
from kit.stages.splits import CLASSES, existing, picture_folder, split_boxes

if TYPE_CHECKING:
    from kit.detector.checkpoint import State


def source_stage(run: Run, name: str, force: bool = False) -> dict[str, Any]:
    """Train a detector's weights on the source set: stage `source-NAME`."""
    from kit.detector.pictures import labelled_pictures
    from kit.detector.processes import join
    from kit.stages.shared import shared_stage
    from kit.tables.coco import read_instances

    config, model = run.config, detector_model(run.config, name)
    source = config.detector.source
    if source.annotations is None or source.images is None:
        raise KitError(
            f"detector.models.{name}.weights is not set",
            "give a checkpoint, or detector.source.annotations and images to train one on",
        )
    files = [f for f in (source.annotations, source.val_annotations) if f]
    choice = {
        **_common(config, model),
        "training": source.training.weights_key(),
        "images": images_key(
            run, existing(source.images), files_hash(run, files[:1]), lambda: _source_images(config)
        ),
    }
    made_from = run.key(choice, files)
    own = f"source-{name}"
    join(config.detector)
    with shared_stage(run, own, made_from, force=force) as stage:
        if stage:
            from kit.stages.training import task_of, train_stage, validation

            boxes, classes = read_instances(source.annotations)
            pictures = labelled_pictures(source.images, boxes, classes)
            validate = None
            if source.val_annotations and source.val_images:
                val_boxes, val_classes = read_instances(source.val_annotations)
                if val_classes != classes:
                    raise FileFault(
                        source.val_annotations, f"its classes are not those of {source.annotations}"
                    )
                val = labelled_pictures(source.val_images, val_boxes, classes)
                validate = validation(config, val, None, source.training)
            task = task_of(config, own, model, pictures, source.training, limit=None)
            stage.metrics = train_stage(task, stage.path, None, validate)
    return run.finished(own) or {}


def detector_stage(run: Run, name: str, force: bool = False) -> dict[str, Any]:
    """Train a detector of the 57 classes: stage `detector-NAME`, after `source-NAME` where it needs one."""
    from kit.detector.pictures import labelled_pictures
    from kit.detector.processes import join
    from kit.stages.shared import shared_stage

    config, model = run.config, detector_model(run.config, name)
    settings, folder = config.detector, picture_folder(config, "train")
    own_source = settings.start != "scratch" and model.weights is None
    if own_source:
        source_stage(run, name)
    truth = config.data.train.boxes or config.data.train.relations
    choice = {
        **_common(config, model),
        "training": settings.training.weights_key(),
        "images": images_key(
            run, folder, files_hash(run, truth), lambda: split_boxes(config.data.train, "train").images
        ),
        "start": settings.start,
        "limit": settings.sampling_limit,
        **({"classes": str(model.classes)} if model.classes else {}),
    }
    files = (model.weights, settings.class_map, model.classes)
    inputs = [*truth, *(path for path in files if isinstance(path, Path))]
    made_from = run.key(choice, inputs, after=[f"source-{name}"] if own_source else [])
    own = f"detector-{name}"
    join(settings)
    with shared_stage(run, own, made_from, force=force) as stage:
        if stage:
            from kit.stages.training import split_validation, task_of, train_stage

            boxes = split_boxes(config.data.train, "train")
            pictures = labelled_pictures(folder, boxes, CLASSES)
            task = task_of(config, own, model, pictures, settings.training, settings.sampling_limit)
            start = starting_weights(run, name, stage.path)
            validate = split_validation(config, OBJECTS, settings.training)
            stage.metrics = train_stage(task, stage.path, start, validate)
    return run.finished(own) or {}


def starting_weights(run: Run, name: str, folder: Path) -> State | None:
    """The weights that a detector's training begins with, by `detector.start`; the report goes to `folder`."""
    from kit.detector.classmap import build_class_map, class_indices, read_class_map
    from kit.detector.processes import is_first
    from kit.detector.trained import read_trained
    from kit.files import write_json
    from kit.stages.training import fresh_weights

    config, settings = run.config, run.config.detector
    model = detector_model(config, name)
    if settings.start == "scratch":
        return None
    weights = model.weights or run.folder(f"source-{name}") / "weights.pth"
    trained = read_trained(weights, model.classes, named=settings.start == "pwt")
    target = fresh_weights(model.architecture, len(CLASSES), config.seed)
    bases: dict[str, str] = {}
    if settings.start == "new-heads":
        chosen = np.full(len(CLASSES), -1)
    elif settings.class_map:
        chosen = read_class_map(settings.class_map, trained.names)
    else:
        chosen = class_indices(trained.names, model.classes or weights)
        bases = {m.name: m.basis for m in build_class_map(trained.names)}
    state, report = trained.transferred(target, chosen)
    if settings.start == "new-heads":
        heads = [n for n in state if n.split(".")[-2:-1] in (["fc_cls"], ["fc_reg"])]
        state |= {n: target[n] for n in heads}
        report.rows = {n: (0, target[n].shape[0]) for n in heads}
    matched = int((chosen >= 0).sum())
    write_json(folder / "transfer.json", {"matched": matched, "basis": bases, **report.as_dict()})
    if settings.start == "pwt" and is_first():
        notice(f"detector-{name}: {matched} of {len(CLASSES)} classes take their weights from {weights}")
    return state


def detector_model(config: Config, name: str) -> DetectorModel:
    """A detector of the config. Raises KitError where it has none of that name."""
    models = config.detector.models
    if name not in models:
        known = ", ".join(models) or "none"
        raise KitError(f"detector.models has no {name}", f"it has: {known}")
    return models[name]


def _source_images(config: Config) -> tuple[str, ...]:
    from kit.tables.coco import read_instances

    annotations = config.detector.source.annotations
    return read_instances(annotations)[0].images if annotations else ()


def _common(config: Config, model: DetectorModel) -> dict[str, Any]:
    return {"model": model.model_dump(exclude={"classes"}), "seed": config.seed}
