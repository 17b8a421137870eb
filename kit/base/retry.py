"""How long to wait for a server, and how often to ask again."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST_WAIT = 120.0  # seconds between two tries, whatever a server asks for


@dataclass(frozen=True)
class Patience:
    """Seconds to connect and between two reads, tries, and the first wait between tries (seconds)."""

    connect: float = 20.0
    read: float = 60.0
    tries: int = 6
    wait: float = 1.0

    def pause(self, attempt: int, asked: float | None = None) -> float:
        """Seconds before the next try: what the server asked for, else doubled each time; both with jitter."""
        jitter = random.random()
        if asked is not None:
            return min(asked, LONGEST_WAIT) + jitter * min(self.wait, 1.0)
        return float(min(self.wait * 2.0 ** min(attempt, 30), LONGEST_WAIT) * (0.5 + jitter))


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
    try:
        when = parsedate_to_datetime(header[:100])
        return when.astimezone(UTC) if when.tzinfo else when.replace(tzinfo=UTC)
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
