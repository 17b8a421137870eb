"""The processes that this one started, directly or not, by what Linux tells of them."""

from __future__ import annotations

import os
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")
STATE, PARENT, FIRST_TIME, AFTER_TIMES = 0, 1, 11, 15  # fields of `stat` after the name
Stat = list[str]


def descendants() -> dict[int, Stat]:
    """The living descendants, in process groups of their own too, with the fields of their `stat` after the name.

    Empty where there is no /proc.
    """
    stats, children = dict[int, Stat](), defaultdict[int, list[int]](list)
    for file in PROC.glob("[0-9]*/stat"):
        with suppress(OSError, ValueError, IndexError):  # ended since
            fields = file.read_text(errors="replace").rpartition(")")[2].split()
            children[int(fields[PARENT])].append(int(file.parent.name))
            stats[int(file.parent.name)] = fields
    found, todo = dict[int, Stat](), children[os.getpid()]
    while todo:
        process = todo.pop()
        if process not in found:
            found[process] = stats[process]
            todo += children[process]
    return found


def processor_seconds_of_descendants() -> float:
    """That the processors worked for the living ones, and for those that they started and waited for."""
    ticks = sum(int(t) for stat in descendants().values() for t in stat[FIRST_TIME:AFTER_TIMES])
    return ticks / os.sysconf("SC_CLK_TCK")
