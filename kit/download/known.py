"""`downloads.json` below data.root: size and sha256 of every file that was got, as it came."""

from __future__ import annotations

import fcntl
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.base.errors import KitError
from kit.base.files import write_json

RECORD = "downloads.json"


@dataclass(frozen=True)
class Known:
    """What came: bytes, and the hash in hexadecimal digits."""

    size: int
    sha256: str


def known(root: Path, path: Path) -> Known | None:
    """Size and sha256 of a file; None where it was not got, or what is noted of it cannot be read."""
    entry = _read(root).get(_name(root, path))
    size, sha256 = (entry.get("size"), entry.get("sha256")) if isinstance(entry, dict) else (None, None)
    return Known(size, sha256) if isinstance(size, int) and isinstance(sha256, str) else None


def note(root: Path, path: Path, size: int, sha256: str) -> None:
    """Remember a file; safe from several processes. Raises KitError."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        with (root / f".{RECORD}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            write_json(root / RECORD, _read(root) | {_name(root, path): {"size": size, "sha256": sha256}})
    except OSError as error:
        raise KitError(f"{error.filename or root}: cannot be written ({error.strerror})") from None


def _name(root: Path, path: Path) -> str:
    return str(path.relative_to(root) if path.is_relative_to(root) else path)


def _read(root: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((root / RECORD).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError):
        return {}
