"""The name under which a file is sent: Kaggle unpacks by the name's ending, whatever the file is."""

from __future__ import annotations

from pathlib import Path

PACKED = ((b"PK\x03\x04", ".zip"), (b"\x1f\x8b", ".gz"))


def upload_name(path: Path) -> str:
    """The file's name, its ending as the first bytes say: .csv, .csv.gz or .csv.zip; else as it is."""
    with path.open("rb") as file:
        start = file.read(4)
    right = next((ending for mark, ending in PACKED if start.startswith(mark)), "")
    name = path.name
    while name.lower().endswith((".zip", ".gz", ".csv")):
        name = name[: name.rindex(".")]
    own = path.name[len(name) :]
    packed = next((ending for _, ending in PACKED if own.lower().endswith(ending)), "")
    return path.name if packed == right and own else f"{name}.csv{right}"
