"""Photos on disk: checked, stored whole with their digests, checked again by these; and which the server lacks."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

from kit.base.errors import FileFault, KitError
from kit.base.files import atomic_write, remove_stale_parts, write_text, writing
from kit.config import Decoding
from kit.data import jpeg
from kit.data.photos import photo_path
from kit.download.remote import FetchError
from kit.tables.image_name import is_image_name

DIGESTS = "digests.csv"  # in every folder of photos: id, digest of what was stored; the last row counts
MISSING = "missing.csv"  # beside the photos: those that the server does not have, and why
HEADER = "ImageID,Reason\n"
HEX = re.compile("[0-9a-f]{16}")


def save(folder: Path, name: str, data: bytes) -> None:
    """Store a photo and its digest. Raises KitError where that cannot be done (no space, no right)."""
    path = photo_path(folder, name)
    try:
        with atomic_write(path, durable=False) as part:
            part.write_bytes(data)
            _append(path.parent / DIGESTS, f"{name},{_digest(data)}\n")  # no photo is ever without one
    except KitError as error:
        raise KitError(error.message, "the next call goes on") from None


def find_corrupt(folder: Path, names: Iterable[str], max_pixels: int | None = None) -> Iterator[Path]:
    """The photos that are not as they were stored; without a digest, those that are no whole image.

    names: best in order, since the digests of one folder at a time are held; max_pixels: of an image that is
    decoded (default: the configuration's).
    """
    read_digests = lru_cache(maxsize=1)(_digests)
    for name in filter(is_image_name, names):
        path = photo_path(folder, name)
        try:
            data = path.read_bytes()
            digest = read_digests(path.parent).get(name)
        except (FileNotFoundError, IsADirectoryError):
            continue
        except OSError:
            yield path
        else:
            if not (is_image(data, max_pixels) if digest is None else digest == _digest(data)):
                yield path


def read_missing(folder: Path) -> Iterator[str]:
    """The ids of the photos that the server does not have; lines that are none are passed over.

    Raises KitError where the file cannot be read.
    """
    yield from _missing(folder)


def add_missing(folder: Path, photos: Iterable[tuple[str, str]]) -> None:
    """Add photos (id, reason) to those that the server does not have; safe from several processes."""
    if text := "".join(f"{name},{reason}\n" for name, reason in photos):
        _append(folder / MISSING, text, HEADER)


def tidy_missing(folder: Path) -> None:
    """Keep each missing photo once, and none that is there by now."""
    if (folder / MISSING).exists():
        rows = {name: reason for name, reason in _missing(folder).items() if is_image_name(name)}
        left = (f"{n},{r}\n" for n, r in rows.items() if not photo_path(folder, n).exists())
        write_text(folder / MISSING, HEADER + "".join(left))


def tidy_parts(folder: Path) -> None:
    """Take away what downloads that were killed have left among the photos."""
    with os.scandir(folder) as entries:
        folders = [entry.path for entry in entries if entry.is_dir()]
    for each in (folder, *map(Path, folders)):
        remove_stale_parts(each)


def whole_jpeg(data: bytes) -> bytes:
    """The data, where it is a whole JPEG: segments up to the pixels, and an end mark behind these.

    Raises FetchError.
    """
    if not data.startswith(jpeg.START):
        page = data[:200].removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<")
        raise FetchError("a web page came instead of a photo" if page else "not a JPEG")
    if not jpeg.is_whole(data):
        raise FetchError("a photo was cut off")
    return data


def is_image(data: bytes, max_pixels: int | None = None) -> bool:
    """Whether a file is a whole JPEG, or another image that the detectors can read."""
    from kit.data.decode import UnreadableError, decode

    if jpeg.is_whole(data):
        return True
    try:
        decode(data, _decoding(max_pixels))
    except UnreadableError:
        return False
    return True


def scaled(data: bytes, max_side: int, max_pixels: int | None = None) -> bytes:
    """The photo with its longest side at most so long; as it came where it is small enough or unreadable.

    Pixels stay as they are stored, and what EXIF says of their orientation stays with them.
    max_pixels: a larger one is left as it came (default: the configuration's).
    """
    import cv2

    from kit.data.decode import UnreadableError, decode

    try:
        image = decode(data, _decoding(max_pixels))
    except UnreadableError:
        return data
    if max(image.shape[:2]) <= max_side:
        return data
    factor = max_side / max(image.shape[:2])
    size = max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    stored = bytes(cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 95])[1])
    turned = jpeg.orientation(data)
    return stored if turned == 1 else jpeg.with_orientation(stored, turned)


def _append(path: Path, text: str, header: str = "") -> None:
    """Add lines to a file by one write, the first ones behind the header. Raises KitError."""
    with writing(path), path.open("a", encoding="utf-8") as file:
        file.write(text if path.stat().st_size else header + text)


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=8).hexdigest()


def _digests(folder: Path) -> dict[str, str]:
    """Id and digest; lines that are none, and a file that cannot be read, tell nothing."""
    try:
        return {name: digest for name, digest in _pairs(folder / DIGESTS) if HEX.fullmatch(digest)}
    except OSError:
        return {}


def _missing(folder: Path) -> dict[str, str]:
    path = folder / MISSING
    try:
        return {name: reason for name, reason in _pairs(path) if name != "ImageID"}
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise FileFault(path, f"cannot be read ({error.strerror})", hint="take it away") from None


def _pairs(path: Path) -> Iterator[list[str]]:
    """The lines of two fields."""
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            if len(fields := line.strip().split(",")) == 2:
                yield fields


def _decoding(max_pixels: int | None) -> Decoding:
    return Decoding(max_pixels=max_pixels) if max_pixels else Decoding()
