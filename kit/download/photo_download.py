"""Many small photos: many at once, in bounded memory; what the server lacks is noted and not asked for again."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import aiohttp

from kit.base.address import below, is_address, shown
from kit.base.errors import KitError
from kit.base.files import writing
from kit.base.log import logger
from kit.base.retry import RemoteError, RetryPolicy, retry_async
from kit.data.photos import photo_path
from kit.download.http_client import HttpClient, StallGuard, open_client, raise_for_status
from kit.download.photo_store import (
    add_missing,
    read_missing,
    save,
    scaled,
    tidy_missing,
    tidy_parts,
    whole_jpeg,
)
from kit.download.remote import FetchError
from kit.tables.image_name import is_image_name

MAX_NOT_FOUND = 200  # photos in a row, before the circuit breaker looks: 0.7% of Open Images are not found
MAX_BYTES = 64 << 20  # of a photo
MAX_CAUSES = 20  # different ones that are counted apart
LOGGED_DELAY = 10.0  # seconds of a wait that is more than a detail, and between two such lines


@dataclass
class DownloadStats:
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
        cause = cause if cause in self.causes or len(self.causes) < MAX_CAUSES else "another cause"
        self.causes[cause] += 1
        self.first.setdefault(cause, name)

    def failures(self) -> int:
        """How many could not be had, the missing ones apart."""
        return sum(self.causes.values())

    def add(self, other: DownloadStats) -> None:
        """Count in what became of other photos."""
        self.got += other.got
        self.there += other.there
        self.missing += other.missing
        self.bytes += other.bytes
        for cause, count in other.causes.items():
            own = cause if cause in self.causes or len(self.causes) < MAX_CAUSES else "another cause"
            self.causes[own] += count
            self.first.setdefault(own, other.first[cause])
        self.stopped = self.stopped or other.stopped


OnPhotos = Callable[[DownloadStats], None]  # is told of what became of the photos up to now
OnMissing = Callable[[list[tuple[str, str]]], None]


@dataclass(frozen=True)
class PhotoSource:
    """Photos of one folder: `url/ID.jpg` (or a folder that serves as mirror) into `folder`.

    max_side: stored with this longest side at most (pixels), unless it has more than max_pixels; None: as they
    come.
    """

    url: str
    folder: Path
    max_side: int | None = None
    max_pixels: int | None = None

    def address(self, name: str) -> str:
        """Where a photo is fetched from."""
        return below(self.url, f"{name}.jpg")


@dataclass(frozen=True)
class PhotoRequest:
    """How photos of one source are asked for.

    concurrency: requests at once; ask_again: also for those that were missing before; overwrite: those that are
    there but corrupt.
    """

    source: PhotoSource
    concurrency: int
    policy: RetryPolicy
    ask_again: bool = False
    overwrite: frozenset[str] = frozenset()


async def fetch_photos(
    request: PhotoRequest, ids: Iterable[str], on_photo: OnPhotos = lambda _: None
) -> DownloadStats:
    """Download the photos that are not there. Raises KitError where the folder cannot be written.

    A photo is taken for missing only when another one comes after it (else the address may be wrong, or something
    stand in the way), and when it is not found at the end either.
    """
    folder = request.source.folder
    with open_folder(folder, request.ask_again):
        return await fetch_part(request, ids, partial(add_missing, folder), on_photo)


@contextmanager
def open_folder(folder: Path, ask_again: bool) -> Iterator[None]:
    """Make a folder ready for photos; after asking again, what came is missing no more.

    Raises KitError where it cannot be written.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        tidy_parts(folder)
    yield
    if ask_again:
        tidy_missing(folder)


async def fetch_part(
    request: PhotoRequest, ids: Iterable[str], on_missing: OnMissing, on_photo: OnPhotos = lambda _: None
) -> DownloadStats:
    """Some photos of `fetch_photos`, into a folder that is ready; on_missing: told which are (id, reason)."""
    missing = set(read_missing(request.source.folder))
    async with open_client(request.policy, request.concurrency) as client:
        work = _Work(client, request.source, missing, request.ask_again, request.overwrite, on_missing)
        await _run_workers(work, ids, request.concurrency, on_photo)
        unconfirmed = work.second_pass()
        if unconfirmed:
            await asyncio.sleep(request.policy.delay(0) if is_address(request.source.url) else 0)
            await _run_workers(work, unconfirmed, request.concurrency, on_photo)
            await work.finish()
    return work.stats


async def _run_workers(work: _Work, ids: Iterable[str], concurrency: int, on_photo: OnPhotos) -> None:
    queue = iter(ids)

    async def worker() -> None:
        for name in queue:  # shared: every worker takes the next one
            if work.stats.stopped:
                return
            await work.download(name)
            on_photo(work.stats)

    try:
        async with asyncio.TaskGroup() as workers:
            for _ in range(concurrency):
                workers.create_task(worker())
    except ExceptionGroup as group:
        raise group.exceptions[0] from None


@dataclass
class _Work:
    """What the workers share.

    missing: photos that the server did not have in earlier calls; not_found: those (id, reason) since one came
    in this call; unconfirmed: those before them, to be asked for again; confirming: whether this is done;
    on_missing: told of those that are; probe: a photo that the server has; logged: when a wait was logged last.
    """

    client: HttpClient
    source: PhotoSource
    missing: set[str]
    ask_again: bool
    overwrite: frozenset[str]
    on_missing: OnMissing
    stats: DownloadStats = field(default_factory=DownloadStats)
    not_found: list[tuple[str, str]] = field(default_factory=list)
    unconfirmed: list[str] = field(default_factory=list)
    confirming: bool = False
    probe: str = ""
    logged: float = 0.0

    async def download(self, name: str) -> None:
        """Download one photo, if it is not there."""
        overwrite = name in self.overwrite
        try:
            if not is_image_name(name):
                self.stats.fail(name, "no photo can have this name")
            elif name in self.missing and not self.ask_again and not overwrite:
                self.stats.missing += 1
            elif not overwrite and photo_path(self.source.folder, name).exists():
                self.stats.there += 1
                self.probe = self.probe or name
            else:
                await self._get(name)
            if len(self.not_found) >= MAX_NOT_FOUND and not self.stats.stopped:
                await self._circuit_breaker()
        except KitError as error:
            self.stats.stopped = str(error)
        except OSError as error:
            self.stats.stopped = f"{error.filename or self.source.folder}: cannot be read ({error.strerror})"

    def second_pass(self) -> list[str]:
        """The photos that the server did not have, to be asked for a last time."""
        names = [*self.unconfirmed, *(name for name, _ in self.not_found)]
        self.stats.missing -= len(names)
        self.unconfirmed, self.not_found, self.confirming = [], [], True
        return [] if self.stats.stopped else names

    async def _get(self, name: str) -> None:
        try:
            data = await self._bytes(name)
        except FetchError as error:
            self._failed(name, error)
            return
        if self.source.max_side:
            data = await asyncio.to_thread(scaled, data, self.source.max_side, self.source.max_pixels)
        save(self.source.folder, name, data)
        self.stats.got += 1
        self.stats.bytes += len(data)
        self.probe = name
        self._confirm()

    async def _bytes(self, name: str) -> bytes:
        """A photo's bytes, checked to be a whole JPEG. Raises FetchError."""
        if not is_address(self.source.url):
            try:
                return whole_jpeg(photo_path(Path(self.source.url), name).read_bytes())
            except OSError as error:
                missing = isinstance(error, FileNotFoundError)
                raise FetchError(f"{error.strerror}", not_found=missing) from None

        async def attempt() -> bytes:
            async with self.client.request(self.source.address(name)) as response:
                raise_for_status(response)
                return whole_jpeg(await read_body(response, self.client.policy.read_timeout))

        return await retry_async(attempt, self.client.policy, self._on_retry)

    def _failed(self, name: str, error: FetchError) -> None:
        if not error.not_found:
            self.stats.fail(name, error.message)
        else:
            self.stats.missing += 1
            if name not in self.missing or name in self.overwrite:
                self.not_found.append((name, error.message))

    def _confirm(self) -> None:
        """A photo came: those before it that did not are missing, if they have been asked for twice."""
        not_found, self.not_found = self.not_found, []
        if not self.confirming:
            self.unconfirmed += [name for name, _ in not_found]
            return
        self.on_missing([pair for pair in not_found if pair[0] not in self.overwrite])
        for name, cause in not_found:
            if name in self.overwrite:
                self.stats.missing -= 1
                self.stats.fail(name, f"damaged, and the server has it no more ({cause})")

    async def _circuit_breaker(self) -> None:
        """Stop: so many not found in a row are no accident, unless a photo that came before still comes."""
        if self.probe:
            with suppress(FetchError):
                await self._bytes(self.probe)
                self._confirm()
                return
        not_found, self.not_found = self.not_found, []
        self.stats.missing -= len(not_found)
        for name, cause in not_found:
            why = f"{cause} again and again: is {shown(self.source.url)} right, or a proxy in the way?"
            self.stats.fail(name, why)
            self.stats.stopped = (
                f"stopped after {len(not_found)} photos in a row that are not there ({cause})"
            )

    async def finish(self) -> None:
        """Note what is missing, or say that nothing can be said of it."""
        if self.not_found and not self.stats.stopped:
            await self._circuit_breaker()
            self.stats.stopped = ""  # nothing was left to ask for
        self.stats.missing -= len(self.not_found)

    def _on_retry(self, error: RemoteError, seconds: float) -> None:
        """Log a wait, a long one for all workers together at most every ten seconds."""
        now, level = time.monotonic(), logging.DEBUG
        if seconds >= LOGGED_DELAY and now - self.logged > LOGGED_DELAY:
            self.logged, level = now, logging.WARNING
        logger.log(level, f"photos: {error}; trying again in {seconds:.0f} s")


async def read_body(response: aiohttp.ClientResponse, read_timeout: float) -> bytes:
    """All bytes of an answer. Raises FetchError where it trickles, or there are too many."""
    parts, stall, size = [], StallGuard(read_timeout), 0
    async for part in response.content.iter_any():
        parts.append(part)
        size += len(part)
        if size > MAX_BYTES:
            raise FetchError(f"larger than {MAX_BYTES >> 20} MB", retryable=False)
        stall.add(len(part))
    return b"".join(parts)
