"""What the training stages of all detectors share: the specification, validation by mAP, what was left out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit.base.log import logger
from kit.base.progress import track
from kit.config import Config, Training, View
from kit.data.photos import list_photos
from kit.detector.annotated_images import (
    SKIPPED,
    AnnotatedImages,
    TrainingImages,
    annotated_images,
    left_out,
    tidy_skipped,
)
from kit.detector.checkpoint import State
from kit.detector.class_balanced_sampling import member_order
from kit.detector.inference import detect
from kit.detector.process_group import is_main_process
from kit.detector.tracking import Tracking
from kit.detector.training import Validate, train_detector
from kit.detector.training_spec import TrainingSpec
from kit.metric.detection_tables import detection_scores
from kit.pipeline.detector_task import DetectorTask, detector_model, member_number
from kit.tables.image_ids import share
from kit.tables.schema import ImageLabels

if TYPE_CHECKING:
    from torch import nn

    from kit.metric.hierarchy import ClassRelatives


def task_of(
    config: Config,
    stage: str,
    name: str,
    images: TrainingImages,
    training: Training,
    settings: str,
) -> TrainingSpec:
    """What the training of a stage is given. name: of the detector; settings: the key of `training`.

    Every member of the blend sees the images in an order of its own. Raises KitError where a tool that is to track
    the training is not installed.
    """
    tracking = Tracking(config.tracking, config.run / "tracking", config.run.absolute().name, stage)
    tracking.check()
    detector, member = config.detector, member_number(config, name)
    draws = member_order(images.draws, config.seed, member)
    return TrainingSpec(
        stage,
        detector_model(config, name).architecture,
        replace(images, draws=draws),
        training,
        detector.inference,
        config.seed + member,
        detector.device,
        config.data.decoding(),
        settings,
        tracking,
    )


def train_stage(
    task: TrainingSpec, folder: Path, start: State | None, validate: Validate | None
) -> dict[str, Any]:
    """Train below the stage's folder; the figures, with the number of images drawn and of those left out."""
    figures = train_detector(task, folder, start, validate)
    if not is_main_process():
        return figures
    groups = task.images.boxes.is_group_of
    if groups.any():
        told = share(int(groups.sum()), len(groups), "boxes")
        logger.warning(f"{task.name}: {told} are groups of objects, which training ignores")
    skipped, total = tidy_skipped(folder / SKIPPED), len(task.images.boxes.images)
    if skipped:
        logger.warning(f"{task.name}: {left_out(skipped, total)}; see {SKIPPED}")
    return {**figures, "images": total, "left_out": len(skipped)}


def split_validation(config: Config, task: DetectorTask, training: Training) -> Validate | None:
    """MAP on the validation split's images; None where there are none."""
    if config.data.val.images is None:
        return None
    boxes, labels = task.ground_truth(config, "val")
    images = annotated_images(config.data.val.images, boxes, task.classes)
    return validation(config, images, labels, training, task.relatives(config))


def validation(
    config: Config,
    images: AnnotatedImages,
    labels: ImageLabels | None,
    training: Training,
    relatives: ClassRelatives | None = None,
) -> Validate:
    """MAP of one view over the first images of a set."""
    ids = images.boxes.images[: training.validate_images or None]
    truth = images.boxes.of_images(ids)
    view, photos, decoding = View(size=training.size), list_photos(images.folder), config.data.decoding()
    inference, times = config.detector.inference, 1 + -(-training.iterations // training.validate_every)

    def progress(steps: Iterable[Any], total: int, _text: str) -> Iterator[Any]:
        size = inference.batch_size
        return track(
            steps, total, "validate", unit="images", size=size, times=times, optional=True, data=True
        )

    def validate(model: nn.Module) -> float:
        found = detect(model, photos, ids, [view], inference, decoding=decoding, progress=progress)
        scores = detection_scores(truth, labels, found.views[0], images.classes, relatives)
        return float(scores.mean_ap)

    return validate
