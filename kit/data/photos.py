"""Where a photo lies in a folder of photos: by the first two characters of its id, or all in one."""

from __future__ import annotations

import os
from pathlib import Path

ENDING = ".jpg"
SPREAD = 2  # characters of the id that name the folder: 256 folders for Open Images' ids


def photo_place(folder: Path, name: str) -> Path:
    """Where `kit download` puts a photo: `folder/ab/abcd.jpg`. Millions in one folder would be slow to list."""
    return folder / name[:SPREAD] / f"{name}{ENDING}"


def photo_path(folder: Path, name: str) -> Path:
    """Where a photo is: `folder/abcd.jpg` where it is there, else as `photo_place` says."""
    flat = folder / f"{name}{ENDING}"
    return flat if flat.exists() else photo_place(folder, name)


def photo_names(folder: Path) -> set[str]:
    """The ids of all photos in a folder, however they lie."""
    found = set()
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(ENDING):
                found.add(entry.name.removesuffix(ENDING))
            elif len(entry.name) == SPREAD and entry.is_dir():
                inside = (n for n in os.listdir(entry) if n.endswith(ENDING) and not n.startswith("."))
                found.update(n.removesuffix(ENDING) for n in inside)
    return found
