"""Progress of long work on stderr: a live line on a terminal, a logged line now and then elsewhere.

Both come only where the logger "kit" lets pass what is information.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from kit.base.errors import printable
from kit.base.log import logger

T = TypeVar("T")
Progress = Callable[[Iterable[Any], int, str], Iterator[Any]]  # of (steps, total, text)
EVERY = 10.0  # seconds between plain lines
REDRAW = 0.1  # seconds between two drawings of a live line


class ProgressLine:
    """One line for work of `total` steps; it keeps the stderr it was made with."""

    def __init__(self, total: int, text: str) -> None:
        self.total, self.text = total, printable(text)
        self.out = sys.stderr
        self.done = self.first = 0
        self.start = self.last = time.monotonic()
        self.live: Any = None

    def begin(self, done: int = 0) -> None:
        """Start the clock, with so many steps done before."""
        self.done = self.first = done
        self.start = self.last = time.monotonic()
        if self.out.isatty() and logger.isEnabledFor(logging.INFO):
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeRemainingColumn())
            self.live = Progress(*columns, console=Console(file=self.out), transient=True, auto_refresh=False)
            self.live.add_task(self.text, total=self.total, completed=done)
            self.live.start()

    def show(self, done: int, note: str = "") -> None:
        """So many steps are done; note: figures of the moment."""
        self.done, now = done, time.monotonic()
        if self.live is not None:
            text = f"{self.text}: {note}" if note else self.text
            if drawn := now - self.last >= REDRAW:  # here, not in a thread that outlives a stop
                self.last = now
            self.live.update(self.live.task_ids[0], completed=done, description=text, refresh=drawn)
            return
        if now - self.last >= EVERY:
            self.last = now
            left = (now - self.start) / max(done - self.first, 1) * (self.total - done)
            figures = f", {note}" if note else ""
            text = f"{self.text}: {done} of {self.total}{figures}, about {left:.0f} s left"
            logger.info(text, extra={"stream": self.out})

    def close(self) -> None:
        """Take a live line away."""
        if self.live is not None:
            self.live.stop()
            self.live = None


def track(steps: Iterable[T], total: int, text: str) -> Iterator[T]:
    """Pass the steps through and show how many of `total` are done."""
    line = ProgressLine(total, text)
    line.begin()
    try:
        for done, step in enumerate(steps, 1):
            yield step
            line.show(done)
    finally:
        line.close()


def silent(steps: Iterable[T], _total: int, _text: str) -> Iterator[T]:
    """Pass the steps through and show nothing."""
    yield from steps
