"""Many small photos: many at once, in bounded memory; what is gone is noted and not asked for again."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from kit.data.photos import photo_path
from kit.download.jpeg import scaled, whole_jpeg
from kit.download.missing import note_missing, read_missing, tidy_missing
from kit.download.shelf import put
from kit.download.web import FetchError, open_session, patiently, refuse, shown
from kit.errors import KitError
from kit.patience import Patience

DOUBTFUL = 200  # photos in a row that are all gone: 0.7% of Open Images are
FEW = 0.05  # share of the photos that may be gone where none came
WHOLE = 5  # times the time limit between two reads that a whole photo may take
SHOWN = 10  # failures that are named


@dataclass
class Tally:
    """What became of the photos.

    failed: (id, cause) of the first ones; causes: how often each; stopped: why the rest was not asked for.
    """

    got: int = 0
    there: int = 0
    missing: int = 0
    bytes: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    causes: Counter[str] = field(default_factory=Counter)
    stopped: str = ""

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
    anew: frozenset[str] = frozenset(),
) -> Tally:
    """Get the photos that are not there; the tally. Raises KitError where the folder cannot be written.

    ask_again: also those that were missing before; anew: those that are there but damaged. Where many photos
    in a row are gone, or all of a call, none of these is taken for gone: the address is wrong, or something
    stands in the way.
    """
    try:
        album.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise KitError(f"{album.folder}: cannot be written ({error.strerror})") from None
    known = set(read_missing(album.folder))
    async with open_session(patience, at_once, WHOLE * patience.read) as session:
        work = _Work(session, album, patience, known, ask_again, anew)
        todo = iter(ids)

        async def take() -> None:
            for name in todo:  # shared: every worker takes the next one
                await work.one(name)
                progress(work.tally)
                if work.hopeless or work.tally.stopped:
                    return

        await asyncio.gather(*(take() for _ in range(at_once)))
    work.finish()
    if ask_again:
        tidy_missing(album.folder)
    return work.tally


@dataclass
class _Work:
    """What the workers share. gone: photos that the server did not have, since one came."""

    session: aiohttp.ClientSession
    album: Album
    patience: Patience
    known: set[str]
    ask_again: bool
    anew: frozenset[str]
    tally: Tally = field(default_factory=Tally)
    gone: list[tuple[str, str]] = field(default_factory=list)

    @property
    def hopeless(self) -> bool:
        """Whether to stop asking: so many in a row are no accident."""
        return len(self.gone) >= DOUBTFUL

    async def one(self, name: str) -> None:
        """Get one photo that is not there."""
        if name in self.known and not self.ask_again:
            self.tally.missing += 1
        elif name not in self.anew and photo_path(self.album.folder, name).exists():
            self.tally.there += 1
        else:
            try:
                data = await _get(self.session, self.album.url, name, self.patience)
                if self.album.longest:
                    data = await asyncio.to_thread(scaled, data, self.album.longest)
                self._came(name, data)
            except FetchError as error:
                self._failed(name, error)
            except KitError as error:
                self.tally.stopped = str(error)

    def _came(self, name: str, data: bytes) -> None:
        put(self.album.folder, name, data)
        self.tally.got += 1
        self.tally.bytes += len(data)
        if self.gone and not self.hopeless:
            self._note()

    def _failed(self, name: str, error: FetchError) -> None:
        if not error.gone:
            self.tally.fail(name, error.cause)
            return
        self.tally.missing += 1
        if name not in self.known:
            self.gone.append((name, error.cause))

    def _note(self) -> None:
        note_missing(self.album.folder, self.gone)
        self.gone.clear()

    def finish(self) -> None:
        """Note what is gone, or say that nothing can be said of it."""
        few = len(self.gone) <= FEW * (self.tally.got + self.tally.there)
        if not self.hopeless and not self.tally.stopped and (self.tally.got or few):
            self._note()
        self.tally.missing -= len(self.gone)
        for name, cause in self.gone:
            why = f"{cause} again and again: is {shown(self.album.url)} right, or a proxy in the way?"
            self.tally.fail(name, why)


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
