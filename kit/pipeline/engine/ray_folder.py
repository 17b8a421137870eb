"""The temporary folder of a cluster of this machine alone: it goes with its owner, or at the next start of one."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

from kit.base import stopping

PREFIX = "kit-ray-"
OWNER = "owner"  # the file in it that its owner holds a lock of, which a killed process holds no more
LONGEST = 24  # characters of a temporary folder in which Ray's sockets have names that are short enough
FRESH = 60.0  # seconds in which a folder may not be held yet


def new_folder() -> Path:
    """A folder for as long as this process; those that killed ones left are removed."""
    near = len(tempfile.gettempdir()) < LONGEST
    place = Path(tempfile.gettempdir() if near else "/tmp")
    for left in place.glob(f"{PREFIX}*"):
        with suppress(OSError):  # held, of another user, or of something else
            _remove_left(left)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
    _hold(os.open(folder / OWNER, os.O_RDWR | os.O_CREAT))
    stopping.at_end(partial(shutil.rmtree, folder, ignore_errors=True))
    return folder


def _remove_left(folder: Path) -> None:
    """Remove a folder whose owner is dead. Raises OSError where it is not."""
    descriptor = os.open(folder / OWNER, os.O_RDWR)
    try:
        _hold(descriptor)
        if time.time() - os.fstat(descriptor).st_mtime > FRESH:
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(descriptor)


def _hold(descriptor: int) -> None:
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
