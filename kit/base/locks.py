"""Locks between processes; what a killed process held is free again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kit.base.errors import KitError
from kit.base.files import writing


class LockedError(KitError):
    """Another process holds the lock."""


@contextmanager
def exclusive_lock(
    path: Path, busy: str, hint: str = "wait for it", *, wait: float | None = 0.0
) -> Iterator[None]:
    """Hold the lock of a file, which is made with its folder, while inside.

    wait: seconds to wait for another holder, None for as long as it takes. Raises LockedError with the texts `busy`
    and `hint` where it is held still, and KitError where the file cannot be made.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    with writing(path.parent, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=-1 if wait is None else wait)
        except Timeout:
            raise LockedError(busy, hint) from None
    try:
        yield
    finally:
        lock.release()
