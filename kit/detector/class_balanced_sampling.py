"""Class-balanced sampling (paper 3, equations 2 and 3): how likely each class is, and which images are drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kit.tables.schema import Boxes
from kit.vocabulary import vocabulary

PLAIN = np.inf  # the limit that leaves the distribution as it is


def image_counts(boxes: Boxes) -> NDArray[np.int64]:
    """n_k: the number of images with at least one box of class k, groups left out; shape (57,)."""
    boxes = boxes.take(~boxes.is_group_of)
    present = np.unique(np.column_stack([boxes.image, boxes.label]).astype(np.int64), axis=0)
    return np.bincount(present[:, 1], minlength=vocabulary().classes)


def class_probabilities(counts: NDArray[np.int64], limit: float = PLAIN) -> NDArray[np.float64]:
    """p(k) = min(n_k, N) / sum over i of min(n_i, N) (equation 3); with N infinite equation 2.

    counts: n_k, shape (classes,). Raises ValueError where the limit is below 1 or there is no image at all.
    """
    if not limit >= 1:
        raise ValueError(f"limit: expected a number of at least 1, given {limit}")
    if not counts.sum():
        raise ValueError("counts: expected at least one image")
    capped = np.minimum(counts, limit)
    return np.asarray(capped / capped.sum())


class BalancedDraws:
    """Draws of images: a class by p(k), then one of the images that show it.

    boxes: an image shows the labels of its boxes, groups left out; limit: N, None for the plain distribution.
    Draw i depends on the seed and i alone: more of them begin with the same.
    """

    BLOCK = 1024  # draws made at once

    def __init__(self, boxes: Boxes, classes: int, limit: float | None, seed: int) -> None:
        """Raises ValueError where no image has a label."""
        boxes = boxes.take(~boxes.is_group_of)
        size = max(len(boxes.images), 1)
        shown = np.unique(boxes.label.astype(np.int64) * size + boxes.image)
        self.counts = np.bincount(shown // size, minlength=classes)
        self.probabilities = class_probabilities(self.counts, PLAIN if limit is None else limit)
        self.images = shown % size
        self.first = np.concatenate([[0], np.cumsum(self.counts)])
        self.seed = seed

    def first_draws(self, count: int) -> NDArray[np.int64]:
        """The images of the first draws, (count,)."""
        blocks = [self._draw(block) for block in range(-(-count // self.BLOCK))]
        return np.concatenate([np.zeros(0, np.int64), *blocks])[:count]

    def _draw(self, block: int) -> NDArray[np.int64]:
        rng = np.random.default_rng([self.seed, block])
        label = rng.choice(len(self.counts), self.BLOCK, p=self.probabilities)
        place = (rng.random(self.BLOCK) * self.counts[label]).astype(np.int64)
        return np.asarray(self.images[self.first[label] + place])


@dataclass(frozen=True, eq=False)
class DrawnImages:
    """What a training draws. boxes: of the images that are drawn; draws: each draw's image among these, (n,)."""

    boxes: Boxes
    draws: NDArray[np.int64]


def draw_images(boxes: Boxes, classes: int, limit: float | None, seed: int, count: int) -> DrawnImages:
    """The first draws of a training with these ground-truth boxes, of whatever images are there on disk.

    Groups of objects show no class, nor do boxes without area. Raises ValueError where no image shows one.
    """
    boxes = with_area(boxes)
    draws = BalancedDraws(boxes, classes, limit, seed).first_draws(count)
    drawn, places = np.unique(draws, return_inverse=True)
    return DrawnImages(boxes.of_images([boxes.images[i] for i in drawn]), places.astype(np.int64))


def member_order(draws: NDArray[np.int64], seed: int, member: int) -> NDArray[np.int64]:
    """The draws in the order in which a member of a blend sees them; the first member: as they were drawn.

    All members see the same images, so that no photo more is needed for another member.
    """
    return np.random.default_rng([seed, member]).permutation(draws) if member else draws


def with_area(boxes: Boxes) -> Boxes:
    """The boxes with an area: one without would teach NaN."""
    sides = boxes.box[:, 2:] - boxes.box[:, :2]
    return boxes.take(np.flatnonzero((sides > 0).all(axis=1)))
