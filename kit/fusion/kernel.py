"""The compiled part of weighted boxes fusion: clusters boxes image by image and class by class.

Sorts are stable, ascending, then reversed; a cluster's coordinates are summed in single precision, as in
ensemble-boxes 1.0.9. With the module what was compiled for detections is loaded; the first time on a machine it is
compiled, and kept.
"""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(nogil=True, cache=True)
def fuse_images(image, label, score, box, source, weights, iou, conf_type, overflow):  # type: ignore[no-untyped-def]
    """Fuse image by image, in it class by class in the order in which classes appear.

    Gives image, label, score and box of the fused rows, best first in each image, and how many there are.
    """
    n = len(image)
    out = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n), np.empty((n, 4))
    out_image, out_label, out_score, out_box = out
    by_image, starts = _bucket(image, image.max() + 1 if n else 0)
    classes = label.max() + 1 if n else 0
    rank_of, present = np.full(classes, -1), np.empty(classes, np.int64)
    most = 0
    for i in range(len(starts) - 1):
        most = max(most, starts[i + 1] - starts[i])
    scratch = (
        np.empty((5, most)),
        np.empty((most, 4), np.float32),
        np.empty(most, np.int64),
        np.empty((3, most)),
        np.empty((most, len(weights)), np.bool_),
    )
    count = 0
    for i in range(len(starts) - 1):
        rows = by_image[starts[i] : starts[i + 1]]
        kinds = 0
        rank = np.empty(len(rows), np.int64)
        for j, row in enumerate(rows):
            if rank_of[label[row]] < 0:
                rank_of[label[row]] = kinds
                present[kinds] = label[row]
                kinds += 1
            rank[j] = rank_of[label[row]]
        by_class, edges = _bucket(rank, kinds)
        first = count
        for k in range(kinds):
            rank_of[present[k]] = -1
            members = _taken(rows, by_class[edges[k] : edges[k + 1]])
            members = _taken(members, _falling(_taken(score, members)))
            for c in range(_cluster(members, score, box, source, weights, iou, scratch)):
                out_image[count], out_label[count] = i, present[k]
                out_score[count] = _confidence(c, scratch, weights, conf_type, overflow)
                for side in range(4):
                    out_box[count, side] = scratch[0][side, c]
                count += 1
        order = _falling(out_score[first:count])
        labels, scores = _taken(out_label[first:count], order), _taken(out_score[first:count], order)
        boxes = out_box[first:count].copy()
        for j, row in enumerate(order):
            out_label[first + j], out_score[first + j] = labels[j], scores[j]
            for side in range(4):
                out_box[first + j, side] = boxes[row, side]
    return out_image, out_label, out_score, out_box, count


@numba.njit(nogil=True, cache=True)
def prepare(image, label, score, box, source, weights, skip_box_threshold, overshoot):  # type: ignore[no-untyped-def]
    """The rows to fuse, in one pass: corners in order and within [0, 1], scores weighted; the rest left out.

    Gives image, label, score, box and source of the rows kept, and whether all numbers were finite, scores
    between 0 and 1, and coordinates too, each but for `overshoot`.
    """
    n = len(image)
    out_image, out_label, out_source = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n, np.int64)
    out_score, out_box = np.empty(n), np.empty((n, 4))
    finite, positive, count = True, True, 0
    least, most = 0.0, 1.0
    for i in range(n):
        total = np.float64(score[i])
        positive = positive and not score[i] < 0
        most = max(most, np.float64(score[i]))
        for k in range(4):
            total += np.float64(box[i, k])
        finite = finite and np.isfinite(total)
        for k in range(2):
            low, high = min(box[i, k], box[i, k + 2]), max(box[i, k], box[i, k + 2])
            least, most = min(least, np.float64(low)), max(most, np.float64(high))
            out_box[count, k] = min(max(np.float64(low), 0.0), 1.0)
            out_box[count, k + 2] = min(max(np.float64(high), 0.0), 1.0)
        width = out_box[count, 2] - out_box[count, 0]
        height = out_box[count, 3] - out_box[count, 1]
        if score[i] >= skip_box_threshold and width * height > 0:
            out_image[count], out_label[count], out_source[count] = image[i], label[i], source[i]
            out_score[count] = np.float64(score[i]) * weights[source[i]]
            count += 1
    kept = out_image[:count], out_label[:count], out_score[:count], out_box[:count], out_source[:count]
    fit = finite and positive and least >= -overshoot and most <= 1 + overshoot
    return kept, fit


@numba.njit(nogil=True, cache=True)
def _bucket(key, size):  # type: ignore[no-untyped-def]
    """Rows by key, stable, and where each key's rows start; keys are 0 to size - 1."""
    starts = np.zeros(size + 1, np.int64)
    for k in key:
        starts[k + 1] += 1
    starts = np.cumsum(starts)
    place, order = starts[:-1].copy(), np.empty(len(key), np.int64)
    for i, k in enumerate(key):
        order[place[k]] = i
        place[k] += 1
    return order, starts


@numba.njit(nogil=True, cache=True)
def _taken(values, rows):  # type: ignore[no-untyped-def]
    """The values (n,) of some rows; `values[rows]` takes several times as long to compile."""
    taken = np.empty(len(rows), values.dtype)
    for i, row in enumerate(rows):
        taken[i] = values[row]
    return taken


@numba.njit(nogil=True, cache=True)
def _falling(values):  # type: ignore[no-untyped-def]
    """The order by falling value: stable, ascending, then reversed."""
    n = len(values)
    if n > 24:
        return np.argsort(values, kind="mergesort")[::-1]
    order = np.arange(n)
    for i in range(1, n):
        row, j = order[i], i
        while j > 0 and values[order[j - 1]] > values[row]:
            order[j] = order[j - 1]
            j -= 1
        order[j] = row
    return order[::-1]


@numba.njit(nogil=True, cache=True)
def _cluster(rows, score, box, source, weights, iou, scratch):  # type: ignore[no-untyped-def]
    """Cluster the boxes of one image and class, given best first; fills scratch, gives the number of clusters."""
    corners, sums, size, totals, seen = scratch
    x1, y1, x2, y2, inter = corners[0], corners[1], corners[2], corners[3], corners[4]
    best, sum_score, sum_weight = totals[0], totals[1], totals[2]
    count = 0
    for i in rows:
        c = _best_cluster(x1, y1, x2, y2, inter, count, box[i], iou)
        if c < 0:
            c, count = count, count + 1
            x1[c], y1[c], x2[c], y2[c] = box[i, 0], box[i, 1], box[i, 2], box[i, 3]
            best[c], size[c], sum_score[c], sum_weight[c] = score[i], 0, 0.0, 0.0
            for k in range(4):
                sums[c, k] = 0
            for m in range(seen.shape[1]):
                seen[c, m] = False
        for k in range(4):
            sums[c, k] = np.float32(np.float64(sums[c, k]) + score[i] * box[i, k])
        size[c] += 1
        sum_score[c] += score[i]
        sum_weight[c] += weights[source[i]]
        seen[c, source[i]] = True
        if size[c] > 1 and sum_score[c] > 0:
            x1[c] = np.float32(np.float64(sums[c, 0]) / sum_score[c])
            y1[c] = np.float32(np.float64(sums[c, 1]) / sum_score[c])
            x2[c] = np.float32(np.float64(sums[c, 2]) / sum_score[c])
            y2[c] = np.float32(np.float64(sums[c, 3]) / sum_score[c])
    return count


@numba.njit(nogil=True, cache=True)
def _confidence(c, scratch, weights, conf_type, overflow):  # type: ignore[no-untyped-def]
    """The score of cluster c; where boxes were joined, in single precision before it is rescaled."""
    _, _, sizes, totals, seen = scratch
    size, best, weight = sizes[c], totals[0, c], totals[2, c]
    average = totals[1, c] / size
    if size > 1:
        average, weight = np.float64(np.float32(average)), np.float64(np.float32(weight))
        best = np.float64(np.float32(best))
    total, agreeing = weights.sum(), weights[seen[c]].sum() if conf_type >= 2 else 0.0
    if conf_type == 1:
        return best / weights.max()
    if conf_type == 2:
        return average * size / weight * agreeing / total
    if conf_type == 3:
        return average * size / (weight + (total - agreeing))
    if overflow:
        return average * size / total
    return average * min(len(weights), size) / total


@numba.njit(nogil=True, cache=True)
def _best_cluster(x1, y1, x2, y2, inter, count, box, iou):  # type: ignore[no-untyped-def]
    """The cluster whose box overlaps most, the first of equals; -1 where none overlaps more than iou.

    Two passes, so that the first, over all clusters, runs without a branch and is vectorised.
    """
    left, top, right, bottom = box[0], box[1], box[2], box[3]
    for c in range(count):
        width = min(x2[c], right) - max(x1[c], left)
        height = min(y2[c], bottom) - max(y1[c], top)
        inter[c] = max(width, 0.0) * max(height, 0.0)
    best, found = iou, -1
    area = (right - left) * (bottom - top)
    for c in range(count):
        if inter[c] > 0:
            overlap = inter[c] / ((x2[c] - x1[c]) * (y2[c] - y1[c]) + area - inter[c])
            if overlap > best:
                best, found = overlap, c
    return found


def _load() -> None:
    """Fuse nothing, of the types that detections have."""
    image, label, source = np.empty(0, np.int32), np.empty(0, np.uint16), np.empty(0, np.int64)
    score, box, weights = np.empty(0, np.float32), np.empty((0, 4), np.float32), np.ones(1)
    kept, _ = prepare(image, label, score, box, source, weights, np.float32(0), 0.0)
    arguments = (*kept, weights, 0.5, 0, False)
    fuse_images(*arguments)


_load()
