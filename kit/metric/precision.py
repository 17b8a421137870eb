"""Average precision from a list of verdicts in rank order."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def average_precision(true_positive: NDArray[np.bool_], num_gt: int) -> float:
    """Area under the precision-recall curve, every point of it (VOC 2010 and later; rule R7).

    true_positive: bool (n,), True for a true positive, best score first; num_gt: number of ground-truth rows.
    Returns NaN without truth, 0 without a true positive.
    """
    if not num_gt:
        return float("nan")
    ranks = np.flatnonzero(true_positive)
    if not len(ranks):
        return 0.0
    found = np.arange(1, len(ranks) + 1)
    precision = found / (ranks + 1)
    highest_after = np.maximum.accumulate(precision[::-1])[::-1]
    recall = np.concatenate([[0.0], found / num_gt])
    return float(np.sum(np.diff(recall) * highest_after))


def mean(values: list[float]) -> float:
    """Plain mean; NaN of nothing (rule R8)."""
    return float(np.mean(values)) if values else float("nan")
