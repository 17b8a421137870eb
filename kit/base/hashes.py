"""Content hashes of files, remembered by size and time of change."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import Any

from kit.base.errors import KitError
from kit.base.files import read_json, write_json


class FileHashes:
    """The hashes of a run's inputs; path: where they are remembered."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.known: dict[str, Any] = {}
        with suppress(KitError):  # without it, or with a damaged one, the files are read again
            self.known = read_json(path, dict)

    def of(self, path: Path) -> str:
        """The SHA-256 of a file. Raises KitError where it is none that can be read."""
        try:
            stat = path.stat()
            if path.is_dir():
                raise KitError(f"{path}: a folder, not a file")
            stamp = [stat.st_size, stat.st_mtime_ns]
            known = self.known.get(str(path.resolve()))
            if not (isinstance(known, list) and len(known) == 3 and known[:2] == stamp):
                with path.open("rb") as file:
                    known = [*stamp, hashlib.file_digest(file, "sha256").hexdigest()]
                self.known[str(path.resolve())] = known
                with suppress(KitError):  # it only saves time
                    write_json(self.path, self.known)
        except FileNotFoundError:
            raise KitError(f"{path}: no such file") from None
        except OSError as error:
            raise KitError(f"{path}: cannot be read ({error.strerror})") from None
        return str(known[2])
