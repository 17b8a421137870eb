"""The mini challenge's source set: 80 COCO classes, among them those that the 57 look like.

It stands for COCO, on which the real detectors were trained before: the same files and layout, no relations,
no textures. A class that some of the 57 are mapped to looks like any of these (person: man, woman, boy, girl).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from kit.boxes import iou
from kit.data.painter import background, colour, jpeg, paste
from kit.data.silhouettes import Silhouette, draw, invented, silhouettes
from kit.data.world import SHAPES, Doubles
from kit.vocabulary.class_map import build_class_map, coco_names

OBJECTS = (3, 8)  # in an image
TAIL = 0.5  # class k is drawn in proportion to (k + 1) ** -TAIL, in a drawn order
TRIES = 8


@dataclass(frozen=True)
class SourceImage:
    """A painted image: its JPEG, (width, height), labels (n,) of the 80 and normalised boxes (n, 4)."""

    jpeg: bytes
    size: tuple[int, int]
    labels: list[int]
    boxes: list[Doubles]


def paint_source(rng: np.random.Generator, side: int) -> SourceImage:
    """Draw and paint one image whose longer side has `side` pixels."""
    shape = SHAPES[rng.integers(len(SHAPES))]
    size = (round(shape[0] * side), round(shape[1] * side))
    canvas = background(rng, size)
    labels: list[int] = []
    boxes: list[Doubles] = []
    for _ in range(rng.integers(*OBJECTS)):
        label = int(rng.choice(len(_shares()), p=_shares()))
        looks = _looks()[label]
        look = looks[rng.integers(len(looks))]
        box = _box(rng, look, shape, boxes)
        pixels = np.maximum(((box[2:] - box[:2]) * size).round().astype(int), 2)
        image, _ = draw(look, (int(pixels[0]), int(pixels[1])), colour(rng))
        paste(canvas, image, box, bool(rng.random() < 0.5))
        labels.append(label)
        boxes.append(box)
    return SourceImage(jpeg(rng, canvas), size, labels, boxes)


def _box(
    rng: np.random.Generator, look: Silhouette, shape: tuple[float, float], others: list[Doubles]
) -> Doubles:
    height = look.height * float(np.exp(rng.normal(0, 0.3)))
    wanted = np.asarray([height * look.aspect, height])
    wanted = wanted * min(1.0, 0.9 * min(np.asarray(shape) / wanted)) / shape
    corners = [rng.random(2) * (1 - wanted) for _ in range(TRIES)]
    boxes = [np.concatenate([c, c + wanted]) for c in corners]
    if not others:
        return boxes[0]
    there = np.asarray(others)
    return min(boxes, key=lambda b: float(iou(np.broadcast_to(b, there.shape), there).max()))


@lru_cache(maxsize=1)
def _looks() -> list[list[Silhouette]]:
    """The silhouettes of each of the 80 classes."""
    names = coco_names()
    targets: dict[str | None, list[Silhouette]] = {}
    for match in build_class_map(names):
        targets.setdefault(match.source, []).append(silhouettes()[match.name])
    return [targets.get(name) or [invented(name)] for name in names]


@lru_cache(maxsize=1)
def _shares() -> Doubles:
    order = np.random.default_rng(0).permutation(len(coco_names()))
    share = (order + 1.0) ** -TAIL
    return np.asarray(share / share.sum())
