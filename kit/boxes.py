"""Overlap of boxes, in the published evaluator's mixed precision.

All functions take boxes row by row: arrays (n, 4) of (x1, y1, x2, y2), float32 for relations, float64 for
detections. The rounding of every step follows rule R5: with float32 boxes the side differences and areas are
float32, everything after them float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Box = NDArray[np.floating[Any]]
Double = NDArray[np.float64]
OVERSHOOT = 0.005  # how far beyond [0, 1] rounding may bring a coordinate: a pixel of a small image


def area(box: Box) -> Box:
    """Area, in the boxes' own precision, shape (n,)."""
    return (box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1])


def intersection(a: Box, b: Box) -> Double:
    """Area of the common part of a[i] and b[i], float64 (n,)."""
    width = np.minimum(a[:, 2], b[:, 2]) - np.maximum(a[:, 0], b[:, 0])
    height = np.minimum(a[:, 3], b[:, 3]) - np.maximum(a[:, 1], b[:, 1])
    return np.maximum(width.astype(np.float64), 0) * np.maximum(height.astype(np.float64), 0)


def iou(a: Box, b: Box) -> Double:
    """Intersection over union of a[i] and b[i], float64 (n,); NaN where both areas are 0 (R5)."""
    inter = intersection(a, b)
    with np.errstate(invalid="ignore", divide="ignore"):
        return inter / ((area(a) + area(b)) - inter)


def ioa(a: Box, b: Box) -> Double:
    """Intersection over the area of a[i], float64 (n,): how much of a lies in b."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return intersection(a, b) / area(a)


def enclosing(a: Box, b: Box) -> Box:
    """The smallest box around a[i] and b[i], shape (n, 4), in the boxes' own precision."""
    box = np.empty(a.shape, np.result_type(a, b))
    for low, high in ((0, 2), (1, 3)):
        np.minimum(a[:, low], b[:, low], out=box[:, low])
        np.maximum(a[:, high], b[:, high], out=box[:, high])
    return box


def inverted(box: Box) -> NDArray[np.bool_]:
    """True where a side ends before it begins; bool (n,)."""
    return (box[:, 0] > box[:, 2]) | (box[:, 1] > box[:, 3])


def outside(box: Box) -> NDArray[np.bool_]:
    """True where a coordinate lies beyond [0, 1] by more than rounding; bool (n,)."""
    beyond = np.ascontiguousarray((box < -OVERSHOOT) | (box > 1 + OVERSHOOT))
    return beyond.view(np.uint32).reshape(-1) != 0  # any of the four, several times as fast as numpy's any
