"""Where photos lie below a folder: all in one, by the start of their ids, or as the training archives unpack.

A folder may be the local copy of one elsewhere (kit.base.remote_place): what is there is listed by its store, and a
photo comes into the copy when it is read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from kit.base.errors import KitError
from kit.base.remote_place import address_of, local_name
from kit.data.remote_photos import remote_files
from kit.tables.image_name import is_image_name

GONE = "not there"  # why a photo is left out
ENDING = ".jpg"
ENDINGS = (ENDING, ".jpeg", ".JPG", ".JPEG")
SPREAD = 2  # characters of the id that name the folder: 256 folders for Open Images' ids
ARCHIVES = re.compile(r"train_[0-9a-f]")  # folders that the training set's archives unpack into

Place = tuple[str, str]  # folder below the photos' folder ("" for itself), ending


@dataclass(frozen=True, eq=False)
class PhotoFolder:
    """The photos below a folder, listed once. places: of every id; listed: bytes of each, of a folder elsewhere."""

    folder: Path
    places: dict[str, Place]
    listed: Mapping[str, int] | None = None

    def __contains__(self, name: object) -> bool:
        return name in self.places

    def __len__(self) -> int:
        return len(self.places)

    def path(self, name: str) -> Path | None:
        """The file of an id; None where it was not there when the folder was listed.

        Of a folder elsewhere: where its local copy is, once it is read.
        """
        place = self.places.get(name)
        if place is not None and self.listed is not None:
            return self.folder / local_name(f"{place[0]}/{name}{place[1]}".lstrip("/"))
        return None if place is None else self.folder / place[0] / f"{name}{place[1]}"

    def sizes(self, names: Iterable[str] | None = None) -> dict[str, int]:
        """Bytes of the photos (default: all) that are there."""
        if self.listed is not None:
            return {n: self.listed[n] for n in (self.places if names is None else names) if n in self.listed}
        found = {}
        base = f"{self.folder}{os.sep}"
        for name in self.places if names is None else names:
            place = self.places.get(name)
            if place is not None:
                inner = f"{place[0]}{os.sep}" if place[0] else ""
                try:
                    found[name] = os.stat(f"{base}{inner}{name}{place[1]}").st_size
                except OSError:  # gone since
                    continue
        return found


def is_photo_folder(folder: Path) -> bool:
    """Whether photos can be looked for there: a folder, or one elsewhere, of which its listing tells."""
    return address_of(folder) is not None or folder.is_dir()


def list_photos(folder: Path) -> PhotoFolder:
    """All photos below a folder, however they lie. Of one that lies there twice `photo_path` tells which counts.

    Raises RemoteError for a folder elsewhere that cannot be listed.
    """
    if address_of(folder) is not None:
        return _remote_photos(folder)
    places: dict[str, Place] = {}
    inner: list[str] = []
    with os.scandir(folder) as entries:
        for name, place in _photos(entries, "", inner):
            _add(places, name, place)
    for directory in sorted(inner, key=lambda d: (len(d) != SPREAD, d)):
        with os.scandir(folder / directory) as entries:
            for name, place in _photos(entries, directory):
                _add(places, name, place)
    return PhotoFolder(folder, places)


def _remote_photos(folder: Path, *, of_any_age: bool = False) -> PhotoFolder:
    files = remote_files(folder, of_any_age=of_any_age)
    places: dict[str, Place] = {}
    for path in sorted(files, key=_by_folder):
        directory, _, file = path.rpartition("/")
        name, dot, ending = file.rpartition(".")
        held = not directory or _may_hold(directory)
        if (
            dot + ending in ENDINGS
            and name
            and not name.startswith(".")
            and held
            and _belongs(name, directory)
        ):
            _add(places, name, (directory, f".{ending}"))
    sizes = {n: files[f"{p[0]}/{n}{p[1]}".lstrip("/")][0] for n, p in places.items()}
    return PhotoFolder(folder, places, sizes)


def _by_folder(path: str) -> tuple[bool, bool, str]:
    """The order in which folders count: the one itself, those by the start of ids, those of archives."""
    directory = path.rpartition("/")[0]
    return directory != "", len(directory) != SPREAD, path


def _add(places: dict[str, Place], name: str, place: Place) -> None:
    known = places.get(name)
    if known is None or (known[0] == place[0] and ENDINGS.index(place[1]) < ENDINGS.index(known[1])):
        places[name] = place


def _photos(
    entries: Iterator[os.DirEntry[str]], directory: str, inner: list[str] | None = None
) -> Iterator[tuple[str, Place]]:
    """Ids and places of the files in a folder; `inner` gets the folders that may hold photos."""
    places = {ending: (directory, ending) for ending in ENDINGS}
    for entry in entries:
        name, dot, ending = entry.name.rpartition(".")
        place = places.get(dot + ending)
        if place is not None:
            if name and not name.startswith(".") and _belongs(name, directory) and entry.is_file():
                yield name, place
        elif inner is not None and _may_hold(entry.name) and entry.is_dir():
            inner.append(entry.name)


def _belongs(name: str, directory: str) -> bool:
    return len(directory) != SPREAD or name.startswith(directory)


def _may_hold(directory: str) -> bool:
    spread = len(directory) == SPREAD and not directory.startswith(".")
    return spread or ARCHIVES.fullmatch(directory) is not None


def photo_place(folder: Path, name: str) -> Path:
    """Where `kit download` puts a photo: `folder/ab/abcd.jpg`. Millions in one folder would be slow to list.

    Raises KitError for an id that no file can have.
    """
    return folder / place_below(name)


def place_below(name: str) -> str:
    """The same below the folder. Raises KitError for an id that no file can have."""
    if not is_image_name(name):
        raise KitError(f"{name}: no photo can have this name")
    return f"{name[:SPREAD]}/{name}{ENDING}"


def photo_path(folder: Path, name: str) -> Path:
    """Where one photo is, as `list_photos` finds it, else as `photo_place` says.

    Raises KitError for an id that no file can have. For many photos of one folder list it once.
    """
    place = photo_place(folder, name)
    if address_of(folder) is not None:
        return _known_photos(folder).path(name) or place
    for directory in ("", name[:SPREAD], f"train_{name[0]}"):
        for ending in ENDINGS:
            path = folder / directory / f"{name}{ending}"
            if path.is_file():
                return path
    return place


@lru_cache(maxsize=4)
def _known_photos(folder: Path) -> PhotoFolder:
    """The photos elsewhere as they were when the work on them began."""
    return _remote_photos(folder, of_any_age=True)


def photo_names(folder: Path) -> set[str]:
    """The ids of all photos in a folder, however they lie."""
    return set(list_photos(folder).places)
