"""Where rows come from: what a check of them needs to say which row of which file is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from kit.base.errors import FileFault


class Source(Protocol):
    """A file, or a folder of files, whose rows are numbered from 0."""

    @property
    def path(self) -> Path:
        """The file, or the folder."""
        ...

    def place(self, row: int) -> str:
        """The place of a row in words: "line 7"."""
        ...

    def fault(self, row: int, column: str, problem: str, hint: str = "") -> FileFault:
        """The fault at a row, in a column that goes by Open Images' name of it."""
        ...
