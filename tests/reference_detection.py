"""The Open Images detection metric once more, slowly: the published evaluator's rules as plain loops.

Written from the rules alone and sharing nothing with kit.metric: the oracle of the property tests. Every sort is
stable, ascending, then reversed.
"""

from __future__ import annotations

import numpy as np

from tests.reference import average_precision

Box = tuple[float, float, float, float]
Truth = tuple[int, int, Box, bool]  # image, class, box, group-of
Found = tuple[int, int, Box, float]  # image, class, box, score


def class_aps(truth: list[Truth], found: list[Found], verified: list[tuple[int, int]]) -> dict[int, float]:
    """Average precision of every class with truth."""
    known = {row[:2] for row in truth} | set(verified)
    out = {}
    for label in sorted({row[1] for row in truth}):
        pooled: list[tuple[float, bool]] = []
        for image in sorted({image for image, other in known if other == label}):
            own = [row for row in found if row[:2] == (image, label) and _counts(row)]
            pooled += _image(_falling(own, 3), [row for row in truth if row[:2] == (image, label)])
        number = sum(row[1] == label for row in truth)
        out[label] = average_precision([hit for _, hit in _falling(pooled, 0)], number)
    return out


def _counts(row: Found) -> bool:
    (left, top, right, bottom), score = row[2:]
    return left < right and top < bottom and score > -10


def _image(found: list[Found], truth: list[Truth]) -> list[tuple[float, bool]]:
    """Scores and verdicts: the predictions that no group box absorbs, then the group boxes that were found."""
    single, groups = ([row[2] for row in truth if row[3] == group] for group in (False, True))
    taken, credit = [False] * len(single), [0.0] * len(groups)
    out = []
    for _, _, box, score in found:
        overlaps = [
            _shared(box, other) / (_area(box) + _area(other) - _shared(box, other)) for other in single
        ]
        best = int(np.argmax(overlaps)) if overlaps else -1
        hit = best >= 0 and overlaps[best] >= 0.5 and not taken[best]
        if hit:
            taken[best] = True
        inside = [_shared(box, other) / _area(box) for other in groups]
        group = int(np.argmax(inside)) if inside else -1
        if not hit and group >= 0 and inside[group] >= 0.5:
            credit[group] = max(credit[group], score)
        else:
            out.append((score, hit))
    return out + [(score, True) for score in credit if score > 0]


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _shared(a: Box, b: Box) -> float:
    width, height = (max(0.0, min(a[k + 2], b[k + 2]) - max(a[k], b[k])) for k in (0, 1))
    return width * height


def _falling(rows: list, column: int) -> list:
    return sorted(rows, key=lambda row: row[column])[::-1]
