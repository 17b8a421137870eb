"""How much memory this process may use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from kit.base.cgroups import GROUPS, ROOT, group_folders

MEMINFO = Path("/proc/meminfo")


def usable_memory(meminfo: Path = MEMINFO, groups: Path = GROUPS, root: Path = ROOT) -> int | None:
    """Bytes that can be had: what the machine has free, cut by what the limits of the cgroups leave.

    None where the system does not tell (not Linux).
    """
    left = [
        *_line(meminfo, "MemAvailable"),
        *(n for folder, old in group_folders("memory", groups, root) for n in _left(folder, old)),
    ]
    return max(0, min(left)) if left else None


def total_memory(meminfo: Path = MEMINFO, groups: Path = GROUPS, root: Path = ROOT) -> int | None:
    """Bytes that the machine has, cut by the limits of the cgroups, whatever else is at work.

    None where the system does not tell (not Linux).
    """
    whole = [
        *_line(meminfo, "MemTotal"),
        *(n for folder, old in group_folders("memory", groups, root) for n in _limit(folder, old)),
    ]
    return max(0, min(whole)) if whole else None


def _line(meminfo: Path, name: str) -> Iterator[int]:
    with suppress(OSError, ValueError):
        for line in meminfo.read_text(encoding="ascii").splitlines():
            if line.startswith(f"{name}:"):
                yield int(line.split()[1]) * 1024


def _limit(folder: Path, old: bool) -> Iterator[int]:
    """The limit of a group, where it has one."""
    with suppress(OSError, ValueError):
        text = (folder / ("memory.limit_in_bytes" if old else "memory.max")).read_text().strip()
        if text != "max":
            yield int(text)


def _left(folder: Path, old: bool) -> Iterator[int]:
    """What the limit of a group leaves; the cache of files counts as used, and gives way."""
    used = folder / ("memory.usage_in_bytes" if old else "memory.current")
    with suppress(OSError, ValueError):
        for limit in _limit(folder, old):
            yield limit - int(used.read_text()) + _cache(folder)


def _cache(folder: Path) -> int:
    with suppress(OSError, ValueError):
        for line in (folder / "memory.stat").read_text().splitlines():
            name, _, value = line.partition(" ")
            if name in ("inactive_file", "total_inactive_file"):
                return int(value)
    return 0
