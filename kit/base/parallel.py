"""Shards over threads: results in order, a bounded number at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def ordered_map(function: Callable[[T], R], items: Iterable[T], workers: int) -> Iterator[R]:
    """Yield function(item) in the items' order; at most 2 * workers items are in memory.

    After an error, or when the caller has enough, no further item is begun, and no thread is left at work.
    """
    waiting: deque[Future[R]] = deque()
    pool = ThreadPoolExecutor(workers)
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) >= 2 * workers:
                yield _first(waiting)
        while waiting:
            yield _first(waiting)
    finally:
        pool.shutdown(cancel_futures=True)


def _first(waiting: deque[Future[R]]) -> R:
    """The first result, waited for; an error of any of those that have ended comes before it."""
    for future in waiting:
        if future.done() and (error := future.exception()) is not None:
            raise error
    return waiting.popleft().result()
