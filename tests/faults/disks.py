"""Disks that are full at any of the writers, and folders that cannot be written."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from tests.faults.command import Command
from tests.faults.judges import differences
from tests.faults.namespace import read_only, resize_disk, small_disk, with_mounts
from tests.faults.scene import Scene, of, says, train_all
from tests.faults.victims import options

FULL = r"kit: \S+: cannot be written \(No space left on device\)"
ANY_FULL = r"cannot be written \((No space left on device|[\d,]+ bytes, and [\d,]+ are free)\)"
STEP = 48 << 10  # bytes by which a full disk grows


def full_disk(scene: Scene, name: str, step: int = STEP) -> Iterator[str]:
    """A disk that grows a little after every failure, until the command finds its room."""

    def work() -> list[str]:
        small_disk(scene.folder, 1 << 30)
        words, faults = scene.begin(name), list[str]()
        resize_disk(scene.folder, size := _used(scene.folder) + step)
        for tries in range(500):
            command = scene.run(words)
            if command.code == 0:
                faults += [] if tries else ["the disk was never full"]
                break
            faults += _tells_full(command, name)
            resize_disk(scene.folder, size := size + step)
        resize_disk(scene.folder, size + (64 << 20))
        faults += says(scene.run(words), 0, ".*")
        found = of(scene.folder)
        shutil.rmtree(plain := scene.folder.with_name(f"{scene.folder.name}-plain"), ignore_errors=True)
        plain.mkdir()
        scene.begin(name, plain)
        faults += says(scene.run(words, plain), 0, ".*")
        return faults + differences(found, of(plain))

    yield from with_mounts(work)


def _tells_full(command: Command, name: str) -> Iterator[str]:
    """A full disk is one line that names the file; of a download, a line a file and what the next call does."""
    if name != "download":
        yield from says(command, 2, FULL)
    elif command.code not in (1, 2) or not re.search(ANY_FULL, command.err) or "Traceback" in command.err:
        yield f"exit code {command.code}: {command.err[-600:]}"


def _used(folder: Path) -> int:
    stat = os.statvfs(folder)
    return (stat.f_blocks - stat.f_bfree) * stat.f_frsize


def read_only_mount(scene: Scene) -> Iterator[str]:
    """A run and a data folder that cannot be written: what is finished is shown, what is not is refused."""
    words = scene.begin("predict")
    (scene.folder / "photos").mkdir()
    before = of(scene.folder)

    def work() -> list[str]:
        read_only(scene.folder)
        refused = (
            r"kit: runs/r: .* would have to be written, but the folder cannot be \(Read-only file system\)"
        )
        faults = list(says(scene.run(train_all()), 0, ".*"))
        faults += says(scene.run(words), 2, refused)
        faults += says(
            scene.run(["train", "all", "--run", "runs/other", *options("fast")[2:]]),
            2,
            refused.replace("/r:", "/other:"),
        )
        unmade = r"kit: .*cannot be written \(Read-only file system\)"
        return faults + list(says(scene.run(["download", "--set", "data.root=photos"]), 2, unmade))

    yield from with_mounts(work)
    yield from differences(of(scene.folder), before)
    yield from says(scene.run(words), 0, ".*")
