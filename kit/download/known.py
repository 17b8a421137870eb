"""`downloads.json` below data.root: size and sha256 of every file that was got, as it came."""

from __future__ import annotations

import fcntl
import json
from pathlib import Path
from typing import Any

from kit.files import write_json

RECORD = "downloads.json"


def known(root: Path, path: Path) -> dict[str, Any]:
    """Size and sha256 of a file; empty where it was not got."""
    return dict(_read(root).get(_name(root, path), {}))


def note(root: Path, path: Path, size: int, sha256: str) -> None:
    """Remember a file; safe from several processes."""
    root.mkdir(parents=True, exist_ok=True)
    with (root / f".{RECORD}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        write_json(root / RECORD, _read(root) | {_name(root, path): {"size": size, "sha256": sha256}})


def _name(root: Path, path: Path) -> str:
    return str(path.relative_to(root) if path.is_relative_to(root) else path)


def _read(root: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((root / RECORD).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}
