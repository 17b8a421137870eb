"""`missing.csv` beside the photos: those that the server does not have, and why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from kit.base.errors import KitError
from kit.base.files import write_text
from kit.data.photos import photo_path
from kit.tables.image_name import is_image_name

MISSING = "missing.csv"
HEADER = "ImageID,Reason\n"


def read_missing(folder: Path) -> Iterator[str]:
    """The ids of the photos. Raises KitError where the file cannot be read; lines that are none are passed over."""
    yield from _rows(folder)


def note_missing(folder: Path, photos: Iterable[tuple[str, str]]) -> None:
    """Add photos (id, reason); safe from several processes."""
    path = folder / MISSING
    text = "".join(f"{name},{why}\n" for name, why in photos)
    if text:
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(text if path.stat().st_size else HEADER + text)
        except OSError as error:
            raise KitError(f"{path}: cannot be written ({error.strerror})") from None


def tidy_missing(folder: Path) -> None:
    """Keep each photo once, and none that is there by now."""
    path = folder / MISSING
    if not path.exists():
        return
    rows = {name: why for name, why in _rows(folder).items() if is_image_name(name)}
    left = {name: why for name, why in rows.items() if not photo_path(folder, name).exists()}
    write_text(path, HEADER + "".join(f"{n},{w}\n" for n, w in left.items()))


def _rows(folder: Path) -> dict[str, str]:
    path = folder / MISSING
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            rows = (line.strip().split(",") for line in file)
            return {row[0]: row[1] for row in rows if len(row) == 2 and row[0] != "ImageID"}
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise KitError(f"{path}: cannot be read ({error.strerror})", "take it away") from None
