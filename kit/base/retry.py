"""How long to wait for a server, and how often to ask again.

Our own, not stamina's: an attempt that got further than any before starts count and waits anew, and whoever waits
says so; there the number of attempts is fixed, and waits are told to hooks (and a logger) of the whole process.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from kit.base.errors import KitError
from kit.base.log import logger

T = TypeVar("T")
MAX_DELAY = 120.0  # seconds between two attempts, whatever a server asks for


class RemoteError(KitError):
    """A call to a server that failed.

    retryable: the same call may succeed a little later, after `retry_after` seconds where the server says so.
    """

    def __init__(
        self, message: str, hint: str = "", *, retryable: bool = False, retry_after: float | None = None
    ) -> None:
        super().__init__(message, hint)
        self.retryable, self.retry_after = retryable, retry_after


OnRetry = Callable[[RemoteError, float], None]  # told the error, and the seconds until the next attempt


@dataclass(frozen=True)
class RetryPolicy:
    """Seconds to connect and between two reads, attempts in all, and the first delay between two (seconds)."""

    connect_timeout: float = 20.0
    read_timeout: float = 60.0
    attempts: int = 6
    backoff: float = 1.0

    def delay(self, failures: int, retry_after: float | None = None) -> float:
        """Seconds before the next attempt: what the server asked for, else doubled each time; both with jitter."""
        jitter = random.random()
        if retry_after is not None:
            return min(retry_after, MAX_DELAY) + jitter * min(self.backoff, 1.0)
        return float(min(self.backoff * 2.0 ** min(failures, 30), MAX_DELAY) * (0.5 + jitter))


class _Failures:
    """The failures in a row of one call."""

    def __init__(self, policy: RetryPolicy) -> None:
        self.policy, self.count = policy, 0

    def delay(self, error: RemoteError, progressed: bool = False) -> float:
        """Seconds until the next attempt. Raises the error where there is none."""
        self.count = 0 if progressed else self.count + 1
        if not error.retryable or self.count >= self.policy.attempts:
            raise error
        return self.policy.delay(max(self.count - 1, 0), error.retry_after)


def retry(call: Callable[[], T], policy: RetryPolicy, on_retry: OnRetry, sleep: Callable[[float], None]) -> T:
    """What a call gives, made again after an error that is retryable. Raises RemoteError."""
    failures = _Failures(policy)
    while True:
        try:
            return call()
        except RemoteError as error:
            seconds = failures.delay(error)
            logger.debug(f"{error}: again in {seconds:.1f} s")
            on_retry(error, seconds)
        sleep(seconds)


async def retry_async(
    call: Callable[[], Awaitable[T]],
    policy: RetryPolicy,
    on_retry: OnRetry = lambda *_: None,
    progressed: Callable[[RemoteError], bool] = lambda _: False,
) -> T:
    """`retry` of a coroutine; progressed: whether the failed attempt counts as none, since it got further."""
    import asyncio

    failures = _Failures(policy)
    while True:
        try:
            return await call()
        except RemoteError as error:
            seconds = failures.delay(error, progressed(error))
            logger.debug(f"{error}: again in {seconds:.1f} s")
            on_retry(error, seconds)
        await asyncio.sleep(seconds)


def retry_after(header: str) -> float | None:
    """Seconds that a Retry-After header asks for, as a number or as a date; None where it says nothing."""
    if header.isascii() and header.replace(".", "", 1).isdigit():
        return float(header)
    when = _moment(header)
    return max((when - datetime.now(UTC)).total_seconds(), 0.0) if when else None


def clock_skew(header: str) -> float | None:
    """Seconds that this machine's clock is ahead of a server's Date header; None where it says nothing."""
    when = _moment(header)
    return (datetime.now(UTC) - when).total_seconds() if when else None


def _moment(header: str) -> datetime | None:
    from email.utils import parsedate_to_datetime

    try:
        when = parsedate_to_datetime(header[:100])
        return when.astimezone(UTC) if when.tzinfo else when.replace(tzinfo=UTC)
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
