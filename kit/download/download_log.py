"""`downloads.json` below data.root: size and sha256 of every downloaded file, as it came."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.base.errors import KitError
from kit.base.files import read_json, write_json
from kit.base.locks import exclusive_lock

LOG = "downloads.json"


@dataclass(frozen=True)
class LogEntry:
    """What came: bytes, and the hash in hexadecimal digits."""

    size: int
    sha256: str


def find_logged(root: Path, path: Path) -> LogEntry | None:
    """The entry of a file; None where it was not downloaded, or its entry cannot be read."""
    entry = _read(root).get(_name(root, path))
    size, sha256 = (entry.get("size"), entry.get("sha256")) if isinstance(entry, dict) else (None, None)
    return LogEntry(size, sha256) if isinstance(size, int) and isinstance(sha256, str) else None


def log_download(root: Path, path: Path, size: int, sha256: str) -> None:
    """Enter a file; safe from several processes. Raises KitError."""
    with exclusive_lock(root / f".{LOG}.lock", f"{root}: another kit writes the log", wait=None):
        write_json(root / LOG, _read(root) | {_name(root, path): {"size": size, "sha256": sha256}})


def _name(root: Path, path: Path) -> str:
    return str(path.relative_to(root) if path.is_relative_to(root) else path)


def _read(root: Path) -> dict[str, Any]:
    with suppress(KitError):
        return read_json(root / LOG, dict)
    return {}
