"""What a process that does one task after another hears and says: a line of stdin each, a mark after each."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from typing import Literal

VERBOSITY = "KIT_VERBOSITY"  # environment: how much the process says
MARK = "KIT_MARK"  # environment: what the process prints after a task; nobody else knows it
CLUSTER = (
    "KIT_CLUSTER"  # environment: address of the cluster of the process that started this one, or NO_CLUSTER
)
NODE = "KIT_NODE"  # environment: the node of a cluster that a process does a stage on
NO_CLUSTER = "none"  # what a process on a node is told, which does all by itself
# make: stages and what they need; resume: a redo, from what a try of it that died left; task: of a stage that
# another process is making
Mode = Literal["make", "do", "redo", "resume", "task"]


def tasks() -> Iterator[str]:
    """Yield the lines of stdin; once one is done, free what it held and print the mark.

    From here on stdin is empty: what a task starts must neither wait for the next one nor take it.
    """
    mark = os.environ.pop(MARK, "")
    with os.fdopen(os.dup(0), encoding="utf-8") as lines:
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        for line in lines:
            yield line.rstrip("\n")
            give_memory_back()
            sys.stdout.write(f"{mark}\n")
            sys.stdout.flush()


def give_memory_back() -> None:
    """Free what a task held: processes beside this one may need it, on a GPU also what torch keeps."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
