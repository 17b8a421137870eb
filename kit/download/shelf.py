"""Photos on disk: written whole, with their digests beside them, and checked again by these."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from kit.base.errors import KitError
from kit.data.photos import photo_path
from kit.download.jpeg import is_picture
from kit.tables.image_name import is_image_name

DIGESTS = "digests.csv"  # in every folder of photos: id, digest of what was stored; the last row counts

HEX = re.compile("[0-9a-f]{16}")


def put(folder: Path, name: str, data: bytes) -> None:
    """Store a photo and its digest. Raises KitError where that cannot be done (no space, no right)."""
    path = photo_path(folder, name)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(exist_ok=True)
        part.write_bytes(data)
        part.replace(path)
        with (path.parent / DIGESTS).open("a", encoding="utf-8") as file:
            file.write(f"{name},{_digest(data)}\n")
    except OSError as error:
        with suppress(OSError):
            part.unlink()
        raise KitError(f"{path}: cannot be written ({error.strerror})", "the next call goes on") from None


def damaged(folder: Path, names: Iterable[str]) -> Iterator[Path]:
    """The photos that are not as they were stored; without a digest, those that are no whole picture.

    names: best in order, since the digests of one folder at a time are held.
    """
    known = lru_cache(maxsize=1)(_digests)
    for name in filter(is_image_name, names):
        path = photo_path(folder, name)
        try:
            data = path.read_bytes()
            expected = known(path.parent).get(name)
        except (FileNotFoundError, IsADirectoryError):
            continue
        except OSError:
            yield path
        else:
            if not (is_picture(data) if expected is None else expected == _digest(data)):
                yield path


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=8).hexdigest()


def _digests(folder: Path) -> dict[str, str]:
    """Id and digest; lines that are none, and a file that cannot be read, tell nothing."""
    try:
        with (folder / DIGESTS).open(encoding="utf-8", errors="replace") as file:
            rows = (line.strip().split(",") for line in file)
            return {row[0]: row[1] for row in rows if len(row) == 2 and HEX.fullmatch(row[1])}
    except OSError:
        return {}
