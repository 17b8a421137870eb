"""A detector of a few iterations on images of a folder."""

from __future__ import annotations

import numpy as np

from kit.config import Inference, Training
from kit.detector.annotated_images import training_images
from kit.detector.class_balanced_sampling import draw_images
from kit.detector.process_group import process_count
from kit.detector.training import train_detector
from kit.detector.training_spec import TrainingSpec
from kit.tables.schema import Boxes

FEW = Training(iterations=5, batch_size=2, size=(64, 64), checkpoint_every=2, validate_every=5, warmup=2)
NAMES = tuple("abcdef")


def task(photos, boxes=None, **settings):
    """The task of learning two classes from the images, one box in each; settings: of the training."""
    own = np.tile([[0.1, 0.1, 0.7, 0.8]], (len(NAMES), 1)) if boxes is None else boxes
    n = len(NAMES)
    table = Boxes(NAMES, np.arange(n), np.arange(n) % 2, own, np.zeros(n, bool))
    schedule = FEW.model_copy(update=settings)
    drawn = draw_images(table, 2, None, 3, schedule.iterations * schedule.batch_size * process_count())
    images = training_images(photos, drawn, ("x", "y"))
    own = {"device": "cpu", "settings": "detector.training"}
    return TrainingSpec("t", "resnext-mini", images, schedule, Inference(), 3, **own)


def learn(folder, *arguments, **settings):
    """Train into the folder; arguments and settings as `task`. Gives the figures."""
    folder.mkdir(exist_ok=True)
    return train_detector(task(*arguments, **settings), folder, None, None)
