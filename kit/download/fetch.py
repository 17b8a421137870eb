"""One file over HTTP: resumed where it stopped, checked, and put in place only when it is whole."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import json
import shutil
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import aiohttp

from kit.download.registry import Remote
from kit.patience import Patience, retry_after

T = TypeVar("T")
CHUNK = 1 << 20
PAGE = "a web page came instead of the file (a log-in page of the network?)"
GONE = (403, 404, 410)
BUSY = (408, 425, 429, 500, 502, 503, 504)


def limits(patience: Patience) -> aiohttp.ClientTimeout:
    """A patience as aiohttp takes it; there is no limit for the whole."""
    return aiohttp.ClientTimeout(total=None, sock_connect=patience.connect, sock_read=patience.read)


@dataclass
class FetchError(Exception):
    """Why a file could not be had. gone: the server does not have it; wait: seconds the server asks for."""

    cause: str
    gone: bool = False
    again: bool = True
    wait: float | None = None


@dataclass
class _Part:
    """What is there of a file, and which version of the remote one it is a part of."""

    path: Path
    note: Path
    validator: str = ""
    have: int = 0
    seen: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, path: Path) -> _Part:
        """The part beside a file's place; without a validator it is of no use and starts over."""
        part = cls(path.with_name(f".{path.name}.part"), path.with_name(f".{path.name}.part.json"))
        with suppress(OSError, ValueError):
            part.validator = json.loads(part.note.read_text(encoding="utf-8"))["validator"]
        if part.validator and part.path.exists():
            part.have = part.path.stat().st_size
        return part

    def restart(self, validator: str) -> None:
        """Begin anew with this version of the remote file."""
        self.path.write_bytes(b"")
        self.note.write_text(json.dumps({"validator": validator}), encoding="utf-8")
        self.validator, self.have = validator, 0

    def forget(self) -> None:
        """Take both files away."""
        self.path.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)


async def fetch(
    session: aiohttp.ClientSession,
    remote: Remote,
    patience: Patience,
    progress: Callable[[int], None] = lambda _: None,
) -> bool:
    """Put the remote file in its place; False where it was there already. Raises FetchError.

    progress: told the bytes that arrived. Another process at work on the same file is waited for.
    """
    remote.path.parent.mkdir(parents=True, exist_ok=True)
    if "://" not in remote.url:
        return _copy(remote)
    lock = await _lock(remote.path)
    with lock:
        if is_whole(remote):
            return False
        await patiently(lambda: _attempt(session, remote, progress), patience)
        return True


async def patiently(attempt: Callable[[], Awaitable[T]], patience: Patience) -> T:
    """What an attempt gives; it is made again after a fault that may pass. Raises FetchError."""
    for number in range(patience.tries):
        try:
            return await attempt()
        except FetchError as error:
            last = error
        except TimeoutError:
            last = FetchError(f"no answer in {patience.read:g} s")
        except (aiohttp.ClientError, ConnectionError, OSError) as error:
            last = FetchError(type(error).__name__)
        if last.gone or not last.again or number + 1 == patience.tries:
            break
        await asyncio.sleep(patience.pause(number, last.wait))
    raise last


def refuse(response: aiohttp.ClientResponse) -> None:
    """Raise FetchError where the server did not send what was asked for."""
    if response.status in GONE:
        raise FetchError(f"HTTP {response.status}", gone=True)
    if response.status not in (200, 206):
        seconds = retry_after(response.headers.get("Retry-After", ""))
        raise FetchError(f"HTTP {response.status}", again=response.status in BUSY, wait=seconds)


def is_whole(remote: Remote) -> bool:
    """Whether the file is there, of the size and hash that are known."""
    try:
        size = remote.path.stat().st_size
    except OSError:
        return False
    return (remote.size is None or size == remote.size) and digest_fits(remote)


def digest_fits(remote: Remote) -> bool:
    """Whether the file has the hash that is known, or none is."""
    if not remote.sha256:
        return True
    with remote.path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest().startswith(remote.sha256)


async def _attempt(session: aiohttp.ClientSession, remote: Remote, progress: Callable[[int], None]) -> None:
    part = _Part.of(remote.path)
    headers = {"Accept-Encoding": "identity"}
    if part.have:
        headers |= {"Range": f"bytes={part.have}-", "If-Range": part.validator}
    async with session.get(remote.url, headers=headers) as response:
        total = _begin(response, part)
        with part.path.open("ab") as file:
            async for chunk in response.content.iter_chunked(CHUNK):
                _append(file, chunk)
                progress(len(chunk))
    _finish(part, remote, total)


def _append(file: BinaryIO, chunk: bytes) -> None:
    try:
        file.write(chunk)
        file.flush()
    except OSError as error:
        raise FetchError(f"it cannot be written ({error.strerror})", again=False) from None


def _begin(response: aiohttp.ClientResponse, part: _Part) -> int | None:
    """Decide by the answer's head whether to go on or to start over; the whole file's size if it is told."""
    status = response.status
    if status == 416:  # the part is as long as the file, or longer: of no use
        part.forget()
        raise FetchError("the server has less than was there before", wait=0.01)
    refuse(response)
    if "text/html" in response.headers.get("Content-Type", ""):
        raise FetchError(PAGE)
    if status == 206:
        span, _, total = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
        if span.partition("-")[0] != str(part.have):
            part.forget()
            raise FetchError("the server sent another part than was asked for", wait=0.01)
        return int(total) if total.isdigit() else None
    etag = response.headers.get("ETag", "")
    validator = etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified", "")
    part.restart(validator)
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdigit() else None


def _finish(part: _Part, remote: Remote, total: int | None) -> None:
    size = part.path.stat().st_size
    wanted = remote.size if remote.size is not None else total
    if wanted is not None and size < wanted:
        raise FetchError(f"cut off after {size:,} of {wanted:,} bytes")
    if wanted is not None and size > wanted:
        part.forget()
        raise FetchError(f"{size:,} bytes came instead of {wanted:,}")
    with part.path.open("rb") as file:
        page = file.read(200).lstrip().lower().startswith((b"<!doctype html", b"<html"))
    if page:
        part.forget()
        raise FetchError(PAGE)
    if not digest_fits(Remote(remote.url, part.path, None, remote.sha256)):
        part.forget()
        raise FetchError("what came has another sha256 than the registry says")
    part.path.replace(remote.path)
    part.forget()


def _copy(remote: Remote) -> bool:
    """From a folder that serves as mirror."""
    if is_whole(remote):
        return False
    source, part = Path(remote.url), _Part.of(remote.path)
    try:
        shutil.copyfile(source, part.path)
    except OSError as error:
        part.forget()
        raise FetchError(f"{source}: {error.strerror}", gone=not source.exists(), again=False) from None
    _finish(part, remote, None)
    return True


@contextmanager
def _held(file: Any) -> Iterator[None]:
    with file:
        yield


async def _lock(path: Path) -> Any:
    """The file's lock, once nobody else has it."""
    file = path.with_name(f".{path.name}.lock").open("w")
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return _held(file)
        except BlockingIOError:
            await asyncio.sleep(0.2)
