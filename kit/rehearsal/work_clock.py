"""A clock of a stage's own work: it stands still meanwhile for what is no part of that."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class WorkClock:
    """Seconds of work so far."""

    def __init__(self) -> None:
        self._paused, self._since, self._depth = 0.0, 0.0, 0
        self._changing = threading.Lock()

    def now(self) -> float:
        """Seconds since some moment, without those of pauses."""
        with self._changing:
            return (self._since if self._depth else time.monotonic()) - self._paused

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Stand still inside, for all threads; a pause while another goes on is part of that."""
        with self._changing:
            if not self._depth:
                self._since = time.monotonic()
            self._depth += 1
        try:
            yield
        finally:
            with self._changing:
                self._depth -= 1
                if not self._depth:
                    self._paused += time.monotonic() - self._since
