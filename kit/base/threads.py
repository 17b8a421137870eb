"""How many threads compute: a sum comes out the same to the last bit only where it is split the same way."""

from __future__ import annotations

import os
import platform
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_used = 0


def use_threads(count: int) -> None:
    """Compute with so many threads from here on, here and in what is started from here; 0: as the libraries want.

    What torch was told before it was imported it would bend to the machine's cores: `limit_torch` tells it again.
    """
    global _used
    _used = count
    if count:
        os.environ.update(dict.fromkeys(VARIABLES, str(count)))
    if "torch" in sys.modules:
        limit_torch()


def threads_used() -> int:
    """What `use_threads` was given last; 0 where the libraries decide."""
    return _used


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def limit_torch() -> None:
    """Let torch use so many threads."""
    if _used:
        import torch

        torch.set_num_threads(_used)


def machine() -> dict[str, Any]:
    """What the last bits of a result depend on: threads, processor, its instructions, the GPU in use."""
    facts: dict[str, Any] = {"threads": _used or None, "cpu": _processor()}
    torch = sys.modules.get("torch")
    if torch is not None:
        facts["threads"] = torch.get_num_threads()
        facts["instructions"] = torch.backends.cpu.get_cpu_capability()
        if torch.cuda.is_initialized():
            facts["gpu"] = torch.cuda.get_device_name()
    return facts


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
