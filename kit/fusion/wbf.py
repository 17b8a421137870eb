"""Weighted boxes fusion (paper 3.1): the boxes of several models and views become one set.

The algorithm is that of ensemble-boxes 1.0.9, compiled and over many images at once: in every image and
class the boxes, best first, join the cluster whose fused box they overlap most, or found a new one; a
cluster's box is the mean weighted by score, its score the mean rescaled by how many sources agree. Sorts are
stable, ascending, then reversed, so that ties have one defined result; sums of coordinates are single
precision, as there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from kit.fusion.kernel import fuse_images, prepare
from kit.tables.schema import Detections

Doubles = NDArray[np.float64]
ConfType = Literal["avg", "max", "box_and_model_avg", "absent_model_aware_avg"]
CONF_TYPES: tuple[ConfType, ...] = ("avg", "max", "box_and_model_avg", "absent_model_aware_avg")


@dataclass(frozen=True, eq=False)
class Fused:
    """Fused rows: image, label (n,), score (n,), box (n, 4); image by image, best score first."""

    image: NDArray[np.int64]
    label: NDArray[np.int64]
    score: Doubles
    box: Doubles


def fuse_detections(
    sources: Sequence[Detections],
    weights: Sequence[float] | None = None,
    *,
    iou: float = 0.55,
    lowest: float = 0.0,
    conf_type: ConfType = "avg",
) -> Detections:
    """Fuse the detections of several sources (models, or models × views), any images in each.

    weights: one a source, positive; iou: overlap above which boxes are one object; lowest: scores below are
    left out. Raises ValueError on arguments that do not fit.
    """
    images = tuple(dict.fromkeys(name for s in sources for name in s.images))
    tables = [s.of_images(images) for s in sources]
    fused = fuse(
        np.concatenate([t.image for t in tables]),
        np.concatenate([t.label for t in tables]),
        np.concatenate([t.score for t in tables]),
        np.concatenate([t.box for t in tables]),
        np.repeat(np.arange(len(tables)), [len(t) for t in tables]),
        weights_of(weights, len(tables)),
        iou=iou,
        lowest=lowest,
        conf_type=conf_type,
    )
    return Detections(images, fused.image, fused.label, fused.score, fused.box)


def weights_of(weights: Sequence[float] | None, sources: int) -> Doubles:
    """The weights as an array, ones without any. Raises ValueError unless each source has a positive one."""
    array = np.ones(sources) if weights is None else np.asarray(weights, np.float64)
    if array.shape != (sources,) or not sources:
        raise ValueError(f"weights: expected {max(sources, 1)}, one a source, given {array.size}")
    if not (np.isfinite(array).all() and (array > 0).all()):
        raise ValueError(f"weights: expected positive numbers, given {array.tolist()}")
    return array


def fuse(
    image: NDArray[Any],
    label: NDArray[Any],
    score: NDArray[Any],
    box: NDArray[Any],
    source: NDArray[Any],
    weights: Doubles,
    *,
    iou: float = 0.55,
    lowest: float = 0.0,
    conf_type: ConfType = "avg",
    overflow: bool = False,
) -> Fused:
    """Fuse rows of any images: image, label, score, source (n,), box (n, 4) xyxy; weights per source.

    Boxes are turned right way round and clipped to [0, 1]; those without area are left out. overflow: let
    "avg" exceed what all sources together could say. Raises ValueError on what does not fit.
    """
    _check(image, label, score, box, source, iou, conf_type)
    _check_indices(image, label, source, len(weights))
    lowest = score.dtype.type(lowest) if score.dtype.kind == "f" else lowest
    kept, finite, positive = prepare(image, label, score, box, source, weights, lowest)
    if not finite:
        raise ValueError("score, box: expected finite numbers")
    if not positive:
        raise ValueError("score: expected no negative number")
    arguments = (*kept, weights, iou, CONF_TYPES.index(conf_type), overflow)
    images, labels, scores, boxes, count = fuse_images(*arguments)
    return Fused(images[:count], labels[:count], scores[:count], boxes[:count])


def _check(
    image: NDArray[Any],
    label: NDArray[Any],
    score: NDArray[Any],
    box: NDArray[Any],
    source: NDArray[Any],
    iou: float,
    conf_type: str,
) -> None:
    n = len(image)
    if box.shape != (n, 4):
        raise ValueError(f"box: expected shape ({n}, 4), given {box.shape}")
    for name, column in (("label", label), ("score", score), ("source", source)):
        if column.shape != (n,):
            raise ValueError(f"{name}: expected shape ({n},), given {column.shape}")
    if not 0 <= iou <= 1:
        raise ValueError(f"iou: expected a number in [0, 1], given {iou}")
    if conf_type not in CONF_TYPES:
        raise ValueError(f"conf_type: expected one of {', '.join(CONF_TYPES)}, given {conf_type!r}")


def _check_indices(image: NDArray[Any], label: NDArray[Any], source: NDArray[Any], sources: int) -> None:
    for name, column, end in (("image", image, None), ("label", label, None), ("source", source, sources)):
        if len(column) and (column.min() < 0 or (end is not None and column.max() >= end)):
            wanted = "0 and more" if end is None else f"0 to {end - 1}"
            raise ValueError(
                f"{name}: expected numbers from {wanted}, given {column.min()} to {column.max()}"
            )
