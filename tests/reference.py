"""The official relation metric once more, slowly: rules R1 to R10 of the published evaluator as plain loops.

Written from the rules alone and sharing nothing with kit.metric; it is the oracle of the property tests and the
yardstick of the benchmark.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np

Row = tuple[
    str, int, int, int, tuple[float, ...], tuple[float, ...]
]  # image, subject, object, predicate, boxes


def score(
    truth: list[Row],
    predictions: list[tuple[Row, float]],
    labels: list[tuple[str, int]],
    names: tuple[str, ...],
) -> dict[str, Any]:
    """All official numbers, as nested dictionaries with the published keys."""
    lists = ranked_lists(truth, predictions, labels)
    result: dict[str, Any] = {}
    for task, images in lists.items():
        ordered = _sorted([row for image in sorted(images) for row in images[image]], lambda r: r[0])
        found = {k: sum(hit for rows in images.values() for _, _, hit in rows[:k]) for k in (50, 100)}
        ap = {}
        for p, name in enumerate(names):
            n = sum(row[3] == p for row in truth)
            if n:
                ap[name] = average_precision([hit for _, q, hit in ordered if q == p], n)
        n = len(truth)
        result[task] = {
            "mAP": sum(ap.values()) / len(ap) if ap else float("nan"),
            "weightedAP": average_precision([hit for _, _, hit in ordered], n) if n else float("nan"),
            "Recall@50": found[50] / n if n else float("nan"),
            "Recall@100": found[100] / n if n else float("nan"),
            "AP": ap,
        }
    r, p = result["relationships"], result["phrases"]
    result["final_score"] = 0.4 * r["mAP"] + 0.2 * r["Recall@50"] + 0.4 * p["mAP"]
    return result


def ranked_lists(
    truth: list[Row], predictions: list[tuple[Row, float]], labels: list[tuple[str, int]]
) -> dict[str, dict[str, list[tuple[float, int, bool]]]]:
    """Per task and image the predictions that count, best first: score, predicate, verdict (R2 to R6)."""
    gt, pred, verified = defaultdict(list), defaultdict(list), defaultdict(set)
    for row in truth:
        gt[row[0]].append(row)
    for image, label in labels:
        verified[image].add(label)
    for row, value in predictions:
        pred[row[0]].append((row, value))
    lists: dict[str, dict[str, list[tuple[float, int, bool]]]] = {"relationships": {}, "phrases": {}}
    for image in pred:
        positive = {label for row in gt[image] for label in row[1:3]}
        evaluatable = verified[image] | positive
        negative = verified[image] - positive
        kept = [
            (row, value)
            for row, value in pred[image]
            if {row[1], row[2]} & negative or {row[1], row[2]} <= evaluatable
        ]
        for task in lists:
            lists[task][image] = _image(kept, gt[image], task)
    return lists


def _image(kept: list[tuple[Row, float]], truth: list[Row], task: str) -> list[tuple[float, int, bool]]:
    out = []
    for triplet in sorted({row[1:4] for row, _ in kept}):
        mine = _sorted([(row, v) for row, v in kept if row[1:4] == triplet], lambda r: r[1])
        targets = [row for row in truth if row[1:4] == triplet]
        taken = [False] * len(targets)
        for row, value in mine:
            overlaps = np.array([_overlap(row, target, task) for target in targets])
            hit = False
            if len(overlaps):
                best = int(np.argmax(overlaps))
                hit = bool(overlaps[best] >= 0.5) and not taken[best]
                taken[best] = taken[best] or hit
            out.append((value, triplet[2], hit))
    return _sorted(out, lambda r: r[0])


def _overlap(a: Row, b: Row, task: str) -> float:
    if task == "phrases":
        return _iou(_around(a[4], a[5]), _around(b[4], b[5]))
    return float(np.minimum(_iou(_box(a[4]), _box(b[4])), _iou(_box(a[5]), _box(b[5]))))


def _box(box: tuple[float, ...]) -> np.ndarray:
    return np.asarray(box, np.float32)


def _around(a: tuple[float, ...], b: tuple[float, ...]) -> np.ndarray:
    x, y = _box(a), _box(b)
    return np.concatenate([np.minimum(x[:2], y[:2]), np.maximum(x[2:], y[2:])])


def _iou(a: np.ndarray, b: np.ndarray) -> np.float64:
    sides = [np.float64(max(0.0, float(min(a[i + 2], b[i + 2]) - max(a[i], b[i])))) for i in (0, 1)]
    inter = sides[0] * sides[1]
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.float64(inter) / (np.float64(areas[0] + areas[1]) - inter)


def average_precision(hits: list[bool], n: int) -> float:
    precision, recall, tp = [], [], 0
    for i, hit in enumerate(hits, 1):
        tp += hit
        precision.append(tp / i)
        recall.append(tp / n)
    total, before = 0.0, 0.0
    for i, r in enumerate(recall):
        total += (r - before) * max(precision[i:]) if r > before else 0.0
        before = r
    return total


def _sorted(rows: list[Any], key: Any) -> list[Any]:
    """Stable, ascending, then reversed (R6)."""
    return sorted(rows, key=key)[::-1]
