"""Content hashes of files, remembered by size and time of change."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from kit.base.errors import KitError
from kit.base.files import read_json, write_json


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits. Raises KitError where it is none that can be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise KitError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise KitError(f"{path}: a folder, not a file") from None
    except OSError as error:
        raise KitError(f"{path}: cannot be read ({error.strerror})") from None


HASHES = "hashes.json"  # in a run's folder: the hashes of its inputs


class FileHashes:
    """The hashes of a run's inputs; path: where they are remembered."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.known: dict[str, Any] = {}
        with suppress(KitError):  # without it, or with a damaged one, the files are read again
            self.known = read_json(path, dict)

    def of(self, path: Path) -> str:
        """The SHA-256 of a file. Raises KitError where it is none that can be read."""
        with suppress(OSError):  # of a file that is not there `sha256_of` speaks
            stat, name = path.stat(), str(path.resolve())
            known = self.known.get(name)
            if isinstance(known, list) and known[:2] == [stat.st_size, stat.st_mtime_ns] and len(known) == 3:
                return str(known[2])
            self.known[name] = [stat.st_size, stat.st_mtime_ns, digest := sha256_of(path)]
            with suppress(KitError):  # it only saves time
                write_json(self.path, self.known)
            return digest
        return sha256_of(path)

    def of_folder(self, folder: Path, pattern: str) -> str:
        """A SHA-256 of names and contents of a folder's files. Raises KitError where one cannot be read.

        pattern: of their names. They are read again only where one of them has changed, came or went.
        """
        files = sorted(folder.glob(pattern))
        with suppress(OSError):  # of a file that went meanwhile `sha256_of` speaks
            stats = [file.stat() for file in files]
            stamp = [
                sum(s.st_size for s in stats),
                max((s.st_mtime_ns for s in stats), default=0),
                len(files),
            ]
            name = f"{folder.resolve()}/{pattern}"
            known = self.known.get(name)
            if isinstance(known, list) and known[:3] == stamp and len(known) == 4:
                return str(known[3])
            self.known[name] = [*stamp, digest := _sha256_of_all(files)]
            with suppress(KitError):
                write_json(self.path, self.known)
            return digest
        return _sha256_of_all(files)


def _sha256_of_all(files: Sequence[Path]) -> str:
    whole = hashlib.sha256()
    for file in files:
        whole.update(f"{file.name} {sha256_of(file)}\n".encode())
    return whole.hexdigest()
