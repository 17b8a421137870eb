"""Photos of folders elsewhere, kept on this machine as far as KIT_PHOTO_CACHE allows; least recently used go."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kit.base.errors import KitError
from kit.base.locks import exclusive_lock
from kit.base.log import warn_once
from kit.base.remote_place import cache_folder, cache_limit

LIMIT = "KIT_PHOTO_CACHE"  # of the environment: GiB
DEFAULT = 50.0  # GiB: all photos of the challenge's pairs at their largest size do not fit, a day's work does
KEPT = 0.9  # share of the limit that is left where photos have to go: they go seldom, and many at once
_USED, _PART = ".used", ".part"


@dataclass(frozen=True)
class PhotoCache:
    """Files below a folder, of at most `limit` bytes together, whatever processes read through it."""

    folder: Path
    limit: int

    def read(self, path: Path, fetch: Callable[[], bytes | None], size: int | None = None) -> bytes | None:
        """The bytes of a file below the folder, else fetched and kept; None where they cannot be had.

        size: bytes of it elsewhere, where that is known; a kept file of another length is fetched again, and where
        it is not known an empty one: a machine that lost its power may leave such.
        """
        with suppress(OSError):
            data = path.read_bytes()
            if data if size is None else len(data) == size:
                os.utime(path)
                return data
        fetched = fetch()
        if fetched is not None and len(fetched) <= self.limit:
            try:
                self._keep(path, fetched)
            except (OSError, KitError) as error:
                warn_once(f"{self.folder}: photos are not kept ({getattr(error, 'strerror', None) or error})")
        return fetched

    def forget(self, path: Path) -> None:
        """Remove a file that is no more what it was elsewhere."""
        with suppress(FileNotFoundError):
            path.unlink()

    def _keep(self, path: Path, data: bytes) -> None:
        """Write a file after its bytes are counted, so that a kill leaves too much counted, never too little."""
        with exclusive_lock(self.folder / f"{_USED}.lock", "busy", wait=None):
            with suppress(FileNotFoundError):
                if path.stat().st_size == len(data):  # another process was first
                    return
                self.forget(path)
            used = self._used()
            if used + len(data) > self.limit:
                used = self._make_room(len(data))
            self._count(used + len(data))
            part = self.folder / _PART
            part.write_bytes(data)
            path.parent.mkdir(parents=True, exist_ok=True)
            part.replace(path)

    def _used(self) -> int:
        """Bytes counted; of the files that are there where that is not known."""
        try:
            return int((self.folder / _USED).read_text(encoding="ascii"))
        except (OSError, ValueError):
            return sum(size for _, size, _ in self._files())

    def _count(self, used: int) -> None:
        (self.folder / _USED).write_text(str(used), encoding="ascii")

    def _make_room(self, wanted: int) -> int:
        """Remove the least recently used files so that `wanted` bytes fit; bytes of those left."""
        files = sorted(self._files())
        used, most = sum(size for _, size, _ in files), min(self.limit - wanted, int(self.limit * KEPT))
        for _, size, path in files:
            if used <= most:
                break
            os.unlink(path)
            used -= size
        return used

    def _files(self) -> Iterator[tuple[int, int, str]]:
        """When it was used last, bytes and path of every photo that is kept."""
        folders = [str(self.folder)]
        while folders:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    elif not entry.name.startswith((_USED, _PART)):
                        stat = entry.stat()
                        yield stat.st_mtime_ns, stat.st_size, entry.path


def photo_cache() -> PhotoCache:
    """That of this machine. Raises KitError where KIT_PHOTO_CACHE is no number."""
    return PhotoCache(cache_folder() / "photos", cache_limit(LIMIT, DEFAULT))
