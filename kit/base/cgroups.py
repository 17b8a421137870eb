"""The cgroups (version 2 or 1) of this process and their parents: a container sees its own group at the root."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

GROUPS, ROOT = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


def group_folders(controller: str, groups: Path = GROUPS, root: Path = ROOT) -> Iterator[tuple[Path, bool]]:
    """The folders of the groups that limit this process, and of their parents; whether each is of version 1.

    controller: "cpu" or "memory"; groups: the lines `number:controllers:/path`; root: where they are mounted.
    """
    try:
        lines = groups.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        mount = root / controllers
        folder = mount / group.strip("/")
        for place in (folder, *folder.parents):
            if not place.is_relative_to(mount):
                break
            yield place, bool(controllers)
