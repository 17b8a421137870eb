"""Requests over HTTP: time limits, redirects, and why one failed in words."""

from __future__ import annotations

import asyncio
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from urllib.request import getproxies

import aiohttp
from yarl import URL

from kit.base.address import is_address
from kit.base.retry import RetryPolicy, retry_after
from kit.download.redirect_guard import MAX_REDIRECTS, RedirectGuard
from kit.download.remote import FetchError

REDIRECTS = (301, 302, 303, 307, 308)
NO_ADDRESS = "no address (it begins with http:// or https://)"
MIN_BYTES = 1000  # that come at least within the time limit between two reads
NOT_FOUND = (403, 404, 410)
BUSY = (408, 425, 429, 500, 502, 503, 504)


class StallGuard:
    """Sees to it that an answer does not trickle: some bytes have to come in every `seconds`."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.received, self.start = seconds, 0, time.monotonic()

    def add(self, count: int) -> None:
        """Count received bytes. Raises FetchError where they come too slowly."""
        self.received += count
        now = time.monotonic()
        if now - self.start > self.seconds:
            if self.received < MIN_BYTES:
                raise FetchError(f"too slow: {self.received} bytes in {self.seconds:g} s", too_slow=True)
            self.received, self.start = 0, now


class HttpClient:
    """A session of requests."""

    def __init__(self, session: aiohttp.ClientSession, guard: RedirectGuard, policy: RetryPolicy) -> None:
        self._session, self._guard, self.policy = session, guard, policy

    @asynccontextmanager
    async def request(
        self, url: str, method: str = "GET", headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer, behind redirects where these may be followed. Raises FetchError, also while it is read.

        Name and password of the address go to its own server alone.
        """
        target, credentials = _split(url)
        self._guard.allow(target)
        with _fetch_errors(self.policy.read_timeout):
            for _ in range(MAX_REDIRECTS + 1):
                try:
                    async with asyncio.timeout(self.policy.connect_timeout + self.policy.read_timeout):
                        response = await self._session.request(
                            method, target, headers={**(headers or {}), **credentials}, allow_redirects=False
                        )
                except UnicodeError:  # a name that is none
                    raise FetchError(NO_ADDRESS, retryable=False) from None
                async with response:
                    location = response.headers.get("Location", "") if response.status in REDIRECTS else ""
                    if not location:
                        yield response
                        return
                    before, target = target, self._guard.follow(target, location)
                    credentials = credentials if target.origin() == before.origin() else {}
            raise FetchError(f"more than {MAX_REDIRECTS} redirects", retryable=False)


def _split(url: str) -> tuple[URL, dict[str, str]]:
    """An address without name and password, and the header that says these."""
    try:
        target, credentials = URL(url), {}
        if target.user is not None or target.password is not None:
            pair = f"{target.user or ''}:{target.password or ''}".encode()
            credentials = {"Authorization": f"Basic {b64encode(pair).decode()}"}
        target = target.with_user(None)
    except ValueError:
        raise FetchError(NO_ADDRESS, retryable=False) from None
    if target.scheme not in ("http", "https") or not target.raw_host:
        raise FetchError(NO_ADDRESS, retryable=False)
    return target, credentials


@asynccontextmanager
async def open_client(policy: RetryPolicy, concurrency: int = 100) -> AsyncIterator[HttpClient]:
    """A session with time limits, through the environment's proxy."""
    limits = aiohttp.ClientTimeout(
        total=None, sock_connect=policy.connect_timeout, sock_read=policy.read_timeout
    )
    guard = RedirectGuard()
    connector = aiohttp.TCPConnector(limit=concurrency, resolver=guard)
    trust = bool(getproxies())
    async with aiohttp.ClientSession(connector=connector, timeout=limits, trust_env=trust) as session:
        yield HttpClient(session, guard, policy)


def raise_for_status(response: aiohttp.ClientResponse) -> None:
    """Raise FetchError where the server did not send what was asked for."""
    if response.status not in (200, 206):
        raise FetchError(
            f"HTTP {response.status}",
            not_found=response.status in NOT_FOUND,
            retryable=response.status in BUSY,
            retry_after=retry_after(response.headers.get("Retry-After", "")),
        )


async def remote_size(client: HttpClient, url: str) -> int | None:
    """Bytes of a remote file; None where the server does not tell."""
    if not is_address(url):
        return Path(url).stat().st_size if Path(url).is_file() else None
    try:
        async with client.request(url, "HEAD", {"Accept-Encoding": "identity"}) as response:
            return byte_count(response.headers.get("Content-Length", "")) if response.status == 200 else None
    except FetchError:
        return None


def byte_count(header: str) -> int | None:
    """A number of bytes in a header; None where it is none."""
    return int(header) if header.isascii() and header.isdigit() and len(header) <= 15 else None


@contextmanager
def _fetch_errors(read_timeout: float) -> Iterator[None]:
    """Inside, what goes wrong with a request is a FetchError."""
    try:
        yield
    except TimeoutError:
        raise FetchError(f"no answer in {read_timeout:g} s") from None
    except (aiohttp.ClientError, OSError) as error:
        raise as_fetch_error(error) from None


def as_fetch_error(error: Exception) -> FetchError:
    """The words for a failed connection, or for a file of ours that cannot be written."""
    if isinstance(error, (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError)):
        return FetchError("its certificate is not trusted (a wrong clock? a proxy?)")
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return FetchError("no network: the address is not found")
    if isinstance(error, aiohttp.ClientConnectorError):
        return FetchError("no connection to the server")
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return FetchError(f"the proxy does not let it through (HTTP {error.status})")
    if isinstance(error, aiohttp.InvalidURL):
        return FetchError("no address (that of a proxy begins with http://)", retryable=False)
    if isinstance(error, aiohttp.ClientResponseError):
        return FetchError("the server's answer is not understood")
    if isinstance(error, OSError) and not isinstance(error, (aiohttp.ClientError, ConnectionError)):
        return FetchError(f"it cannot be written ({error.strerror})", retryable=False)
    return FetchError("the connection was cut")
