"""The stages of the detectors: source weights, training, detection, fusion, their evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from kit.config import Config, DetectorModel, Split, Training
from kit.errors import KitError
from kit.progress import notice
from kit.run import Run
from kit.tables.official import read_boxes, read_image_labels, read_relations
from kit.tables.schema import Boxes, Detections, ImageLabels
from kit.vocabulary import vocabulary

if TYPE_CHECKING:
    from torch import nn

    from kit.detector.checkpoint import State
    from kit.detector.pictures import LabelledPictures
    from kit.detector.training import Task, Validate

SplitName = Literal["train", "stack", "val", "test"]
CLASSES = vocabulary().names[: vocabulary().classes]


def source_stage(run: Run, name: str, force: bool = False) -> dict[str, Any]:
    """Train a detector's weights on the source set: stage `source-NAME`."""
    from kit.detector.inference import device_of
    from kit.detector.pictures import labelled_pictures
    from kit.detector.processes import join, shared_stage
    from kit.tables.coco import read_instances

    settings = run.config.detector
    source = settings.source
    if source.annotations is None or source.images is None:
        raise KitError(
            f"detector.models.{name}.weights is not set",
            "give a checkpoint, or detector.source.annotations and images to train one on",
        )
    files = [f for f in (source.annotations, source.val_annotations) if f]
    made_from = run.key({**_common(run.config, name), "training": source.training.model_dump()}, files)
    join(device_of(settings.device).type)
    with shared_stage(run, f"source-{name}", made_from, force=force) as stage:
        if stage:
            boxes, classes = read_instances(source.annotations)
            pictures = labelled_pictures(source.images, boxes, classes)
            validate = None
            if source.val_annotations and source.val_images:
                val_boxes, _ = read_instances(source.val_annotations)
                val = labelled_pictures(source.val_images, val_boxes, classes)
                validate = _validation(run.config, val, None, source.training)
            task = _task(run.config, name, f"source-{name}", pictures, source.training, limit=None)
            stage.metrics = _train(task, stage.path, None, validate, pictures.missing)
    return run.finished(f"source-{name}") or {}


def detector_stage(run: Run, name: str, force: bool = False) -> dict[str, Any]:
    """Train a detector of the 57 classes: stage `detector-NAME`, after `source-NAME` where it needs one."""
    from kit.detector.inference import device_of
    from kit.detector.pictures import labelled_pictures
    from kit.detector.processes import join, shared_stage

    config = run.config
    settings, own = config.detector, _model(config, name)
    if config.data.train.images is None:
        raise KitError("data.train.images is not set", "give the folder of the training pictures")
    own_source = settings.start != "scratch" and own.weights is None
    if own_source:
        source_stage(run, name)
    inputs = [*config.data.train.boxes, *((own.weights and [own.weights]) or []), *_file(settings.class_map)]
    choice = {
        "training": settings.training.model_dump(),
        "start": settings.start,
        "limit": settings.sampling_limit,
    }
    after = [f"source-{name}"] if own_source else []
    made_from = run.key({**_common(config, name), **choice}, inputs, after=after)
    join(device_of(settings.device).type)
    with shared_stage(run, f"detector-{name}", made_from, force=force) as stage:
        if stage:
            boxes = split_boxes(config.data.train, "train")
            pictures = labelled_pictures(config.data.train.images, boxes, CLASSES)
            validate = _split_validation(config)
            task = _task(
                config, name, f"detector-{name}", pictures, settings.training, settings.sampling_limit
            )
            start = starting_weights(run, name, stage.path)
            stage.metrics = _train(task, stage.path, start, validate, pictures.missing)
    return run.finished(f"detector-{name}") or {}


def starting_weights(run: Run, name: str, folder: Path) -> State | None:
    """The weights that a detector's training begins with, by `detector.start`; the report goes to `folder`."""
    from kit.detector.architecture import build, model_config, prepare
    from kit.detector.checkpoint import read_state
    from kit.detector.classmap import build_class_map, class_indices, read_class_map, source_names
    from kit.detector.processes import is_first
    from kit.detector.transfer import transfer_weights
    from kit.files import write_json

    config, settings = run.config, run.config.detector
    if settings.start == "scratch":
        return None
    weights = _model(config, name).weights or run.folder(f"source-{name}") / "weights.pth"
    source = read_state(weights)
    names = source_names(str(weights))
    prepare()
    import torch

    torch.manual_seed(config.seed)
    target = build(model_config(_model(config, name).architecture, len(CLASSES), 1e-4, 100)).state_dict()
    chosen = read_class_map(settings.class_map, names) if settings.class_map else class_indices(names)
    state, report = transfer_weights(source, target, chosen)
    if settings.start == "new-heads":
        heads = [n for n in state if n.split(".")[-2:-1] in (["fc_cls"], ["fc_reg"])]
        state |= {n: target[n] for n in heads}
        report.rows = {n: (0, target[n].shape[0]) for n in heads}
    matched = int((chosen >= 0).sum())
    bases = {m.name: m.basis for m in build_class_map(names)} if not settings.class_map else {}
    write_json(folder / "transfer.json", {"matched": matched, "basis": bases, **report.as_dict()})
    if settings.start == "pwt" and is_first():
        notice(f"detector-{name}: {matched} of {len(CLASSES)} classes take their weights from {weights}")
    return state


def split_boxes(split: Split, name: str) -> Boxes:
    """The ground-truth boxes of a split, or of its relations where it has no boxes file."""
    from kit.data.objects import objects_of

    boxes = read_boxes(split.boxes) if split.boxes else None
    if boxes is not None:
        return boxes
    if not split.relations:
        raise KitError(f"data.{name}.boxes is not set", f"give it with --set data.{name}.boxes=FILE")
    return objects_of(read_relations(split.relations, others=True))


def detection_map(truth: Boxes, labels: ImageLabels | None, found: Detections, names: Sequence[str]) -> float:
    """Open Images detection mAP of `found` over the images of `truth`."""
    return float(detection_scores(truth, labels, found, names).mean_ap)


def detection_scores(
    truth: Boxes, labels: ImageLabels | None, found: Detections, names: Sequence[str]
) -> Any:
    """All figures of the detection metric; without a labels file the truth's own classes are verified."""
    from kit.metric.detection import Objects, evaluate

    found = found.of_images(truth.images)
    verified = (truth.image, truth.label)
    if labels is not None:
        labels = labels.of_images(truth.images)
        classes = labels.label < len(names)
        verified = (
            np.concatenate([truth.image, labels.image[classes]]),
            np.concatenate([truth.label, labels.label[classes]]),
        )
    rank = _by_id(truth.images)
    real = Objects(rank[truth.image], truth.label, truth.box.astype(np.float64), None, truth.is_group_of)
    guess = Objects(rank[found.image], found.label, found.box.astype(np.float64), found.score)
    return evaluate(real, guess, (rank[verified[0]], verified[1]), names)


def _by_id(images: Sequence[str]) -> NDArray[np.int64]:
    """The rank of every image by its id, as the metric numbers them."""
    rank = np.empty(len(images), np.int64)
    rank[np.argsort(np.asarray(images, np.str_), kind="stable")] = np.arange(len(images))
    return rank


def _split_validation(config: Config) -> Validate | None:
    from kit.detector.pictures import labelled_pictures

    val = config.data.val
    if val.images is None:
        return None
    pictures = labelled_pictures(val.images, split_boxes(val, "val"), CLASSES)
    labels = read_image_labels(val.labels, others=True) if val.labels else None
    return _validation(config, pictures, labels, config.detector.training)


def _validation(
    config: Config, pictures: LabelledPictures, labels: ImageLabels | None, training: Training
) -> Validate:
    """MAP of one view over the first pictures of a set."""
    from kit.config import View
    from kit.detector.inference import detect

    ids = pictures.boxes.images[: training.validate_pictures or None]
    truth = pictures.boxes.of_images(ids)
    view = View(size=training.size)

    def validate(model: nn.Module) -> float:
        found = detect(model, pictures.folder, ids, [view], config.detector.inference)
        return detection_map(truth, labels, found.views[0], pictures.classes)

    return validate


def _train(
    task: Task, folder: Path, start: State | None, validate: Validate | None, missing: Sequence[str]
) -> dict[str, Any]:
    from kit.detector.pictures import tidy_skipped
    from kit.detector.processes import is_first
    from kit.detector.training import SKIPPED, train_detector

    figures = train_detector(task, folder, start, validate)
    if not is_first():
        return figures
    left_out = tidy_skipped(folder / SKIPPED, missing)
    if left_out:
        notice(f"{task.name}: {left_out} pictures were left out, see {SKIPPED}")
    return {**figures, "pictures": len(task.pictures.boxes.images), "left_out": left_out}


def _task(
    config: Config, name: str, stage: str, pictures: LabelledPictures, training: Training, limit: int | None
) -> Task:
    from kit.detector.training import Task

    settings = config.detector
    return Task(
        stage,
        _model(config, name).architecture,
        pictures,
        training,
        settings.inference,
        limit,
        config.seed,
        settings.device,
    )


def _model(config: Config, name: str) -> DetectorModel:
    models = config.detector.models
    if name not in models:
        known = ", ".join(models) or "none"
        raise KitError(f"detector.models has no {name}", f"it has: {known}")
    return models[name]


def _common(config: Config, name: str) -> dict[str, Any]:
    return {"model": _model(config, name).model_dump(), "seed": config.seed}


def _file(path: Path | None) -> list[Path]:
    return [path] if path else []
