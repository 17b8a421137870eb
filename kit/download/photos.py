"""Many small photos: many at once, in bounded memory; what is gone is noted and not asked for again."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from kit.data.photos import photo_path
from kit.download.fetch import FetchError, limits, patiently, refuse
from kit.download.jpeg import scaled, whole_jpeg
from kit.download.missing import note_missing, read_missing, tidy_missing
from kit.download.shelf import put
from kit.patience import Patience

DOUBTFUL = 200  # photos at the start that are all gone: 0.7% of Open Images are
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

    def fail(self, name: str, cause: str) -> None:
        """One more that could not be had."""
        self.causes[cause] += 1
        if len(self.failed) < SHOWN:
            self.failed.append((name, cause))

    def failures(self) -> int:
        """How many could not be had, the missing ones apart."""
        return sum(self.causes.values())


@dataclass(frozen=True)
class Album:
    """Photos of one folder: `url/ID.jpg` (or a folder that serves as mirror) into `folder`.

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
    """Get the photos that are not there; the tally. ask_again: also those that were missing before.

    Where not one photo comes, none is taken for gone: the address is wrong, or something stands in the way.
    """
    album.folder.mkdir(parents=True, exist_ok=True)
    known = set() if ask_again else set(read_missing(album.folder))
    connector = aiohttp.TCPConnector(limit=at_once)
    async with aiohttp.ClientSession(connector=connector, timeout=limits(patience)) as session:
        work = _Work(session, album, patience, known, None if ask_again else DOUBTFUL)
        todo = iter(ids)

        async def take() -> None:
            for name in todo:  # shared: every worker takes the next one
                await work.one(name)
                progress(work.tally)
                if work.hopeless:
                    return

        await asyncio.gather(*(take() for _ in range(at_once)))
    work.finish()
    if ask_again:
        tidy_missing(album.folder)
    return work.tally


@dataclass
class _Work:
    """What the workers share. gone: photos that the server did not have, as long as not one has come;
    doubtful: so many of them are no accident (None: any number may be).
    """

    session: aiohttp.ClientSession
    album: Album
    patience: Patience
    known: set[str]
    doubtful: int | None
    tally: Tally = field(default_factory=Tally)
    gone: list[tuple[str, str]] = field(default_factory=list)

    @property
    def hopeless(self) -> bool:
        """Whether to stop asking."""
        return self.doubtful is not None and not self.tally.got and len(self.gone) >= self.doubtful

    async def one(self, name: str) -> None:
        """Get one photo that is not there."""
        if name in self.known:
            self.tally.missing += 1
        elif photo_path(self.album.folder, name).exists():
            self.tally.there += 1
        else:
            try:
                data = await _get(self.session, self.album.url, name, self.patience)
            except FetchError as error:
                self._failed(name, error)
            else:
                if self.album.longest:
                    data = await asyncio.to_thread(scaled, data, self.album.longest)
                put(self.album.folder, name, data)
                self.tally.got += 1
                self.tally.bytes += len(data)

    def _failed(self, name: str, error: FetchError) -> None:
        if error.gone:
            self.tally.missing += 1
            self.gone.append((name, error.cause))
            if self.tally.got:
                self._note()
        else:
            self.tally.fail(name, error.cause)

    def _note(self) -> None:
        note_missing(self.album.folder, self.gone)
        self.gone.clear()

    def finish(self) -> None:
        """Note what is gone, or say that nothing can be said of it."""
        if self.tally.got or (self.tally.there and not self.hopeless):
            self._note()
        self.tally.missing -= len(self.gone)
        for name, cause in self.gone:
            self.tally.fail(
                name, f"{cause} for every photo: is {self.album.url} right, or a proxy in the way?"
            )


async def _get(session: aiohttp.ClientSession, folder: str, name: str, patience: Patience) -> bytes:
    """A photo's bytes, checked to be a whole JPEG. Raises FetchError."""
    if "://" not in folder:
        try:
            return whole_jpeg(photo_path(Path(folder), name).read_bytes())
        except OSError as error:
            raise FetchError(f"{error.strerror}", gone=isinstance(error, FileNotFoundError)) from None

    async def attempt() -> bytes:
        async with session.get(f"{folder}/{name}.jpg") as response:
            refuse(response)
            return whole_jpeg(await response.read())

    return await patiently(attempt, patience)
