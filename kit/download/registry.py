"""Where the published files are: registry.csv, by the names they get below data.root."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from kit.base.address import below


@dataclass(frozen=True)
class Remote:
    """A file to get. size in bytes, sha256 (whole, or how it begins) and data rows where they are known."""

    url: str
    path: Path
    size: int | None = None
    sha256: str = ""
    rows: int | None = None


@lru_cache(maxsize=1)
def registry() -> tuple[dict[str, str], ...]:
    """The rows of the registry: what, name, url, size, sha256, rows."""
    with files(__package__).joinpath("registry.csv").open(encoding="utf-8") as file:
        return tuple(csv.DictReader(file))


def remotes(what: str, root: Path, mirror: str | None = None) -> list[Remote]:
    """The files of a kind ("annotations", "weights", "sample"), or the folders of photos ("photos").

    mirror: an address or a folder that holds them by their names, instead of the published places.
    """
    rows = [row for row in registry() if row["what"] == what]
    return [
        Remote(
            url=below(mirror, row["name"]) if mirror else row["url"],
            path=root / row["name"],
            size=int(row["size"]) if row["size"] else None,
            sha256=row["sha256"],
            rows=int(row["rows"]) if row["rows"] else None,
        )
        for row in rows
    ]
