"""Many small photos: many at once, in bounded memory; what is gone is noted and not asked for again."""

from __future__ import annotations

import asyncio
import csv
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from kit.download.fetch import FetchError, limits, patiently, refuse
from kit.patience import Patience

START, END = b"\xff\xd8", b"\xff\xd9"
TAIL = 1 << 16  # bytes at the end of a photo in which its end mark is looked for
MISSING = "missing.csv"
SHOWN = 10  # failures that are named


@dataclass
class Tally:
    """What became of the photos. failed: (id, cause) of the first ones; causes: how often each."""

    got: int = 0
    there: int = 0
    missing: int = 0
    bytes: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    causes: Counter[str] = field(default_factory=Counter)

    def failures(self) -> int:
        """How many could not be had, the missing ones apart."""
        return sum(self.causes.values())


@dataclass(frozen=True)
class Album:
    """Photos of one folder: `url/ID.jpg` (or a folder that serves as mirror) to `folder/ID.jpg`.

    longest: stored with this longest side at most (pixels); None: as they come.
    """

    url: str
    folder: Path
    longest: int | None = None


async def fetch_photos(
    album: Album,
    ids: Iterable[str],
    at_once: int,
    patience: Patience,
    progress: Callable[[Tally], None] = lambda _: None,
    ask_again: bool = False,
) -> Tally:
    """Get the photos that are not there; the tally. ask_again: also those that were missing before."""
    album.folder.mkdir(parents=True, exist_ok=True)
    known = set() if ask_again else set(read_missing(album.folder))
    tally, todo = Tally(), iter(ids)
    connector = aiohttp.TCPConnector(limit=at_once)
    async with aiohttp.ClientSession(connector=connector, timeout=limits(patience)) as session:

        async def work() -> None:
            for name in todo:  # shared: every worker takes the next one
                await _one(session, album, name, patience, tally, known)
                progress(tally)

        await asyncio.gather(*(work() for _ in range(at_once)))
    if ask_again:
        tidy_missing(album.folder)
    return tally


async def _one(
    session: aiohttp.ClientSession,
    album: Album,
    name: str,
    patience: Patience,
    tally: Tally,
    known: set[str],
) -> None:
    path = album.folder / f"{name}.jpg"
    if name in known:
        tally.missing += 1
    elif path.exists():
        tally.there += 1
    else:
        try:
            data = await _get(session, f"{album.url}/{name}.jpg", patience)
            if album.longest:
                data = await asyncio.to_thread(scaled, data, album.longest)
            _write(path, data)
            tally.got += 1
            tally.bytes += len(data)
        except FetchError as error:
            if error.gone:
                tally.missing += 1
                note_missing(album.folder, name, error.cause)
            else:
                tally.causes[error.cause] += 1
                if len(tally.failed) < SHOWN:
                    tally.failed.append((name, error.cause))


async def _get(session: aiohttp.ClientSession, url: str, patience: Patience) -> bytes:
    """A photo's bytes, checked to be a whole JPEG. Raises FetchError."""
    if "://" not in url:
        try:
            return whole_jpeg(Path(url).read_bytes())
        except OSError as error:
            raise FetchError(f"{error.strerror}", gone=isinstance(error, FileNotFoundError)) from None

    async def attempt() -> bytes:
        async with session.get(url) as response:
            refuse(response)
            return whole_jpeg(await response.read())

    return await patiently(attempt, patience)


def whole_jpeg(data: bytes) -> bytes:
    """The data, where it is a whole JPEG. Raises FetchError."""
    if not data.startswith(START):
        page = data[:200].lstrip().lower()
        raise FetchError("a web page came instead of a photo" if page.startswith(b"<") else "not a JPEG")
    if END not in data[-TAIL:]:
        raise FetchError("a photo was cut off")
    return data


def scaled(data: bytes, longest: int) -> bytes:
    """The photo with its longest side at most so long; as it came where it is small enough or unreadable."""
    import cv2
    import numpy as np

    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if picture is None or max(picture.shape[:2]) <= longest:
        return data
    factor = longest / max(picture.shape[:2])
    size = max(1, round(picture.shape[1] * factor)), max(1, round(picture.shape[0] * factor))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return bytes(cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 95])[1])


def read_missing(folder: Path) -> Iterator[str]:
    """The ids that the server did not have."""
    path = folder / MISSING
    if path.exists():
        with path.open(encoding="utf-8", newline="") as file:
            yield from (row[0] for row in csv.reader(file) if row and row[0] != "ImageID")


def note_missing(folder: Path, name: str, why: str) -> None:
    """Add a photo to `missing.csv`."""
    path = folder / MISSING
    new = not path.exists()
    with path.open("a", encoding="utf-8") as file:
        file.write(("ImageID,Reason\n" if new else "") + f"{name},{why}\n")


def tidy_missing(folder: Path) -> None:
    """Keep each photo once in `missing.csv`, and none that is there by now."""
    path = folder / MISSING
    if not path.exists():
        return
    with path.open(encoding="utf-8", newline="") as file:
        rows = {row[0]: row[1] for row in csv.reader(file) if len(row) == 2 and row[0] != "ImageID"}
    left = {name: why for name, why in rows.items() if not (folder / f"{name}.jpg").exists()}
    part = path.with_name(f".{MISSING}.part")
    part.write_text("ImageID,Reason\n" + "".join(f"{n},{w}\n" for n, w in left.items()), encoding="utf-8")
    part.replace(path)


def _write(path: Path, data: bytes) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.write_bytes(data)
    part.replace(path)
