"""Class-balanced sampling (paper 3, equations 2 and 3): how likely each class is to be drawn."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kit.tables.schema import Boxes
from kit.vocabulary import vocabulary

PLAIN = np.inf  # the limit that leaves the distribution as it is


def image_counts(boxes: Boxes) -> NDArray[np.int64]:
    """n_k: the number of images with at least one box of class k, shape (57,)."""
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
