"""Working copies of runs elsewhere, kept as far as KIT_RUN_CACHE allows; what was used longest ago goes first."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from kit.base.errors import KitError
from kit.base.files import read_json, writing
from kit.base.locks import exclusive_lock
from kit.base.log import logger, warn_once
from kit.base.remote_place import cache_folder, cache_limit
from kit.pipeline.record import RECORD

LIMIT = "KIT_RUN_CACHE"  # of the environment: GiB
DEFAULT = 100.0  # GiB
KEPT = 0.9  # share of the limit that is left where stages have to go
USED = ".used"  # in a working copy: locked by the processes that use it; changed when one begins
_held: dict[Path, int] = {}  # open files, which this process and its children keep locked


@dataclass(frozen=True)
class Kept:
    """A fetched or published stage of a working copy: when its run was used last, bytes, where it lies."""

    used: float
    size: int
    folder: Path


def use(run: Path) -> None:
    """Keep the stages of a working copy as long as this process lives."""
    if run not in _held:
        with writing(run):
            run.mkdir(parents=True, exist_ok=True)
            held = os.open(run / USED, os.O_RDWR | os.O_CREAT)
            fcntl.flock(held, fcntl.LOCK_SH)
            os.utime(held)
        _held[run] = held


def drop(stage: Path) -> None:
    """Remove a stage of a working copy: it is whole or not there, wherever this is cut off."""
    gone = stage.with_name(f".{stage.name}.dropped")
    with writing(stage), suppress(FileNotFoundError):
        shutil.rmtree(gone, ignore_errors=True)
        stage.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)


def make_room(wanted: int) -> None:
    """Remove published stages of runs that no process uses, until `wanted` bytes more are within the limit.

    Where the runs in use are larger than that, they stay, and it is told.
    """
    limit = cache_limit(LIMIT, DEFAULT)
    with exclusive_lock(cache_folder() / "runs" / ".room.lock", "busy", wait=None):
        kept = sorted(_kept(), key=lambda stage: stage.used)
        total = sum(stage.size for stage in kept)
        if total + wanted <= limit:
            return
        most = min(limit - wanted, int(limit * KEPT))
        for stage in kept:
            if total <= most:
                break
            with _unused(stage.folder.parent) as unused:
                if unused and not mark(stage.folder.parent, stage.folder.name).exists():
                    logger.info(f"{stage.folder} is removed: {LIMIT} is {limit / (1 << 30):g} GiB")
                    drop(stage.folder)
                    total -= stage.size
        if total + wanted > limit:
            size = f"{(total + wanted) / (1 << 30):.1f} GiB"
            warn_once(
                f"note: working copies of the runs in use take {size}, {LIMIT} is {limit / (1 << 30):g} GiB"
            )


def mark(run: Path, stage: str) -> Path:
    """The file that says of a stage of a working copy that it is not published yet."""
    return run / f".{stage}.unpublished"


@contextmanager
def _unused(run: Path) -> Iterator[bool]:
    """Whether no process uses a working copy; none begins to meanwhile."""
    try:
        with (run / USED).open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield True
    except BlockingIOError:
        yield False


def _kept() -> Iterator[Kept]:
    for place, folders, files in os.walk(cache_folder() / "runs"):
        folder = Path(place)
        if RECORD in files:
            folders.clear()
            with suppress(KitError, OSError, TypeError, AttributeError):
                size = sum(read_json(folder / RECORD, dict)["files"].values())
                yield Kept((folder.parent / USED).stat().st_mtime, size, folder)
        folders[:] = [name for name in folders if not name.startswith(".")]
