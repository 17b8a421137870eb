"""One file over HTTP: resumed where it stopped, checked, and put in place only when it is whole."""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import aiohttp

from kit.base.address import is_address, shown
from kit.base.errors import KitError
from kit.base.hashes import sha256_of
from kit.base.locks import LockedError, exclusive_lock
from kit.base.log import logger
from kit.base.retry import RemoteError, RetryPolicy, retry_async
from kit.download.http_client import (
    MIN_BYTES,
    HttpClient,
    StallGuard,
    byte_count,
    raise_for_status,
    remote_size,
)
from kit.download.remote import FetchError, RemoteFile

PAGE = "a web page came instead of the file (a log-in page of the network?)"
LOGGED_DELAY = 1.0  # seconds from which on a wait is more than a detail
MAX_BYTES = 50 * 10**9  # of a file whose size nobody tells
MAX_VALIDATOR = 200  # characters; more is refused by servers
BLOCK = 1 << 20
OnBytes = Callable[[int, int | None], None]  # told the bytes that are there, and of how many
OnDone = Callable[[int, str], None]  # told size and sha256


@dataclass
class _PartialFile:
    """What is there of a file, and which version of the remote one it is a part of."""

    path: Path
    state: Path
    validator: str = ""
    total: int | None = None
    size: int = 0
    largest: int = 0  # that it ever was, in this run

    @classmethod
    def of(cls, path: Path) -> _PartialFile:
        """The part beside a file's place, not looked at yet."""
        return cls(path.with_name(f".{path.name}.part"), path.with_name(f".{path.name}.part.json"))

    def load(self) -> None:
        """See what is on disk; without a validator it is of no use."""
        self.validator, self.total, self.size = "", None, 0
        with suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
            with self.state.open("rb") as file:
                state = json.loads(file.read(10_000))
            self.validator, self.total = _usable(state["validator"]), byte_count(str(state["total"]))
        if self.validator and self.path.exists():
            self.size = self.path.stat().st_size

    def restart(self, validator: str, total: int | None) -> None:
        """Start over with this version of the remote file."""
        self.path.write_bytes(b"")
        self.state.write_text(json.dumps({"validator": validator, "total": total}), encoding="utf-8")
        self.validator, self.total, self.size = validator, total, 0

    def delete(self) -> None:
        """Delete both files."""
        self.path.unlink(missing_ok=True)
        self.state.unlink(missing_ok=True)

    def forget(self) -> None:
        """Delete a note that was left without its part: by a kill once the file was in its place."""
        if not self.path.exists():
            with suppress(OSError):
                self.state.unlink(missing_ok=True)

    def grew(self) -> bool:
        """Whether clearly more is there than ever before."""
        size = self.path.stat().st_size if self.path.exists() else 0
        self.largest, before = max(self.largest, size), self.largest
        return size >= before + MIN_BYTES


async def fetch(
    client: HttpClient,
    remote: RemoteFile,
    policy: RetryPolicy,
    on_bytes: OnBytes = lambda *_: None,
    on_done: OnDone = lambda *_: None,
    overwrite: bool = False,
) -> bool:
    """Put the remote file in its place; False where it was there already. Raises KitError.

    on_bytes: called as they come; on_done: called before the file takes its place; overwrite: replace what is there
    now, which stays until the new one is whole. Another process at work on the same file is waited for.
    """
    try:
        if not overwrite and is_whole(remote):  # also where nothing can be written
            _PartialFile.of(remote.path).forget()
            return False
        with await _lock(remote.path):
            if not overwrite and is_whole(remote):
                return False
            part = _PartialFile.of(remote.path)
            if not is_address(remote.url):
                _copy(remote, part, on_done)
                return True

            def on_retry(error: RemoteError, seconds: float) -> None:
                level = logging.WARNING if seconds >= LOGGED_DELAY else logging.DEBUG
                logger.log(level, f"{remote.path.name}: {error}; trying again in {seconds:.0f} s")

            def progressed(error: RemoteError) -> bool:
                return part.grew() and not (isinstance(error, FetchError) and error.too_slow)

            part.load()
            part.grew()
            await retry_async(
                lambda: _attempt(client, remote, part, on_bytes, on_done), policy, on_retry, progressed
            )
            return True
    except OSError as error:
        raise FetchError(f"{error.filename or remote.path}: cannot be written ({error.strerror})") from None


def is_whole(remote: RemoteFile) -> bool:
    """Whether the file is there, of the size and hash that are known."""
    try:
        if not remote.path.is_file() or remote.size not in (None, remote.path.stat().st_size):
            return False
        return not remote.sha256 or sha256_of(remote.path).startswith(remote.sha256)
    except (OSError, KitError):
        return False


async def _attempt(
    client: HttpClient, remote: RemoteFile, part: _PartialFile, on_bytes: OnBytes, on_done: OnDone
) -> None:
    part.load()
    headers = {"Accept-Encoding": "identity"}
    if part.size:
        headers |= {"Range": f"bytes={part.size}-", "If-Range": part.validator}
    async with client.request(remote.url, headers=headers) as response:
        if not _is_complete(response, part):
            _begin(response, part, remote)
            stall, size = StallGuard(client.policy.read_timeout), part.size
            limit = remote.size if remote.size is not None else part.total or MAX_BYTES
            with part.path.open("ab") as file:
                async for chunk in response.content.iter_any():
                    size += len(chunk)
                    if size > limit:
                        part.delete()
                        raise FetchError(f"more than {limit:,} bytes came")
                    file.write(chunk)
                    on_bytes(size, remote.size or part.total)
                    stall.add(len(chunk))
            sure = _has_known_end(response) and (response.status == 200 or part.total is not None)
            if not sure and remote.size is None and not remote.sha256:
                part.total = await remote_size(client, remote.url)
                if part.total is None:
                    raise FetchError("the server does not say how large it is", retryable=False)
    _finish(part, remote, on_done)


def _is_complete(response: aiohttp.ClientResponse, part: _PartialFile) -> bool:
    """Whether the server says that nothing is left to send: a part was whole and only not yet put in place."""
    if response.status != 416 or not part.size:
        return False
    total = response.headers.get("Content-Range", "").removeprefix("bytes */")
    same = total == str(part.size) and part.total in (None, part.size)
    if not same or _validator(response) not in ("", part.validator):
        part.delete()
        raise FetchError("the server has less than was there before", retry_after=0.01)
    part.total = part.size
    return True


def _has_known_end(response: aiohttp.ClientResponse) -> bool:
    """Whether a cut would have been seen: the answer has a length, or comes in pieces with a last one."""
    pieces = "chunked" in response.headers.get("Transfer-Encoding", "")
    return pieces or "Content-Length" in response.headers


def _begin(response: aiohttp.ClientResponse, part: _PartialFile, remote: RemoteFile) -> None:
    """Decide by the answer's head whether to go on or to start over."""
    raise_for_status(response)
    kind = response.headers.get("Content-Type", "")
    if "html" in kind or "xml" in kind:
        raise FetchError(PAGE)
    encoded = response.headers.get("Content-Encoding", "identity") != "identity"
    validator = "" if encoded else _validator(response)
    if response.status == 206:
        span, _, total = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
        told = byte_count(total) or part.total
        changed = validator not in ("", part.validator) or part.total not in (None, told)
        if changed or encoded or span.partition("-")[0] != str(part.size):
            part.delete()
            raise FetchError("the server sent another part than was asked for", retry_after=0.01)
        part.total = told
        return
    length = None if encoded else byte_count(response.headers.get("Content-Length", ""))
    if None not in (length, remote.size) and length != remote.size:
        raise FetchError(f"{length:,} bytes came instead of {remote.size:,}")
    free = shutil.disk_usage(part.path.parent).free
    if length is not None and length > free:
        raise FetchError(f"it cannot be written ({length:,} bytes, and {free:,} are free)", retryable=False)
    part.restart(validator, length)


def _validator(response: aiohttp.ClientResponse) -> str:
    """What tells this version of a file from others; a weak ETag does not."""
    etag = response.headers.get("ETag", "")
    return _usable(etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified", ""))


def _usable(validator: str) -> str:
    """A validator that can be sent back; empty where it cannot."""
    usable = len(validator) <= MAX_VALIDATOR and validator.isascii() and validator.isprintable()
    return validator if usable else ""


def _finish(part: _PartialFile, remote: RemoteFile, on_done: OnDone) -> None:
    size = part.path.stat().st_size
    expected = remote.size if remote.size is not None else part.total
    if expected is not None and size < expected:
        raise FetchError(f"cut off after {size:,} of {expected:,} bytes")
    if expected is not None and size > expected:
        part.delete()
        raise FetchError(f"{size:,} bytes came instead of {expected:,}")
    with part.path.open("rb") as file:
        page = file.read(200).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<")
    if not size:  # no file of the registry is empty
        part.delete()
        raise FetchError("the file that came is empty")
    if page:  # no file of the registry begins so
        part.delete()
        raise FetchError(PAGE)
    digest = sha256_of(part.path)
    if not digest.startswith(remote.sha256):
        part.delete()
        raise FetchError("what came has another sha256 than the registry says")
    on_done(size, digest)
    part.path.replace(remote.path)
    part.delete()


def _copy(remote: RemoteFile, part: _PartialFile, on_done: OnDone) -> None:
    """From a folder that serves as mirror."""
    source = Path(remote.url)
    try:
        if source.exists() and not source.is_file():
            raise FetchError(f"{shown(remote.url)}: not a file", retryable=False)
        with source.open("rb") as came, part.path.open("wb") as file:
            while block := _read(came, source):
                file.write(block)
        _finish(part, remote, on_done)
    except OSError as error:
        part.delete()
        if error.filename == str(source):
            missing = not source.exists()
            raise FetchError(
                f"{shown(remote.url)}: {error.strerror}", not_found=missing, retryable=False
            ) from None
        raise FetchError(f"{remote.path}: cannot be written ({error.strerror})", retryable=False) from None


def _read(file: IO[bytes], source: Path) -> bytes:
    try:
        return file.read(BLOCK)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(source)) from None


async def _lock(path: Path) -> ExitStack:
    """Hold the file's lock, once nobody else does, until the stack is closed."""
    stack, waiting = ExitStack(), False
    while True:
        try:
            busy = f"{path.name}: another kit is getting it; waiting"
            stack.enter_context(exclusive_lock(path.with_name(f".{path.name}.lock"), busy))
            return stack
        except LockedError as error:
            if not waiting:
                logger.info(error.message)
                waiting = True
            await asyncio.sleep(0.2)
