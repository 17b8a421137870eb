"""How many threads compute, and how they wait, in this process and in what it starts.

A sum comes out the same to the last bit only where it is split the same way.
"""

from __future__ import annotations

import math
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from kit.base.cgroups import GROUPS, ROOT, group_folders

VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
WAITING = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0", "KMP_BLOCKTIME": "0"}
SHARE = "KIT_CPUS"  # of the environment: processors for this process
_used = 0


def wait_passively() -> None:
    """Let OpenMP's idle threads sleep: spinning ones take the processors of other programs.

    Before a library of OpenMP is loaded. What the user has set of how they wait stays, all of it.
    """
    if not WAITING.keys() & os.environ.keys():
        os.environ.update(WAITING)


def cpu_count() -> int:
    """Processors for this process: by KIT_CPUS, else its affinity, cut by the quota of its cgroups."""
    share = os.environ.get(SHARE, "")
    if share.isascii() and share.isdigit() and int(share):
        return int(share)
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(allowed, cgroup_quota() or allowed)


def cpu_share(processes: int) -> int:
    """Processors for each of so many processes side by side, at least one."""
    return max(1, cpu_count() // processes)


def cgroup_quota(groups: Path = GROUPS, root: Path = ROOT) -> int | None:
    """The whole processors, rounded up, that the quotas of the cgroups allow; None for all."""
    quotas = [quota for folder, old in group_folders("cpu", groups, root) for quota in _quotas(folder, old)]
    return max(1, math.ceil(min(quotas))) if quotas else None


def _quotas(folder: Path, old: bool) -> Iterator[float]:
    """The quota, in processors, of a group; old: of version 1."""
    with suppress(OSError, ValueError, ZeroDivisionError):
        if old:
            quota, period = ((folder / f"cpu.cfs_{key}_us").read_text() for key in ("quota", "period"))
        else:
            quota, period = (folder / "cpu.max").read_text().split()
        if quota != "max" and int(quota) > 0:
            yield int(quota) / int(period)


def use_threads(count: int) -> None:
    """Compute with so many threads from here on, here and in what is started from here; 0: as the libraries want.

    They know nothing of a cgroup's quota: where there is one, 0 is as many as it allows.

    What torch was told before it was imported it would bend to the machine's cores: `limit_torch` tells it again.
    """
    global _used
    _used = count or (cpu_count() if cgroup_quota() else 0)
    if _used:
        os.environ.update(dict.fromkeys(VARIABLES, str(_used)))
    limit_torch()


def threads_used() -> int:
    """What `use_threads` was given last; 0 where the libraries decide."""
    return _used


@contextmanager
def with_threads(count: int) -> Iterator[None]:
    """Inside, torch and what asks `threads_used` compute with so many threads."""
    global _used
    import torch

    before, _used = (torch.get_num_threads(), _used), count
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch_before, _used = before
        torch.set_num_threads(torch_before)


def limit_torch() -> None:
    """Let torch use so many threads, where it is loaded: a rehearsal would take an import here for a need of it."""
    torch: Any = sys.modules.get("torch")
    if _used and torch is not None:
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
