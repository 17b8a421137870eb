"""Progress of long work on stderr: a live line on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

T = TypeVar("T")
Progress = Callable[[Iterable[Any], int, str], Iterator[Any]]  # of (steps, total, text)
EVERY = 10.0  # seconds between plain lines


def track(steps: Iterable[T], total: int, text: str) -> Iterator[T]:
    """Pass the steps through and show how many of `total` are done."""
    if sys.stderr.isatty():
        yield from _live(steps, total, text)
    else:
        yield from _plain(steps, total, text)


def silent(steps: Iterable[T], _total: int, _text: str) -> Iterator[T]:
    """Pass the steps through and show nothing."""
    yield from steps


def notice(text: str) -> None:
    """A line for the user that is no result: to stderr."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _live(steps: Iterable[T], total: int, text: str) -> Iterator[T]:
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        yield from progress.track(steps, total=total, description=text)


def _plain(steps: Iterable[T], total: int, text: str) -> Iterator[T]:
    start = last = time.monotonic()
    for done, step in enumerate(steps, 1):
        yield step
        now = time.monotonic()
        if now - last >= EVERY:
            last = now
            left = (now - start) / done * (total - done)
            notice(f"{text}: {done} of {total}, about {left:.0f} s left")
