"""Many small photos: many at once, in bounded memory; what is gone is noted and not asked for again."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from kit.base.address import below, is_address, shown
from kit.base.errors import KitError
from kit.base.progress import notice
from kit.base.retry import Patience
from kit.data.photos import photo_path
from kit.download.fault import FetchError
from kit.download.jpeg import scaled, whole_jpeg
from kit.download.missing import note_missing, read_missing, tidy_missing
from kit.download.shelf import put
from kit.download.web import Pace, Web, open_web, patiently, refuse
from kit.tables.image_name import is_image_name

DOUBTFUL = 200  # photos in a row that are all gone: 0.7% of Open Images are
LARGEST = 64 << 20  # bytes of a photo
CAUSES = 20  # different causes that are told
LONG = 10.0  # seconds of a wait that is told, and between two such words


@dataclass
class Tally:
    """What became of the photos.

    causes: how often each; first: a photo of each; stopped: why the rest was not asked for.
    """

    got: int = 0
    there: int = 0
    missing: int = 0
    bytes: int = 0
    causes: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)
    stopped: str = ""

    def fail(self, name: str, cause: str) -> None:
        """One more that could not be had."""
        cause = cause if cause in self.causes or len(self.causes) < CAUSES else "another cause"
        self.causes[cause] += 1
        self.first.setdefault(cause, name)

    def failures(self) -> int:
        """How many could not be had, the missing ones apart."""
        return sum(self.causes.values())


@dataclass(frozen=True)
class Album:
    """Photos of one folder: `url/ID.jpg` (or a folder that serves as mirror) into `folder`.

    longest: stored with this longest side at most (pixels), unless it has more than max_pixels; None: as they come.
    """

    url: str
    folder: Path
    longest: int | None = None
    max_pixels: int | None = None

    def address(self, name: str) -> str:
        """Where a photo is fetched from."""
        return below(self.url, f"{name}.jpg")


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

    ask_again: also those that were missing before; anew: those that are there but damaged. A photo is taken for
    gone only when another one comes after it (else the address may be wrong, or something stand in the way), and
    when it is not there at the end either.
    """
    try:
        album.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise KitError(f"{album.folder}: cannot be written ({error.strerror})") from None
    known = set(read_missing(album.folder))
    async with open_web(patience, at_once) as web:
        work = _Work(web, album, patience, known, ask_again, anew)
        await _all(work, ids, at_once, progress)
        unsure = work.once_more()
        if unsure:
            await asyncio.sleep(patience.pause(0) if is_address(album.url) else 0)
            await _all(work, unsure, at_once, progress)
            await work.finish()
    if ask_again:
        tidy_missing(album.folder)
    return work.tally


async def _all(work: _Work, ids: Iterable[str], at_once: int, progress: Callable[[Tally], None]) -> None:
    todo = iter(ids)

    async def take() -> None:
        for name in todo:  # shared: every worker takes the next one
            if work.tally.stopped:
                return
            await work.one(name)
            progress(work.tally)

    async with asyncio.TaskGroup() as workers:
        for _ in range(at_once):
            workers.create_task(take())


@dataclass
class _Work:
    """What the workers share.

    gone: photos that the server did not have, since one came; unsure: those before them, to be asked for again;
    last: whether this is done; good: a photo that came.
    """

    web: Web
    album: Album
    patience: Patience
    known: set[str]
    ask_again: bool
    anew: frozenset[str]
    tally: Tally = field(default_factory=Tally)
    gone: list[tuple[str, str]] = field(default_factory=list)
    unsure: list[str] = field(default_factory=list)
    last: bool = False
    good: str = ""
    told: float = 0.0

    async def one(self, name: str) -> None:
        """Get one photo that is not there."""
        again = name in self.anew
        try:
            if not is_image_name(name):
                self.tally.fail(name, "no photo can have this name")
            elif name in self.known and not self.ask_again and not again:
                self.tally.missing += 1
            elif not again and photo_path(self.album.folder, name).exists():
                self.tally.there += 1
                self.good = self.good or name
            else:
                await self._get(name)
            if len(self.gone) >= DOUBTFUL and not self.tally.stopped:
                await self._doubt()
        except KitError as error:
            self.tally.stopped = str(error)
        except OSError as error:
            self.tally.stopped = f"{error.filename or self.album.folder}: cannot be read ({error.strerror})"

    def once_more(self) -> list[str]:
        """The photos that the server did not have, to be asked for a last time."""
        unsure = [*self.unsure, *(name for name, _ in self.gone)]
        self.tally.missing -= len(unsure)
        self.unsure, self.gone, self.last = [], [], True
        return [] if self.tally.stopped else unsure

    async def _get(self, name: str) -> None:
        try:
            data = await self._bytes(name)
        except FetchError as error:
            self._failed(name, error)
            return
        if self.album.longest:
            data = await asyncio.to_thread(scaled, data, self.album.longest, self.album.max_pixels)
        put(self.album.folder, name, data)
        self.tally.got += 1
        self.tally.bytes += len(data)
        self.good = name
        self._note()

    async def _bytes(self, name: str) -> bytes:
        """A photo's bytes, checked to be a whole JPEG. Raises FetchError."""
        if not is_address(self.album.url):
            try:
                return whole_jpeg(photo_path(Path(self.album.url), name).read_bytes())
            except OSError as error:
                raise FetchError(f"{error.strerror}", gone=isinstance(error, FileNotFoundError)) from None

        async def attempt() -> bytes:
            async with self.web.ask(self.album.address(name)) as response:
                refuse(response)
                return whole_jpeg(await body(response, self.patience.read))

        return await patiently(attempt, self.patience, tell=self._tell)

    def _failed(self, name: str, error: FetchError) -> None:
        if not error.gone:
            self.tally.fail(name, error.cause)
        else:
            self.tally.missing += 1
            if name not in self.known or name in self.anew:
                self.gone.append((name, error.cause))

    def _note(self) -> None:
        """A photo came: those before it that did not are gone, if they have been asked for twice."""
        gone, self.gone = self.gone, []
        if not self.last:
            self.unsure += [name for name, _ in gone]
            return
        note_missing(self.album.folder, [found for found in gone if found[0] not in self.anew])
        for name, cause in gone:
            if name in self.anew:
                self.tally.missing -= 1
                self.tally.fail(name, f"damaged, and the server has it no more ({cause})")

    async def _doubt(self) -> None:
        """So many in a row are no accident, unless a photo that came before still comes."""
        if self.good:
            with suppress(FetchError):
                await self._bytes(self.good)
                self._note()
                return
        gone, self.gone = self.gone, []
        self.tally.missing -= len(gone)
        for name, cause in gone:
            why = f"{cause} again and again: is {shown(self.album.url)} right, or a proxy in the way?"
            self.tally.fail(name, why)
            self.tally.stopped = f"stopped after {len(gone)} photos in a row that are not there ({cause})"

    async def finish(self) -> None:
        """Note what is gone, or say that nothing can be said of it."""
        if self.gone and not self.tally.stopped:
            await self._doubt()
            self.tally.stopped = ""  # nothing was left to ask for
        self.tally.missing -= len(self.gone)

    def _tell(self, error: FetchError, seconds: float) -> None:
        """A word on a wait, for all workers together at most every ten seconds."""
        now = time.monotonic()
        if seconds >= LONG and now - self.told > LONG:
            self.told = now
            notice(f"photos: {error.cause}; trying again in {seconds:.0f} s")


async def body(response: aiohttp.ClientResponse, read: float) -> bytes:
    """All bytes of an answer. Raises FetchError where it trickles, or there are too many."""
    parts, pace, size = [], Pace(read), 0
    async for part in response.content.iter_any():
        parts.append(part)
        size += len(part)
        if size > LARGEST:
            raise FetchError(f"larger than {LARGEST >> 20} MB", again=False)
        pace.add(len(part))
    return b"".join(parts)
