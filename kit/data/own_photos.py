"""A user's own photos, of any names and formats, as a folder of images that the stages read."""

from __future__ import annotations

import io
import re
import shutil
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from kit.base.errors import KitError
from kit.base.files import writing
from kit.base.log import logger
from kit.base.progress import Progress
from kit.config import Decoding
from kit.data.decode import NOT_AN_IMAGE, UnreadableError, header_size
from kit.data.photos import ENDING

SUFFIXES = {  # that files in a folder are taken for photos by
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"),
    *(".jp2", ".j2k", ".ppm", ".pgm", ".avif", ".heic", ".heif", ".tga", ".ico"),
}
LONGEST = 100  # characters of an id
_BAD = re.compile(r"[\x00-\x1f\x7f-\x9f/\\,\"'\s]+")  # what a file's name or a CSV without quotes cannot hold


def find_photos(given: Iterable[Path]) -> list[Path]:
    """The files given, and those below the folders given that end as photos do; each once.

    Hidden ones are left out. Raises KitError where there is none, or one that was given is not there.
    """
    found: dict[Path, None] = {}
    others = 0
    for path in given:
        if not path.exists():
            raise KitError(f"{path}: no such file or folder", "give photos, or folders of them")
        for file in _below(path) if path.is_dir() else (path,):
            if file is path or file.suffix.lower() in SUFFIXES:
                found.setdefault(file)
            else:
                others += 1
    if not found:
        named = ", ".join(map(str, given)) or "no photo"
        raise KitError(
            f"{named}: no photos in it ({others} other files)", "give files, or a folder with photos"
        )
    if others:
        logger.info(f"{others} files that do not end as photos do are left out")
    return list(found)


def _below(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.is_file() and not hidden:
            yield path


def photo_ids(photos: Sequence[Path]) -> dict[str, Path]:
    """An id for every photo: its name without the ending, made fit for CSV; later ones of a name get a number."""
    ids: dict[str, Path] = {}
    for path in photos:
        name = path.stem.encode("utf-8", "replace").decode()
        name = _BAD.sub("_", name).lstrip(".")[:LONGEST] or "photo"
        number, numbered = 1, name
        while numbered in ids:
            number += 1
            numbered = f"{name}-{number}"
        ids[numbered] = path
    return ids


def stage_photos(
    photos: Mapping[str, Path], folder: Path, how: Decoding, progress: Progress
) -> dict[str, str]:
    """Put photos into a folder under their ids: a link, or a PNG of what only Pillow reads.

    Those that cannot be read, with the reason; they are not put there.
    """
    unread = {}
    with writing(folder):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name, path in progress(photos.items(), len(photos), "look at photos"):
            try:
                _stage(path, folder / f"{name}{ENDING}", how)
            except UnreadableError as error:
                unread[name] = str(error)
    return unread


def _stage(path: Path, place: Path, how: Decoding) -> None:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UnreadableError(f"cannot be read ({error.strerror})") from None
    try:
        header_size(data)
    except UnreadableError:
        _convert(data, place, how)
    else:
        place.symlink_to(path.absolute())


def _convert(data: bytes, place: Path, how: Decoding) -> None:
    """Write what Pillow makes of a file. Raises UnreadableError where that is nothing, or too large."""
    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd tags
            with Image.open(io.BytesIO(data)) as image:
                if image.width * image.height > how.max_pixels:
                    raise UnreadableError(
                        f"{image.width} x {image.height} pixels are more than data.max_pixels"
                    )
                upright = ImageOps.exif_transpose(image).convert("RGB")
                upright.save(place, "PNG", compress_level=1)
    except UnreadableError:
        raise
    except Exception:  # a file of any bytes makes Pillow raise nearly anything
        raise UnreadableError(NOT_AN_IMAGE if data else "empty") from None
