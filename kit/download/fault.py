"""Why a file could not be had."""

from __future__ import annotations

from dataclasses import dataclass


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
