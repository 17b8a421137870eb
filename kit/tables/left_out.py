"""What a reader leaves out of a file or mends in it: counted, and told in one notice with the first place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.base.errors import printable
from kit.base.log import warn_once

SHOWN = 80  # characters of a value from the file
_collecting: list[list[str]] = []

Mask = NDArray[np.bool_]
Where = Callable[[int], str]  # the place of a row and what stands there: "line 7 (/m/0xyz)"


def share(count: int, total: int) -> tuple[str, str]:
    """A count and its share in words: "12 of 340" and "3.5%"."""
    percent = f"{count / max(total, 1):.1%}"
    return f"{count:,} of {total:,}", "under 0.1%" if count and percent == "0.0%" else percent


@dataclass
class LeftOut:
    """Counts over the rows of one file; `rows`: their number, `what`: their name."""

    path: Path
    rows: int
    what: str = "rows"
    reasons: list[tuple[int, str, str]] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.left: Mask = np.zeros(self.rows, bool)

    def leave(self, mask: NDArray[Any], reason: str, where: Where) -> None:
        """Rows to leave out, and why; a row counts under the first reason."""
        new = mask & ~self.left
        if new.any():
            first = int(np.argmax(new))
            self.reasons.append((int(new.sum()), reason, where(first)))
            self.left |= new

    def tell(self, count: int, of: int, what: str, consequence: str, first: str) -> None:
        """Rows that stay and cost something."""
        number, percent = share(count, of)
        self.told.append(f"{number} {what} ({percent}) {consequence}, first at {first}")

    @property
    def kept(self) -> Mask:
        """True for the rows that stay."""
        return ~self.left

    def warn(self) -> None:
        """Say it, once; nothing where there is nothing to say."""
        parts = [*self._left_out(), *self.told]
        if parts:
            say(f"{self.path}: {'; '.join(parts)}")

    def _left_out(self) -> list[str]:
        if not self.reasons:
            return []
        number, percent = share(int(self.left.sum()), self.rows)
        several = len(self.reasons) > 1
        reasons = [
            f"{f'{count:,} ' if several else ''}{reason}, first at {first}"
            for count, reason, first in self.reasons
        ]
        return [f"{number} {self.what} ({percent}) are left out: {'; '.join(reasons)}"]


def say(text: str) -> None:
    """Give a reader's notice, once."""
    for collected in _collecting:
        collected.append(text)
    warn_once(text)


@contextmanager
def notices() -> Iterator[list[str]]:
    """Collect what readers say inside, also what was said before."""
    texts: list[str] = []
    _collecting.append(texts)
    try:
        yield texts
    finally:
        _collecting[:] = [other for other in _collecting if other is not texts]


def place(line: int | None, *values: str) -> str:
    """A place in a file, and what stands there."""
    shown = ", ".join(printable(value, SHOWN) for value in values)
    return f"line {line}" + (f" ({shown})" if shown else "")
