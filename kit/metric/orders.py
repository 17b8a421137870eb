"""Stable orders of millions of rows by numbers and by scores, without comparing row with row."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

PART = 1 << 16  # rows numbered at a time


def by_number(numbers: NDArray[np.integer[Any]]) -> NDArray[np.intp]:
    """The stable order by whole numbers from 0.

    Each becomes one with its row behind it in 64 bits: numpy sorts plain numbers by vector instructions.
    """
    bits = len(numbers).bit_length()
    if int(numbers.max(initial=0)).bit_length() + bits > 63:
        return np.argsort(numbers, kind="stable")
    packed = numbers.astype(np.int64)
    packed <<= bits
    for start in range(0, len(packed), PART):
        part = packed[start : start + PART]
        part |= np.arange(start, start + len(part))
    packed.sort()
    packed &= (1 << bits) - 1
    return packed


def by_falling(scores: NDArray[np.float64]) -> NDArray[np.intp]:
    """The stable order by scores falling: by their 32 leading bits, then what ties in these by itself."""
    with np.errstate(over="ignore"):
        single = scores.astype(np.float32)
    single += np.float32(0)  # one zero
    order = by_number(_falling_bits(single))
    same = same_as_before(order, single)
    if (same != same_as_before(order, scores)).any():
        places = np.flatnonzero(in_runs(same))
        rows = order[places]
        order[places] = rows[np.lexsort((-scores[rows], np.cumsum(~same)[places]))]
    return order


def same_as_before(order: NDArray[np.intp], *columns: NDArray[Any]) -> NDArray[np.bool_]:
    """Of rows in an order, which are equal in all columns to the one before; bool (n,)."""
    same = np.zeros(len(order), bool)
    for start in range(1, len(order), PART):
        rows = order[start - 1 : start + PART]
        here = same[start : start + PART]
        here[:] = True
        for column in columns:
            values = column[rows]
            here &= values[1:] == values[:-1]
    return same


def in_runs(same: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Of rows that are the same as the one before or not, which are the same as a neighbour; bool (n,)."""
    tied = same.copy()
    tied[:-1] |= same[1:]
    return tied


def runs_reversed(order: NDArray[np.intp], same: NDArray[np.bool_]) -> NDArray[np.intp]:
    """The order with every run from its last to its first; same: as `same_as_before`."""
    places = np.flatnonzero(in_runs(same))
    first = np.flatnonzero(~same[places])
    length = np.diff(np.append(first, len(places)))
    backwards = np.repeat(2 * first + length - 1, length) - np.arange(len(places))
    order = order.copy()
    order[places] = order[places[backwards]]
    return order


def _falling_bits(single: NDArray[np.float32]) -> NDArray[np.uint32]:
    """Numbers that rise where the others fall."""
    bits = single.view(np.int32)
    return np.where(bits < 0, bits, ~bits & 0x7FFFFFFF).view(np.uint32)
