"""The other ways to combine boxes, by ensemble-boxes: nms, soft-nms, nmw (non-maximum weighted)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from kit.fusion.wbf import check_rows, check_settings, weights_of
from kit.tables.schema import Detections

Method = Literal["nms", "soft-nms", "nmw"]


def combine(
    sources: Sequence[Detections],
    weights: Sequence[float] | None,
    method: Method,
    *,
    iou: float = 0.55,
    skip_box_threshold: float = 1e-4,
) -> Detections:
    """Combine the detections of several sources image by image, per class; arguments as `fuse_detections`.

    Raises ValueError on arguments that do not fit, and on boxes and scores beyond [0, 1].
    """
    given = weights_of(weights, len(sources))
    check_settings(iou, skip_box_threshold)
    for source in sources:
        check_rows(source.score, source.box)
    images = tuple(dict.fromkeys(name for s in sources for name in s.images))
    tables = [s.of_images(images) for s in sources]
    tables = [
        t.take((t.score >= skip_box_threshold) & (t.box[:, 0] < t.box[:, 2]) & (t.box[:, 1] < t.box[:, 3]))
        for t in tables
    ]
    tables = [t.take(np.argsort(t.image, kind="stable")) for t in tables]
    edges = [np.searchsorted(t.image, np.arange(len(images) + 1)) for t in tables]
    rows = []
    for i in range(len(images)):
        parts = [t.take(slice(e[i], e[i + 1])) for t, e in zip(tables, edges, strict=True)]
        if any(len(part) for part in parts):
            rows.append((i, *_one(parts, given.tolist(), method, iou, skip_box_threshold)))
    if not rows:
        return Detections.empty(images)
    return Detections(
        images,
        np.repeat([r[0] for r in rows], [len(r[1]) for r in rows]).astype(np.int32),
        np.concatenate([r[3] for r in rows]),
        np.concatenate([r[2] for r in rows]),
        np.concatenate([r[1] for r in rows]).reshape(-1, 4),
    )


def _one(
    parts: list[Detections], weights: list[float], method: Method, iou: float, skip_box_threshold: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Boxes, scores, labels of one image, best first."""
    import ensemble_boxes as published

    lists = [[np.asarray(getattr(p, name), np.float64) for p in parts] for name in ("box", "score", "label")]
    if method == "nmw":
        found = published.non_maximum_weighted(
            *lists, weights=weights, iou_thr=iou, skip_box_thr=skip_box_threshold
        )
    elif method == "nms":
        found = published.nms(*lists, weights=weights, iou_thr=iou)
    else:
        found = published.soft_nms(*lists, weights=weights, iou_thr=iou, sigma=0.5, thresh=skip_box_threshold)
    boxes, scores, labels = (np.asarray(column) for column in found)
    order = np.argsort(-scores, kind="stable")
    return boxes.reshape(-1, 4)[order], scores[order], labels[order]
