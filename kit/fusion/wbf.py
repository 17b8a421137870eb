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

from kit.boxes import OVERSHOOT
from kit.tables.schema import Detections

Doubles = NDArray[np.float64]
ConfType = Literal["avg", "max", "box_and_model_avg", "absent_model_aware_avg"]
CONF_TYPES: tuple[ConfType, ...] = ("avg", "max", "box_and_model_avg", "absent_model_aware_avg")
HEAVIEST = 1e6  # a weight; sums of weighted coordinates are single precision


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
    skip_box_threshold: float = 0.0,
    conf_type: ConfType = "avg",
) -> Detections:
    """Fuse the detections of several sources (models, or models × views), any images in each.

    weights: one a source, positive; iou: overlap above which boxes are one object; skip_box_threshold: lower scores
    are left out. Raises ValueError on arguments that do not fit, and on boxes and scores beyond [0, 1].
    """
    if not sources:
        raise ValueError("sources: expected one or more")
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
        skip_box_threshold=skip_box_threshold,
        conf_type=conf_type,
    )
    return Detections(images, fused.image, fused.label, fused.score, fused.box)


def weights_of(weights: Sequence[float] | None, sources: int) -> Doubles:
    """The weights as an array, ones without any.

    Raises ValueError unless each source has a positive one that single precision can take.
    """
    array = np.ones(sources) if weights is None else np.asarray(weights, np.float64)
    if array.shape != (sources,) or not sources:
        raise ValueError(f"weights: expected {max(sources, 1)}, one a source, given {array.size}")
    if not ((array >= 1 / HEAVIEST) & (array <= HEAVIEST)).all():
        wrong = array[~((array >= 1 / HEAVIEST) & (array <= HEAVIEST))][0]
        raise ValueError(f"weights: expected positive numbers from 1e-06 to 1e+06, given {wrong:g}")
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
    skip_box_threshold: float = 0.0,
    conf_type: ConfType = "avg",
    overflow: bool = False,
) -> Fused:
    """Fuse rows of any images: image, label, score, source (n,), box (n, 4) xyxy; weights per source.

    Boxes are turned right way round, those without area are left out; what rounding has brought beyond [0, 1]
    is clipped. overflow: let "avg" exceed what all sources together could say. Raises ValueError on what does
    not fit.
    """
    from kit.fusion.kernel import fuse_images, prepare  # loads what was compiled

    _check(image, label, score, box, source, conf_type)
    check_settings(iou, skip_box_threshold)
    _check_indices(image, label, source, len(weights))
    skip_box_threshold = (
        score.dtype.type(skip_box_threshold) if score.dtype.kind == "f" else skip_box_threshold
    )
    kept, fit = prepare(image, label, score, box, source, weights, skip_box_threshold, OVERSHOOT)
    if not fit:
        check_rows(score, box)
    arguments = (*kept, weights, iou, CONF_TYPES.index(conf_type), overflow)
    images, labels, scores, boxes, count = fuse_images(*arguments)
    return Fused(images[:count], labels[:count], scores[:count], boxes[:count])


def check_settings(iou: float, skip_box_threshold: float) -> None:
    """Raises ValueError where the overlap or the lowest score is no number from 0 to 1."""
    for name, value in (("iou", iou), ("skip_box_threshold", skip_box_threshold)):
        if not 0 <= value <= 1:
            raise ValueError(f"{name}: expected a number in [0, 1], given {value}")


def check_rows(score: NDArray[Any], box: NDArray[Any]) -> None:
    """Raises ValueError at the first score or box that is not finite or lies beyond [0, 1], but for rounding."""
    columns = (("score", score[:, None], "a percentage"), ("box", box, "pixels"))
    for name, values, cause in columns:
        wrong = np.asarray(~np.isfinite(values).all(axis=1))
        if wrong.any():
            raise ValueError(f"{name}: expected finite numbers, given {_row(values, wrong)}")
        low = 0 if name == "score" else -OVERSHOOT
        wrong = np.asarray(((values < low) | (values > 1 + OVERSHOOT)).any(axis=1))
        if wrong.any():
            guess = f" ({cause}?)" if values[wrong].max() > 1 else ""
            raise ValueError(f"{name}: expected numbers in [0, 1], given {_row(values, wrong)}{guess}")


def _row(values: NDArray[Any], wrong: NDArray[np.bool_]) -> str:
    row = int(np.argmax(wrong))
    return f"{', '.join(f'{v:g}' for v in values[row].tolist())} in row {row}"


def _check(
    image: NDArray[Any],
    label: NDArray[Any],
    score: NDArray[Any],
    box: NDArray[Any],
    source: NDArray[Any],
    conf_type: str,
) -> None:
    n = len(image)
    if box.shape != (n, 4):
        raise ValueError(f"box: expected shape ({n}, 4), given {box.shape}")
    for name, column in (("label", label), ("score", score), ("source", source)):
        if column.shape != (n,):
            raise ValueError(f"{name}: expected shape ({n},), given {column.shape}")
    if conf_type not in CONF_TYPES:
        raise ValueError(f"conf_type: expected one of {', '.join(CONF_TYPES)}, given {conf_type!r}")


def _check_indices(image: NDArray[Any], label: NDArray[Any], source: NDArray[Any], sources: int) -> None:
    for name, column, end in (("image", image, None), ("label", label, None), ("source", source, sources)):
        if len(column) and (column.min() < 0 or (end is not None and column.max() >= end)):
            wanted = "0 and more" if end is None else f"0 to {end - 1}"
            raise ValueError(
                f"{name}: expected numbers from {wanted}, given {column.min()} to {column.max()}"
            )
