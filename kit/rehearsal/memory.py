"""The largest memory of this process and its children over a while."""

from __future__ import annotations

import os
import resource
import sys
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from kit.base.stopping import descendants

EVERY = 0.2  # seconds between two looks
SHARED = 25  # looks at several processes after which they are counted, grown or not
GROWN = 1.02  # times the largest resident memory that was counted, from which it is counted while it grows
PAGE = os.sysconf("SC_PAGE_SIZE")


class PeakMemory:
    """Within its context: looks at the memory of this process and of all that it started; `bytes` is the largest.

    A page that several share counts once (Linux: proportional set size); elsewhere it is this process's alone. To
    count so, the system stops a process for 25 ms a GB: it is done where the resident memory is larger than before,
    or other processes are at work, and now and then where several are, of which one may write to shared pages.
    """

    def __init__(self) -> None:
        self.bytes = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="kit-memory")

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        self.bytes = max(self.bytes, used_memory())

    def _watch(self) -> None:
        counted, largest, before, looks = list[int](), 0, 0, 0
        while not self._over.wait(EVERY):
            processes = _processes()
            resident = sum(map(_resident, processes))
            grown = resident > (largest if resident <= before else GROWN * largest)
            looks += 1
            if processes != counted or grown or (len(processes) > 1 and looks >= SHARED):
                self.bytes = max(self.bytes, used_memory())
                counted, largest, looks = processes, resident, 0
            before = resident


def used_memory() -> int:
    """Bytes that this process and all that it started, directly or not, hold now."""
    total = 0
    for process in _processes():
        with suppress(OSError, ValueError):  # ended since
            total += _proportional(Path(f"/proc/{process}/smaps_rollup").read_text(encoding="ascii"))
    if total:
        return total
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _processes() -> list[int]:
    return [os.getpid(), *descendants(os.getpid())]


def _resident(process: int) -> int:
    with suppress(OSError, ValueError, IndexError):
        return int(Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1]) * PAGE
    return 0


def _proportional(text: str) -> int:
    for line in text.splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0
