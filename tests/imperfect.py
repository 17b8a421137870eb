"""What an imperfect detector would see: shifted boxes, some missed, some that are not there."""

from __future__ import annotations

import numpy as np

from kit.boxes import iou
from kit.tables.schema import Boxes, Detections

MISSED = 0.1  # share of objects without a detection


def imperfect(boxes: Boxes, seed: int) -> Detections:
    """Detections of the boxes, image by image, best score first."""
    rng = np.random.default_rng([seed, 1])
    found = boxes.take(rng.random(len(boxes)) >= MISSED)
    ghosts = boxes.take(rng.integers(0, len(boxes), len(boxes) // 4))
    side = np.tile(found.box[:, 2:] - found.box[:, :2], 2)
    shifted = found.box + rng.normal(0, 0.05, found.box.shape) * side
    loose = rng.random((len(ghosts), 2, 2))
    box = np.concatenate([shifted.reshape(-1, 2, 2), loose])
    box = np.sort(np.clip(box, 0, 1), axis=1).reshape(-1, 4).astype(np.float32)
    overlap = np.concatenate([iou(box[: len(found)], found.box), np.zeros(len(ghosts))])
    score = np.clip(rng.beta(5, 2, len(box)) * (0.3 + 0.7 * overlap), 1e-4, 1)
    image = np.concatenate([found.image, ghosts.image])
    label = np.concatenate([found.label, ghosts.label])
    order = np.lexsort((-score, image))
    return Detections(boxes.images, image[order], label[order], np.round(score[order], 6), box[order])
