"""Progress of long work on stderr: a live line on a terminal, a logged line now and then elsewhere.

Both come only where the logger "kit" lets pass what is information. A meter can be told of every loop, and end
it early: `kit rehearse` measures rates by it.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from kit.base.errors import printable
from kit.base.log import logger

T = TypeVar("T")
Progress = Callable[[Iterable[Any], int, str], Iterator[Any]]  # of (steps, total, text)
EVERY = 10.0  # seconds between plain lines
REDRAW = 0.1  # seconds between two drawings of a live line


class Meter(Protocol):
    """What is told of loops at work."""

    def begin(self, line: ProgressLine) -> None:
        """A loop begins."""

    def fed(self, line: ProgressLine) -> None:
        """The data of its next step is there."""

    def step(self, line: ProgressLine) -> bool:
        """A step is done; whether the loop shall end here."""

    def end(self, line: ProgressLine) -> None:
        """A loop has ended."""


_meter: Meter | None = None


def set_meter(meter: Meter | None) -> None:
    """Tell a meter of all loops from here on; None: nobody."""
    global _meter
    _meter = meter


class ProgressLine:
    """One line for work of `total` steps; it keeps the stderr it was made with.

    unit, size: what a step works on, and how many of it; times: how often such a loop runs in the whole work;
    rows: of a table that every step goes through; kept: bytes on disk that the whole of it needs for a while;
    enough: a meter has seen enough, the loop shall end here.
    """

    def __init__(
        self,
        total: int,
        text: str,
        unit: str = "steps",
        size: float = 1,
        times: int = 1,
        rows: int = 0,
        kept: int = 0,
    ) -> None:
        self.total, self.text = total, printable(text)
        self.unit, self.size, self.times, self.rows, self.kept = unit, size, times, rows, kept
        self.enough = self.begun = False
        self.out = sys.stderr
        self.done = self.first = 0
        self.start = self.last = time.monotonic()
        self.live: Any = None

    def begin(self, done: int = 0) -> None:
        """Start the clock, with so many steps done before."""
        self.done = self.first = done
        self.start = self.last = time.monotonic()
        self.begun = True
        if _meter is not None:
            _meter.begin(self)
        if self.out.isatty() and logger.isEnabledFor(logging.INFO):
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeRemainingColumn())
            self.live = Progress(*columns, console=Console(file=self.out), transient=True, auto_refresh=False)
            self.live.add_task(self.text, total=self.total, completed=done)
            self.live.start()

    def fed(self) -> None:
        """The data of the next step is there."""
        if _meter is not None:
            _meter.fed(self)

    def show(self, done: int, note: str = "") -> None:
        """So many steps are done; note: figures of the moment."""
        self.done, now = done, time.monotonic()
        if _meter is not None:
            self.enough = _meter.step(self)
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
        if _meter is not None and self.begun:
            _meter.end(self)
        self.begun = False


def track(
    steps: Iterable[T],
    total: int,
    text: str,
    *,
    unit: str = "steps",
    size: float = 1,
    times: int = 1,
    kept: int = 0,
    optional: bool = False,
    data: bool = False,
) -> Iterator[T]:
    """Pass the steps through and show how many of `total` are done.

    unit, size, times, kept: as of a ProgressLine; optional: a meter may end the loop early; data: the
    steps are what is loaded for the work, not the work itself.
    """
    line = ProgressLine(total, text, unit, size, times, kept=kept)
    line.begin()
    try:
        for done, step in enumerate(steps, 1):
            if data:
                line.fed()
            yield step
            line.show(done)
            if optional and line.enough:
                return
    finally:
        line.close()


@contextmanager
def one_line(total: int, text: str, unit: str = "steps", size: float = 1) -> Iterator[Progress]:
    """One line for several loops, one after another, of `total` steps together, whose steps are loaded data."""
    line, done = ProgressLine(total, text, unit, size), 0

    def pass_on(steps: Iterable[Any], _total: int, _text: str) -> Iterator[Any]:
        nonlocal done
        for step in steps:
            line.fed()
            yield step
            done += 1
            line.show(min(done, total))

    line.begin()
    try:
        yield pass_on
    finally:
        line.close()


def silent(steps: Iterable[T], _total: int, _text: str) -> Iterator[T]:
    """Pass the steps through and show nothing."""
    yield from steps
