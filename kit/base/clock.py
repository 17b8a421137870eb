"""Seconds that went by, and seconds that the processors worked."""

from __future__ import annotations

import os
import resource
import time
from contextlib import suppress
from pathlib import Path

from kit.base.stopping import descendants

TIMES = slice(11, 15)  # fields of /proc/PID/stat after the name: user and system, of its children too


def processor_seconds() -> float:
    """Of all threads of this process so far, and of the processes that it started."""
    used = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))  # these have ended
    return sum(part.ru_utime + part.ru_stime for part in used) + sum(
        map(_of_process, descendants(os.getpid()))
    )


def _of_process(pid: int) -> float:
    """Of a living process, and of those that it started and waited for; 0 where it has ended since."""
    with suppress(OSError, ValueError):
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return sum(map(int, fields[TIMES])) / os.sysconf("SC_CLK_TCK")
    return 0.0


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
