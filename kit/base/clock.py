"""Seconds that went by, and seconds that the processors worked."""

from __future__ import annotations

import resource
import time

from kit.base.family import processor_seconds_of_descendants


def processor_seconds() -> float:
    """Of all threads of this process so far, and of the processes that it started."""
    used = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))  # these have ended
    return sum(part.ru_utime + part.ru_stime for part in used) + processor_seconds_of_descendants()


class Clock:
    """Runs from the moment that it is made."""

    def __init__(self) -> None:
        self._begun, self._worked = time.monotonic(), processor_seconds()

    @property
    def seconds(self) -> float:
        """That went by."""
        return time.monotonic() - self._begun

    @property
    def processor_seconds(self) -> float:
        """That the processors worked for this process: hardly more on a busy machine than on an idle one."""
        return max(0.0, processor_seconds() - self._worked)  # less where one ended that nobody waited for
