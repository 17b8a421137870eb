"""Which prediction finds which ground-truth row: one look at the best, no second choice (rule R4)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.base.parallel import ordered_map
from kit.base.threads import cpu_count

Rows = NDArray[np.intp]
Keys = NDArray[np.int64]
Overlap = Callable[[Rows, Rows], NDArray[np.float64]]
Best = tuple[Rows, NDArray[np.float64]]

THRESHOLD = 0.5
CHUNK = 1 << 15  # predictions compared at a time: what they need stays in a processor's cache


def join_rows(left: Keys, right: Keys, chunk: int = CHUNK) -> Iterator[tuple[Rows, Rows]]:
    """Yield every pair (row of left, row of right) with equal keys, chunk by chunk of left.

    Within a left row the right rows come in their own order.
    """
    join = Join(right)
    for start in range(0, len(left) if len(right) else 0, chunk):
        rows, found = join.pairs(left[start : start + chunk])
        yield rows + start, found


class Join:
    """Rows of one side, to be found by their keys."""

    def __init__(self, right: Keys) -> None:
        self.order = np.argsort(right, kind="stable")
        self.distinct, self.first, self.count = np.unique(
            right[self.order], return_index=True, return_counts=True
        )

    def pairs(self, keys: Keys) -> tuple[Rows, Rows]:
        """Every pair (row of keys, row of this side) with equal keys."""
        if not len(self.distinct):
            return np.zeros(0, np.intp), np.zeros(0, np.intp)
        place = np.minimum(np.searchsorted(self.distinct, keys), len(self.distinct) - 1)
        rows = np.flatnonzero(self.distinct[place] == keys)
        place = place[rows]
        each = self.count[place]
        offset = np.arange(each.sum()) - np.repeat(np.cumsum(each) - each, each)
        return np.repeat(rows, each), self.order[np.repeat(self.first[place], each) + offset]

    def best(self, keys: Keys, overlaps: list[Overlap]) -> list[Best]:
        """For every key the row of this side with the largest overlap, as `best_truth`; the keys few at a time."""
        best = [(np.full(len(keys), -1, np.intp), np.zeros(len(keys))) for _ in overlaps]
        left, right = self.pairs(keys)
        if not len(left):
            return best
        first = np.flatnonzero(np.r_[True, left[1:] != left[:-1]])
        length = np.diff(np.r_[first, len(left)])
        for (row, value), overlap in zip(best, overlaps, strict=True):
            o = overlap(left, right)
            rank = np.where(np.isnan(o), np.inf, o)
            top = np.repeat(np.maximum.reduceat(rank, first), length)
            position = np.where(rank == top, np.arange(len(o)), len(o))
            winner = np.minimum.reduceat(position, first)
            row[left[first]] = right[winner]
            value[left[first]] = o[winner]
        return best


def best_truth(predictions: Keys, truths: Keys, overlaps: list[Overlap]) -> list[Best]:
    """For every prediction the ground-truth row of its key with the largest overlap (rule R4c).

    overlaps: functions of (prediction rows, truth rows) -> overlap; each gives one (row, overlap) pair of
    arrays (n,). The first maximum wins, NaN counts as the maximum. Row -1, overlap 0 where no key matches.
    """
    join = Join(truths)

    def find(start: int) -> list[Best]:
        """Look at a chunk of the predictions."""
        return join.best(predictions[start : start + CHUNK], [_from(start, overlap) for overlap in overlaps])

    starts = range(0, max(len(predictions), 1), CHUNK)
    parts = list(map(find, starts) if len(starts) < 2 else ordered_map(find, starts, cpu_count()))
    return [
        (np.concatenate([row for row, _ in part]), np.concatenate([value for _, value in part]))
        for part in zip(*parts, strict=True)
    ]


def _from(start: int, overlap: Overlap) -> Overlap:
    """The overlap of prediction rows that are counted from a row on."""
    return lambda p, t: overlap(p + start, t)


def true_positives(truth: Rows, overlap: NDArray[np.float64], score: NDArray[Any]) -> NDArray[np.bool_]:
    """Which predictions take their best truth: per truth the highest score, of equals the last row.

    truth, overlap: of `best_truth`; score: (n,). A prediction competes from overlap 0.5 on (rules R4a, R4c).
    """
    claim = np.flatnonzero(overlap >= THRESHOLD)
    claimed, score = truth[claim], score[claim]
    best = np.full(claimed.max(initial=-1) + 1, -np.inf)
    np.maximum.at(best, claimed, score)
    is_best = score == best[claimed]
    winner = np.full(len(best), -1, np.intp)
    winner[claimed[is_best]] = claim[is_best]  # of equal scores the last row stays
    hit = np.zeros(len(truth), bool)
    hit[winner[winner >= 0]] = True
    return hit


def best_in_group(group: NDArray[np.integer[Any]], score: NDArray[Any], most: int) -> Rows:
    """The rows of the `most` highest scores of every group, groups together, best first; equals stay in order."""
    order = np.lexsort((-score, group))
    ordered = group[order]
    rank = np.arange(len(order)) - np.searchsorted(ordered, ordered, "left")
    return order[rank < most]
