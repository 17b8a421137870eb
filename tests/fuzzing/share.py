"""One target's share of the inputs, as the whole work of a process (which cannot find what is in `__main__`)."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from tests.fuzzing.runner import Result, run_target
from tests.fuzzing.targets import TARGETS

KEEP = Path("fuzz-failures")


def run_share(name: str, inputs: int, seed: int) -> Result:
    """Give a target so many inputs; what fails is kept in `fuzz-failures`."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())  # libjpeg warns of every photo
    target = next(target for target in TARGETS if target.name == name)
    with tempfile.TemporaryDirectory(dir=_fast()) as folder:
        return run_target(target, inputs, seed, Path(folder), KEEP)


def _fast() -> Path | None:
    """A file system in memory, where there is one."""
    memory = Path("/dev/shm")
    return memory if memory.is_dir() else None
