"""Pairs of images in batches: what is held of them at once is bounded, however many an image has."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.intp]
T = TypeVar("T")


def rows_by_image(image: NDArray[np.integer], most: int) -> list[Rows]:
    """The rows of each image, at most so many together: an image with more has several turns. image: (n,)."""
    order = np.argsort(image, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(image[order]) != 0])[: len(order)]
    whole = np.split(order, starts[1:]) if len(order) else []
    return [part for rows in whole for part in portions(rows, most)]


def portions(rows: Rows, most: int) -> list[Rows]:
    """Rows in their order, at most so many together."""
    return [rows[i : i + most] for i in range(0, len(rows), most)]


def batches(items: Iterable[T], weight: Callable[[T], int], most: int) -> Iterator[list[T]]:
    """Yield the items in their order, as many together as weigh at most so much, at least one."""
    batch: list[T] = []
    total = 0
    for item in items:
        own = weight(item)
        if batch and total + own > most:
            yield batch
            batch, total = [], 0
        batch.append(item)
        total += own
    if batch:
        yield batch
