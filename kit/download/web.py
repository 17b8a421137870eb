"""Asking a server over HTTP: time limits, tries, and why it failed in words."""

from __future__ import annotations

import asyncio
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar
from urllib.request import getproxies

import aiohttp
from yarl import URL

from kit.base.address import is_address
from kit.base.retry import Patience, retry_after
from kit.download.fault import FetchError
from kit.download.redirect import MOST, Guard

T = TypeVar("T")
REDIRECTS = (301, 302, 303, 307, 308)
NO_ADDRESS = "no address (it begins with http:// or https://)"
LEAST = 1000  # bytes that come at least within the time limit between two reads
GONE = (403, 404, 410)
BUSY = (408, 425, 429, 500, 502, 503, 504)


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


class Web:
    """A session of requests."""

    def __init__(self, session: aiohttp.ClientSession, guard: Guard, patience: Patience) -> None:
        self._session, self._guard, self.patience = session, guard, patience

    @asynccontextmanager
    async def ask(
        self, url: str, method: str = "GET", headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer, behind redirects where these may be followed. Raises FetchError.

        Name and password of the address go to its own server alone.
        """
        place, own = _split(url)
        self._guard.give(place)
        for _ in range(MOST + 1):
            try:
                async with asyncio.timeout(self.patience.connect + self.patience.read):
                    response = await self._session.request(
                        method, place, headers={**(headers or {}), **own}, allow_redirects=False
                    )
            except UnicodeError:  # a name that is none
                raise FetchError(NO_ADDRESS, again=False) from None
            async with response:
                target = response.headers.get("Location", "") if response.status in REDIRECTS else ""
                if not target:
                    yield response
                    return
                before, place = place, self._guard.follow(place, target)
                own = own if place.origin() == before.origin() else {}
        raise FetchError(f"more than {MOST} redirects", again=False)


def _split(url: str) -> tuple[URL, dict[str, str]]:
    """An address without name and password, and the header that says these."""
    try:
        place, own = URL(url), {}
        if place.user is not None or place.password is not None:
            words = f"{place.user or ''}:{place.password or ''}".encode()
            own = {"Authorization": f"Basic {b64encode(words).decode()}"}
        place = place.with_user(None)
    except ValueError:
        raise FetchError(NO_ADDRESS, again=False) from None
    if place.scheme not in ("http", "https") or not place.raw_host:
        raise FetchError(NO_ADDRESS, again=False)
    return place, own


@asynccontextmanager
async def open_web(patience: Patience, at_once: int = 100) -> AsyncIterator[Web]:
    """A session with time limits, through the environment's proxy."""
    limits = aiohttp.ClientTimeout(total=None, sock_connect=patience.connect, sock_read=patience.read)
    guard = Guard()
    connector = aiohttp.TCPConnector(limit=at_once, resolver=guard)
    trust = bool(getproxies())
    async with aiohttp.ClientSession(connector=connector, timeout=limits, trust_env=trust) as session:
        yield Web(session, guard, patience)


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


async def remote_size(web: Web, url: str) -> int | None:
    """Bytes of a remote file; None where the server does not tell."""
    if not is_address(url):
        return Path(url).stat().st_size if Path(url).is_file() else None
    try:
        async with web.ask(url, "HEAD", {"Accept-Encoding": "identity"}) as response:
            return count(response.headers.get("Content-Length", "")) if response.status == 200 else None
    except (FetchError, aiohttp.ClientError, TimeoutError, OSError):
        return None


def count(text: str) -> int | None:
    """A number of bytes in a header; None where it is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 15 else None


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
    if isinstance(error, aiohttp.ClientResponseError):
        return FetchError("the server's answer is not understood")
    if isinstance(error, OSError) and not isinstance(error, (aiohttp.ClientError, ConnectionError)):
        return FetchError(f"it cannot be written ({error.strerror})", again=False)
    return FetchError("the connection was cut")
