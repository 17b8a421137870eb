"""Clean tables of splits, kept as Parquet: several stages want them, and millions of rows of CSV take long."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from kit.base.errors import KitError
from kit.base.files import reading, remove_stale_parts
from kit.base.hashes import sha256_of
from kit.base.log import logger
from kit.tables.left_out import notices, say
from kit.tables.schema import Table
from kit.tables.table_files import read_note, read_table, write_table

T = TypeVar("T", bound=Table)
VERSION = 2  # raised by hand where the readers make another table of the same files


@dataclass(frozen=True)
class SplitCache:
    """Tables below a folder, each for as long as the files that it comes from stay the same.

    folder: None keeps nothing; hash_of: the content of a file in short.
    """

    folder: Path | None = None
    hash_of: Callable[[Path], str] = sha256_of

    def table(self, name: str, files: Sequence[Path], kind: type[T], read: Callable[[], T]) -> T:
        """The table that is kept, with the notices of its reading said again; else read it, and keep it.

        A damaged one is told and read anew. Where nothing can be written nothing is kept.
        """
        if self.folder is None:
            return read()
        path, key = self.folder / f"{name}.parquet", self._key(files)
        kept = _kept(path, key, kind) if path.exists() else None
        if kept is not None:
            return kept
        with notices() as texts:
            table = read()
        remove_stale_parts(self.folder)
        with suppress(KitError):  # it only saves time
            write_table(path, table, json.dumps({"key": key, "notices": texts}))
        return table

    def _key(self, files: Sequence[Path]) -> str:
        """What a table is made from: files by content, and by name, which notices tell; the readers' version."""
        content = [VERSION, *((str(path), self.hash_of(path)) for path in files)]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _kept(path: Path, key: str, kind: type[T]) -> T | None:
    """The table of a key; None where the file holds another one, or is damaged."""
    try:
        with reading(path, "a table of a split"):
            note = json.loads(read_note(path))
            if note["key"] != key:
                return None
            table, texts = read_table(path, kind), [str(text) for text in note["notices"]]
    except KitError as error:
        logger.warning(f"{error.message}; the files of the split are read again")
        return None
    for text in texts:
        say(text)
    return table
