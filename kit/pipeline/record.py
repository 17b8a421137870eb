"""`stage.json`: what a finished stage says of itself, and what is left of one that was interrupted."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from kit.base.errors import FileFault, KitError
from kit.base.files import check, read_json
from kit.base.log import logger

REHEARSAL = "rehearsal.json"  # what `kit rehearse` found
RECORD = "stage.json"
KINDS: dict[str, type | tuple[type, ...]] = {  # of what is in a record
    "id": str,
    "seconds": (int, float),
    "metrics": dict,
    "fingerprint": dict,
    "files": dict,
}


def read_record(folder: Path) -> dict[str, Any]:
    """The record of a finished stage. Raises KitError where it or one of its files is gone or damaged."""
    path = folder / RECORD
    record: dict[str, Any] = read_json(path, dict)
    for key, kind in KINDS.items():
        if not isinstance(record.get(key), kind):
            raise FileFault(path, f"not the record of a stage ({key} is missing or of another kind)")
    for name, size in record["files"].items():
        try:
            found = (folder / name).stat().st_size
        except OSError:
            raise FileFault(folder / name, "gone since the stage was finished") from None
        if found != size:
            raise FileFault(folder / name, f"{found} bytes, {size} when the stage was finished")
    return record


def is_done(part: Path) -> bool:
    """Whether a part is a finished stage that lacks but its name."""
    try:
        return bool(read_record(part))
    except KitError:
        return False


def tidy_part(part: Path) -> None:
    """Throw away what is damaged in the part of an interrupted try, with a notice."""
    (part / RECORD).unlink(missing_ok=True)
    for path in sorted(part.rglob("*")):
        if path.is_file() and path.name.startswith(".") and path.name.endswith(".part"):
            path.unlink()
        elif path.is_file():
            try:
                check(path)
            except KitError as error:
                logger.warning(f"{error.message}; thrown away, it is made again")
                path.unlink()


def sizes_below(folder: Path) -> dict[str, int]:
    """Every file below a folder with its size in bytes."""
    return {str(path.relative_to(folder)): path.stat().st_size for path in _files(folder)}


def content_id(folder: Path, timing_files: Sequence[str] = ()) -> str:
    """What later stages know a result by: a hash of all files below the folder but those that hold times.

    timing_files: patterns of their names; * stands for folders too.
    """
    whole = hashlib.sha256()
    for path in _files(folder):
        name = str(path.relative_to(folder))
        if not any(fnmatch(name, pattern) for pattern in timing_files):
            with path.open("rb") as file:
                whole.update(f"{name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return whole.hexdigest()[:16]


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != RECORD)


def sibling_record(run: Path, name: str) -> dict[str, Any]:
    """The record of a stage in the newest run folder beside this one; empty where none has a time."""
    for path in sorted(run.absolute().parent.glob(f"*/{name}/{RECORD}"), key=_changed, reverse=True):
        with suppress(KitError):
            record: dict[str, Any] = read_json(path, dict)
            if isinstance(record.get("seconds"), (int, float)):
                return record
    return {}


def _changed(path: Path) -> float:
    """When a file was changed; 0 where it is gone meanwhile."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def rehearsed_seconds(run: Path) -> dict[str, float]:
    """What a rehearsal in the run's folder says of the stages; empty where there was none."""
    with suppress(KitError, KeyError, TypeError):
        stages = read_json(run / REHEARSAL, dict)["stages"]
        return {stage["stage"]: stage["seconds"] for stage in stages if stage["seconds"] is not None}
    return {}
