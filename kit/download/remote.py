"""Files that are to be had elsewhere: where the published ones are (registry.csv), and why one could not be had."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from kit.base.address import below
from kit.base.retry import RemoteError


@dataclass(frozen=True)
class RemoteFile:
    """A file to download. size in bytes, sha256 (whole, or how it begins) and data rows where they are known."""

    url: str
    path: Path
    size: int | None = None
    sha256: str = ""
    rows: int | None = None


class FetchError(RemoteError):
    """Why a file could not be had. not_found: the server does not have it; too_slow: bytes came, and too few."""

    def __init__(
        self,
        cause: str,
        *,
        retryable: bool = True,
        retry_after: float | None = None,
        not_found: bool = False,
        too_slow: bool = False,
    ) -> None:
        super().__init__(cause, retryable=retryable and not not_found, retry_after=retry_after)
        self.not_found, self.too_slow = not_found, too_slow


@lru_cache(maxsize=1)
def registry() -> tuple[dict[str, str], ...]:
    """The rows of the registry: what, name, url, size, sha256, rows."""
    with files(__package__).joinpath("registry.csv").open(encoding="utf-8") as file:
        return tuple(csv.DictReader(file))


def remotes(what: str, root: Path, mirror: str | None = None) -> list[RemoteFile]:
    """The files of a kind ("annotations", "weights", "sample"), or the folders of photos ("photos").

    mirror: an address or a folder that holds them by their names, instead of the published places.
    """
    rows = [row for row in registry() if row["what"] == what]
    return [
        RemoteFile(
            url=below(mirror, row["name"]) if mirror else row["url"],
            path=root / row["name"],
            size=int(row["size"]) if row["size"] else None,
            sha256=row["sha256"],
            rows=int(row["rows"]) if row["rows"] else None,
        )
        for row in rows
    ]
