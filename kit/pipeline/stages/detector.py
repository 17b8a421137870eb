"""Stages `source-NAME` and `detector-NAME`: weights of the source set, then the 57 classes by PWT."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit.base.errors import FileFault
from kit.base.log import logger
from kit.config import ARCHITECTURES, Config, DetectorModel, Source
from kit.config.plugins import plugin_digest
from kit.pipeline.detector_task import (
    OBJECTS,
    detector_model,
    seed_settings,
    training_stage,
    validation_inputs,
)
from kit.pipeline.splits import CLASSES, box_inputs, image_folder, split_boxes
from kit.pipeline.stage import FileInput, ImagesInput, Input, Metrics, Stage, StageContext
from kit.pipeline.stage_registry import register_stages
from kit.pipeline.training_draws import drawn_input, train_split_input, training_draws

if TYPE_CHECKING:
    from kit.detector.checkpoint import State
    from kit.detector.class_balanced_sampling import DrawnImages


@register_stages
def detector_stages(config: Config) -> Iterator[Stage]:
    """A detector a model of the config, and its source weights where it needs some."""
    for name, model in config.detector.models.items():
        own_source = config.detector.initial_weights != "scratch" and model.weights is None
        if own_source:
            yield _source(config, name, model)
        truth = box_inputs(config, "train")
        settings = config.detector
        images = train_split_input(config, truth, _object_draws, settings, settings.processes)
        files = {
            f"detector.models.{name}.weights": model.weights,
            "detector.class_map": settings.class_map,
            f"detector.models.{name}.classes": model.classes if isinstance(model.classes, Path) else None,
            f"detector.models.{name}.unmatched": model.unmatched
            if isinstance(model.unmatched, Path)
            else None,
        }
        yield training_stage(
            OBJECTS.detector(name),
            partial(_train_detector, name=name),
            needs=(f"source-{name}",) if own_source else (),
            inputs=(*truth, images, *(FileInput(key, path) for key, path in files.items() if path)),
            watched=validation_inputs(config, OBJECTS),
            settings={
                **architecture_settings(model),
                "training": settings.training.weights_key(),
                "initial_weights": settings.initial_weights,
                "sampling_limit": settings.sampling_limit,
                **seed_settings(config, name, config.detector.processes),
                **({"classes": "coco"} if model.classes == "coco" else {}),
            },
            processes=config.detector.processes,
            command=f"train detector {name}",
            device=settings.device,
            trains=True,
            implicit=False,
        )


def _source(config: Config, name: str, model: DetectorModel) -> Stage:
    source = config.detector.source
    hint = f"give a checkpoint with detector.models.{name}.weights, or a set to train one on"
    annotations = FileInput(
        "detector.source.annotations", source.annotations, "" if source.annotations else hint
    )
    images = drawn_input(
        "detector.source.images",
        source.images,
        (annotations,),
        lambda processes: _source_draws(config, config.seed, processes)[0],
        source.training,
        None,
        config.seed,
        config.detector.processes,
    )
    return training_stage(
        f"source-{name}",
        partial(_train_source, name=name),
        inputs=(annotations, images),
        watched=_source_validation(source),
        settings={
            **architecture_settings(model),
            "training": source.training.weights_key(),
            **seed_settings(config, name, config.detector.processes),
        },
        processes=config.detector.processes,
        command=f"train detector {name} --only-source",
        device=config.detector.device,
    )


def _source_validation(source: Source) -> tuple[Input, ...]:
    file, folder = source.val_annotations, source.val_images
    if file is None or folder is None:
        return ()
    images = ImagesInput("detector.source.val_images", folder, (file,), lambda: _source_images(file))
    return FileInput("detector.source.val_annotations", file), images


def architecture_settings(model: DetectorModel) -> dict[str, Any]:
    """The architecture in a fingerprint: its name, and a hash of the plugin's file where one has registered it."""
    digest = plugin_digest(ARCHITECTURES, model.architecture)
    return {"architecture": model.architecture, **({"plugin": digest} if digest else {})}


def _source_images(annotations: Path) -> tuple[str, ...]:
    from kit.tables.coco import read_instances

    return read_instances(annotations)[0].images


def _source_draws(config: Config, seed: int, processes: int) -> tuple[DrawnImages, tuple[str, ...]]:
    """What the training on the source set draws, and the set's classes."""
    from kit.tables.coco import read_instances

    source = config.detector.source
    assert source.annotations is not None
    boxes, classes = read_instances(source.annotations)
    return training_draws(boxes, classes, source.training, None, seed, processes), classes


def _object_draws(config: Config, seed: int, processes: int) -> DrawnImages:
    """The training images that a detector draws."""
    settings, boxes = config.detector, split_boxes(config, "train")
    return training_draws(boxes, CLASSES, settings.training, settings.sampling_limit, seed, processes)


def _train_source(context: StageContext, name: str) -> Metrics:
    from kit.detector.annotated_images import annotated_images, training_images
    from kit.detector.process_group import process_count
    from kit.pipeline.training_stage import task_of, train_stage, validation
    from kit.tables.coco import read_instances

    config, source = context.config, context.config.detector.source
    assert source.images is not None
    draws, classes = _source_draws(config, config.seed, process_count())
    images = training_images(source.images, draws, classes)
    validate = None
    if source.val_annotations and source.val_images:
        val_boxes, val_classes = read_instances(source.val_annotations)
        if val_classes != classes:
            raise FileFault(source.val_annotations, f"its classes are not those of {source.annotations}")
        val = annotated_images(source.val_images, val_boxes, classes)
        validate = validation(config, val, None, source.training)
    task = task_of(config, context.stage.name, name, images, source.training, "detector.source.training")
    return train_stage(task, context.path, None, validate)


def _train_detector(context: StageContext, name: str) -> Metrics:
    from kit.detector.annotated_images import training_images
    from kit.detector.process_group import process_count
    from kit.pipeline.training_stage import split_validation, task_of, train_stage

    config, settings = context.config, context.config.detector
    model = detector_model(config, name)
    draws = _object_draws(config, config.seed, process_count())
    images = training_images(image_folder(config, "train"), draws, CLASSES)
    weights = model.weights
    if weights is None and settings.initial_weights != "scratch":
        weights = context.result(f"source-{name}") / "weights.pth"
    start = starting_weights(config, name, weights, context.path)
    validate = split_validation(config, OBJECTS, settings.training)
    task = task_of(config, context.stage.name, name, images, settings.training, "detector.training")
    return train_stage(task, context.path, start, validate)


def starting_weights(config: Config, name: str, weights: Path | None, folder: Path) -> State | None:
    """What a detector's training begins with, by `detector.initial_weights`; the report goes to `folder`.

    weights: the checkpoint that they come from; None starts from scratch.
    """
    import numpy as np

    from kit.base.files import write_json
    from kit.detector.architecture import fresh_weights
    from kit.detector.process_group import is_main_process
    from kit.detector.trained import read_trained, with_rows_of
    from kit.vocabulary.class_map import build_class_map, class_indices, read_class_map

    settings, model = config.detector, detector_model(config, name)
    if settings.initial_weights == "scratch" or weights is None:
        return None
    trained = read_trained(weights, model.classes, named=settings.initial_weights == "pwt")
    target = fresh_weights(model.architecture, len(CLASSES), config.seed)
    bases: dict[str, str] = {}
    if settings.initial_weights == "new-heads":
        chosen = np.full(len(CLASSES), -1)
    elif settings.class_map:
        chosen = read_class_map(settings.class_map, trained.names)
    else:
        chosen = class_indices(trained.names, model.classes or weights)
        bases = {m.name: m.basis for m in build_class_map(trained.names)}
    state, report = trained.transferred(target, chosen)
    if settings.initial_weights == "new-heads":
        heads = [n for n in state if n.split(".")[-2:-1] in (["fc_cls"], ["fc_reg"])]
        state |= {n: target[n] for n in heads}
        report.rows = {n: (0, target[n].shape[0]) for n in heads}
    elif isinstance(model.unmatched, Path):
        state = with_rows_of(model.unmatched, state, np.flatnonzero(chosen < 0), len(CLASSES))
    matched = int((chosen >= 0).sum())
    sources = {CLASSES[i]: trained.names[chosen[i]] for i in np.flatnonzero(chosen >= 0)}
    content: dict[str, Any] = {"matched": matched, "source": sources, "basis": bases, **report.as_dict()}
    write_json(folder / "transfer.json", content)
    if settings.initial_weights == "pwt" and is_main_process():
        logger.info(f"detector-{name}: {matched} of {len(CLASSES)} classes take their weights from {weights}")
    return state
