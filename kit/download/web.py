"""Asking a server over HTTP: time limits, tries, and why it failed in words."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies

import aiohttp

from kit.patience import Patience, retry_after

T = TypeVar("T")
LEAST = 1000  # bytes that come at least within the time limit between two reads
GONE = (403, 404, 410)
BUSY = (408, 425, 429, 500, 502, 503, 504)


@dataclass
class FetchError(Exception):
    """Why a file could not be had.

    gone: the server does not have it; again: it may come at the next try; wait: seconds the server asks for;
    slow: bytes came, and too few.
    """

    cause: str
    gone: bool = False
    again: bool = True
    wait: float | None = None
    slow: bool = False

    def __str__(self) -> str:
        return self.cause


class Pace:
    """Sees to it that an answer does not trickle: some bytes have to come in every `seconds`."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.came, self.start = seconds, 0, time.monotonic()

    def add(self, count: int) -> None:
        """So many bytes more. Raises FetchError where it is too slow."""
        self.came += count
        now = time.monotonic()
        if now - self.start > self.seconds:
            if self.came < LEAST:
                raise FetchError(f"too slow: {self.came} bytes in {self.seconds:g} s", slow=True)
            self.came, self.start = 0, now


def open_session(patience: Patience, at_once: int = 100, whole: float | None = None) -> aiohttp.ClientSession:
    """A session with time limits, through the environment's proxy. whole: seconds for a whole answer."""
    limits = aiohttp.ClientTimeout(total=whole, sock_connect=patience.connect, sock_read=patience.read)
    connector = aiohttp.TCPConnector(limit=at_once)
    return aiohttp.ClientSession(connector=connector, timeout=limits, trust_env=bool(getproxies()))


async def patiently(
    attempt: Callable[[], Awaitable[T]],
    patience: Patience,
    progressed: Callable[[], bool] = lambda: False,
    tell: Callable[[FetchError, float], None] = lambda *_: None,
) -> T:
    """What an attempt gives; it is made again after a fault that may pass. Raises FetchError.

    progressed: whether the last attempt got further than any before; such a one does not count as a try, unless
    it was too slow.
    tell: told the fault and the seconds until the next try.
    """
    number = 0
    while True:
        try:
            return await attempt()
        except FetchError as error:
            last = error
        except TimeoutError:
            last = FetchError(f"no answer in {patience.read:g} s")
        except (aiohttp.ClientError, OSError) as error:
            last = _fault(error)
        number = 0 if progressed() and not last.slow else number + 1
        if last.gone or not last.again or number >= patience.tries:
            raise last
        seconds = patience.pause(max(number - 1, 0), last.wait)
        tell(last, seconds)
        await asyncio.sleep(seconds)


def refuse(response: aiohttp.ClientResponse) -> None:
    """Raise FetchError where the server did not send what was asked for."""
    if response.status in GONE:
        raise FetchError(f"HTTP {response.status}", gone=True)
    if response.status not in (200, 206):
        seconds = retry_after(response.headers.get("Retry-After", ""))
        raise FetchError(f"HTTP {response.status}", again=response.status in BUSY, wait=seconds)


async def remote_size(session: aiohttp.ClientSession, url: str) -> int | None:
    """Bytes of a remote file; None where the server does not tell."""
    if not url.startswith("http"):
        return Path(url).stat().st_size if Path(url).exists() else None
    try:
        async with session.head(
            url, allow_redirects=True, headers={"Accept-Encoding": "identity"}
        ) as response:
            length = response.headers.get("Content-Length", "")
            return int(length) if response.status == 200 and length.isdigit() else None
    except (aiohttp.ClientError, TimeoutError, OSError):
        return None


def shown(url: str) -> str:
    """An address as it may be shown: without a name and password in it."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl() if "@" in parts.netloc else url


def _fault(error: Exception) -> FetchError:
    """A failed connection, or a file of ours that cannot be written."""
    if isinstance(error, (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError)):
        return FetchError("its certificate is not trusted (a wrong clock? a proxy?)")
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return FetchError("no network: the address is not found")
    if isinstance(error, aiohttp.ClientConnectorError):
        return FetchError("no connection to the server")
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return FetchError(f"the proxy does not let it through (HTTP {error.status})")
    if isinstance(error, aiohttp.InvalidURL):
        return FetchError("no address (that of a proxy begins with http://)", again=False)
    if isinstance(error, OSError) and not isinstance(error, (aiohttp.ClientError, ConnectionError)):
        return FetchError(f"it cannot be written ({error.strerror})", again=False)
    return FetchError("the connection was cut")
