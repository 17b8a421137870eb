"""One file over HTTP: resumed where it stopped, checked, and put in place only when it is whole."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import aiohttp

from kit.base.address import is_address, shown
from kit.base.progress import notice
from kit.base.retry import Patience
from kit.download.fault import FetchError
from kit.download.registry import Remote
from kit.download.web import LEAST, Pace, Web, count, patiently, refuse, remote_size

PAGE = "a web page came instead of the file (a log-in page of the network?)"
TOLD = 1.0  # seconds from which on a wait is told
LARGEST = 50 * 10**9  # bytes of a file whose size nobody tells
LONGEST = 200  # characters of what tells a version from others; more is refused by servers
BLOCK = 1 << 20
Progress = Callable[[int, int | None], None]


@dataclass
class _Part:
    """What is there of a file, and which version of the remote one it is a part of."""

    path: Path
    note: Path
    validator: str = ""
    total: int | None = None
    have: int = 0
    most: int = 0  # that was ever there, in this run

    @classmethod
    def of(cls, path: Path) -> _Part:
        """The part beside a file's place, not looked at yet."""
        return cls(path.with_name(f".{path.name}.part"), path.with_name(f".{path.name}.part.json"))

    def look(self) -> None:
        """See what is on disk; without a validator it is of no use."""
        self.validator, self.total, self.have = "", None, 0
        with suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
            with self.note.open("rb") as file:
                kept = json.loads(file.read(10_000))
            self.validator, self.total = _usable(kept["validator"]), count(str(kept["total"]))
        if self.validator and self.path.exists():
            self.have = self.path.stat().st_size

    def restart(self, validator: str, total: int | None) -> None:
        """Begin anew with this version of the remote file."""
        self.path.write_bytes(b"")
        self.note.write_text(json.dumps({"validator": validator, "total": total}), encoding="utf-8")
        self.validator, self.total, self.have = validator, total, 0

    def forget(self) -> None:
        """Take both files away."""
        self.path.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)

    def grew(self) -> bool:
        """Whether clearly more is there than ever before."""
        size = self.path.stat().st_size if self.path.exists() else 0
        self.most, before = max(self.most, size), self.most
        return size >= before + LEAST


async def fetch(
    web: Web,
    remote: Remote,
    patience: Patience,
    progress: Progress = lambda *_: None,
    record: Callable[[int, str], None] = lambda *_: None,
    anew: bool = False,
) -> bool:
    """Put the remote file in its place; False where it was there already. Raises FetchError.

    progress: told the bytes that are there, and of how many; record: told size and sha256 before the file takes
    its place; anew: whatever is there now, which stays until the new one is whole. Another process at work on
    the same file is waited for.
    """
    try:
        if not anew and is_whole(remote):  # also where nothing can be written
            return False
        remote.path.parent.mkdir(parents=True, exist_ok=True)
        with await _lock(remote.path):
            if not anew and is_whole(remote):
                return False
            part = _Part.of(remote.path)
            if not is_address(remote.url):
                _copy(remote, part, record)
                return True

            def tell(error: FetchError, seconds: float) -> None:
                if seconds >= TOLD:
                    notice(f"{remote.path.name}: {error.cause}; trying again in {seconds:.0f} s")

            part.look()
            part.grew()
            await patiently(
                lambda: _attempt(web, remote, part, patience, progress, record), patience, part.grew, tell
            )
            return True
    except OSError as error:
        raise FetchError(f"{error.filename or remote.path}: cannot be written ({error.strerror})") from None


def is_whole(remote: Remote) -> bool:
    """Whether the file is there, of the size and hash that are known."""
    try:
        if not remote.path.is_file() or remote.size not in (None, remote.path.stat().st_size):
            return False
        return not remote.sha256 or sha256_of(remote.path).startswith(remote.sha256)
    except OSError:
        return False


def sha256_of(path: Path) -> str:
    """The hash of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


async def _attempt(
    web: Web,
    remote: Remote,
    part: _Part,
    patience: Patience,
    progress: Progress,
    record: Callable[[int, str], None],
) -> None:
    part.look()
    headers = {"Accept-Encoding": "identity"}
    if part.have:
        headers |= {"Range": f"bytes={part.have}-", "If-Range": part.validator}
    async with web.ask(remote.url, headers=headers) as response:
        if not _all_there(response, part):
            _begin(response, part, remote)
            pace, have = Pace(patience.read), part.have
            most = remote.size if remote.size is not None else part.total or LARGEST
            with part.path.open("ab") as file:
                async for chunk in response.content.iter_any():
                    have += len(chunk)
                    if have > most:
                        part.forget()
                        raise FetchError(f"more than {most:,} bytes came")
                    file.write(chunk)
                    progress(have, remote.size or part.total)
                    pace.add(len(chunk))
            sure = _told_its_end(response) and (response.status == 200 or part.total is not None)
            if not sure and remote.size is None and not remote.sha256:
                part.total = await remote_size(web, remote.url)
                if part.total is None:
                    raise FetchError("the server does not say how large it is", again=False)
    _finish(part, remote, record)


def _all_there(response: aiohttp.ClientResponse, part: _Part) -> bool:
    """Whether the server says that nothing is left to send: a part was whole and only not yet put in place."""
    if response.status != 416 or not part.have:
        return False
    total = response.headers.get("Content-Range", "").removeprefix("bytes */")
    same = total == str(part.have) and part.total in (None, part.have)
    if not same or _validator(response) not in ("", part.validator):
        part.forget()
        raise FetchError("the server has less than was there before", wait=0.01)
    part.total = part.have
    return True


def _told_its_end(response: aiohttp.ClientResponse) -> bool:
    """Whether a cut would have been seen: the answer has a length, or comes in pieces with a last one."""
    pieces = "chunked" in response.headers.get("Transfer-Encoding", "")
    return pieces or "Content-Length" in response.headers


def _begin(response: aiohttp.ClientResponse, part: _Part, remote: Remote) -> None:
    """Decide by the answer's head whether to go on or to start over."""
    refuse(response)
    kind = response.headers.get("Content-Type", "")
    if "html" in kind or "xml" in kind:
        raise FetchError(PAGE)
    packed = response.headers.get("Content-Encoding", "identity") != "identity"
    validator = "" if packed else _validator(response)
    if response.status == 206:
        span, _, total = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
        told = count(total) or part.total
        changed = validator not in ("", part.validator) or part.total not in (None, told)
        if changed or packed or span.partition("-")[0] != str(part.have):
            part.forget()
            raise FetchError("the server sent another part than was asked for", wait=0.01)
        part.total = told
        return
    length = None if packed else count(response.headers.get("Content-Length", ""))
    if None not in (length, remote.size) and length != remote.size:
        raise FetchError(f"{length:,} bytes came instead of {remote.size:,}")
    free = shutil.disk_usage(part.path.parent).free
    if length is not None and length > free:
        raise FetchError(f"it cannot be written ({length:,} bytes, and {free:,} are free)", again=False)
    part.restart(validator, length)


def _validator(response: aiohttp.ClientResponse) -> str:
    """What tells this version of a file from others; a weak ETag does not."""
    etag = response.headers.get("ETag", "")
    return _usable(etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified", ""))


def _usable(validator: str) -> str:
    """A validator that can be sent back; empty where it cannot."""
    good = len(validator) <= LONGEST and validator.isascii() and validator.isprintable()
    return validator if good else ""


def _finish(part: _Part, remote: Remote, record: Callable[[int, str], None]) -> None:
    size = part.path.stat().st_size
    wanted = remote.size if remote.size is not None else part.total
    if wanted is not None and size < wanted:
        raise FetchError(f"cut off after {size:,} of {wanted:,} bytes")
    if wanted is not None and size > wanted:
        part.forget()
        raise FetchError(f"{size:,} bytes came instead of {wanted:,}")
    with part.path.open("rb") as file:
        page = file.read(200).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<")
    if not size:  # no file of the registry is empty
        part.forget()
        raise FetchError("the file that came is empty")
    if page:  # no file of the registry begins so
        part.forget()
        raise FetchError(PAGE)
    digest = sha256_of(part.path)
    if not digest.startswith(remote.sha256):
        part.forget()
        raise FetchError("what came has another sha256 than the registry says")
    record(size, digest)
    part.path.replace(remote.path)
    part.forget()


def _copy(remote: Remote, part: _Part, record: Callable[[int, str], None]) -> None:
    """From a folder that serves as mirror."""
    source = Path(remote.url)
    try:
        if source.exists() and not source.is_file():
            raise FetchError(f"{shown(remote.url)}: not a file", again=False)
        with source.open("rb") as came, part.path.open("wb") as file:
            while block := _read(came, source):
                file.write(block)
        _finish(part, remote, record)
    except OSError as error:
        part.forget()
        if error.filename == str(source):
            gone = not source.exists()
            raise FetchError(f"{shown(remote.url)}: {error.strerror}", gone=gone, again=False) from None
        raise FetchError(f"{remote.path}: cannot be written ({error.strerror})", again=False) from None


def _read(file: IO[bytes], source: Path) -> bytes:
    try:
        return file.read(BLOCK)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(source)) from None


async def _lock(path: Path) -> IO[str]:
    """The file's lock, once nobody else has it."""
    file = path.with_name(f".{path.name}.lock").open("w")
    told = False
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return file
        except BlockingIOError:
            if not told:
                notice(f"{path.name}: another kit is getting it; waiting")
                told = True
            await asyncio.sleep(0.2)
