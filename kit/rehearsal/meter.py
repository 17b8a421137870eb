"""How fast the loops of a stage go: told of each by `kit.base.progress`, ended once enough is seen."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from kit.base.progress import ProgressLine

SETTLED = 2  # steps after which a loop has warmed up
PATIENCE = 6  # times the seconds for the steady pace that one step may take


@dataclass
class Loop:
    """A loop that was measured: seconds of its own, without the loops inside it.

    rows: of the table that every step goes through, 0 where steps work on parts of the data; kept: bytes on disk
    that the whole of it needs for a while; total: steps of the whole; times: how often it runs in the whole work;
    done: steps seen; warm_up: seconds up to the end of the first steps, `warm` of them, the last of these in
    `last`; steady: seconds of the others; waited: of those that it waited for data; rest: after the last one.
    """

    text: str
    unit: str
    size: float
    total: int
    times: int
    done: int = 0
    warm: int = 0
    warm_up: float = 0.0
    last: float = 0.0
    steady: float = 0.0
    waited: float = 0.0
    rest: float = 0.0
    rows: int = 0
    kept: int = 0

    @property
    def seconds(self) -> float:
        """What it took here."""
        return self.warm_up + self.steady + self.rest

    @property
    def step(self) -> float:
        """Seconds a step, once it goes steadily."""
        if self.done > self.warm:
            return self.steady / (self.done - self.warm)
        return self.last

    @property
    def wait_share(self) -> float:
        """Share of the steady time that it waited for data."""
        return self.waited / self.steady if self.steady > 0 else 0.0

    def whole(self, scale: float = 1.0) -> float:
        """Seconds of the whole loop, all its times; scale: how much more data the whole has."""
        if scale == 1.0 and self.done >= self.total:
            return self.seconds * self.times
        steps = max(self.total * scale - self.warm, 0.0)
        return (self.warm_up + self.rest + self.step * steps) * self.times

    def part(self, share: float) -> Loop:
        """The loop with a share of its time."""
        timed = ("warm_up", "last", "steady", "waited", "rest")
        return replace(self, **{name: share * getattr(self, name) for name in timed})


class _Open:
    """A loop at work. inner: seconds of ended loops inside it; told: to end before its last step."""

    def __init__(self, line: ProgressLine, now: float) -> None:
        self.line, self.begun, self.inner = line, now, 0.0
        self.loop = Loop(
            line.text,
            line.unit,
            line.size,
            line.total - line.done,
            line.times,
            rows=line.rows,
            kept=line.kept,
        )
        self.mark, self.first = now, line.done
        self.waited, self.told = 0.0, False

    def spent(self, now: float) -> float:
        """Own seconds since the last mark; sets the mark."""
        spent, self.mark, self.inner = now - self.mark - self.inner, now, 0.0
        return max(spent, 0.0)


class LoopMeter:
    """Measures the loops of the main thread and ends each after some seconds at a steady pace. now: a clock."""

    def __init__(self, seconds: float, now: Callable[[], float]) -> None:
        self._now = now
        self.budget, self.loops = seconds, list[Loop]()
        self.outside = 0.0  # seconds inside of any loop, to be taken off the stage's own
        self._open: list[_Open] = []

    def begin(self, line: ProgressLine) -> None:
        """A loop begins."""
        if _main():
            self._open.append(_Open(line, self._now()))

    def fed(self, line: ProgressLine) -> None:
        """The data of its next step is there."""
        loop = self._of(line)
        if loop is not None:
            loop.waited = max(self._now() - loop.mark - loop.inner, 0.0)

    def step(self, line: ProgressLine) -> bool:
        """A step is done; whether the loop shall end here."""
        loop = self._of(line)
        if loop is None:
            return False
        measured, spent, done = loop.loop, loop.spent(self._now()), line.done - loop.first
        if done <= SETTLED and done < measured.total:
            measured.warm_up, measured.warm, measured.last = measured.warm_up + spent, done, spent
        else:
            measured.steady, measured.waited = measured.steady + spent, measured.waited + loop.waited
        loop.waited, measured.done = 0.0, done
        slow = done >= SETTLED and measured.last >= PATIENCE * self.budget
        loop.told |= measured.steady >= self.budget or slow
        return loop.told

    def end(self, line: ProgressLine) -> None:
        """A loop has ended."""
        loop = self._of(line)
        if loop is None:
            return
        now = self._now()
        loop.loop.rest = loop.spent(now)
        if not loop.told:
            loop.loop.total = loop.loop.done  # an early stopping of its own
        self._open.remove(loop)
        self.loops.append(loop.loop)
        if self._open:
            self._open[-1].inner += now - loop.begun
        else:
            self.outside += now - loop.begun

    def _of(self, line: ProgressLine) -> _Open | None:
        return next((loop for loop in self._open if loop.line is line), None)


def _main() -> bool:
    return threading.current_thread() is threading.main_thread()
