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
class Cost:
    """How many rows, of how many, and the place of the first; `first` is empty where there is none."""

    count: int = 0
    of: int = 0
    first: str = ""

    def add(self, other: Cost) -> None:
        """Count the rows of a later part of the file."""
        self.count, self.of, self.first = (
            self.count + other.count,
            self.of + other.of,
            self.first or other.first,
        )


@dataclass
class Notice:
    """What is to be said of one file: the rows left out by reason, and what others cost by (what, consequence)."""

    path: Path
    what: str = "rows"
    rows: int = 0
    reasons: dict[str, Cost] = field(default_factory=dict)
    told: dict[tuple[str, str], Cost] = field(default_factory=dict)

    def add(self, part: Notice) -> None:
        """Count what is to be said of a later part of the file."""
        self.rows += part.rows
        for reason, cost in part.reasons.items():
            self.reasons.setdefault(reason, Cost()).add(cost)
        for words, cost in part.told.items():
            self.told.setdefault(words, Cost()).add(cost)

    def warn(self) -> None:
        """Say it, once; nothing where there is nothing to say."""
        parts = [*self._left_out(), *self._told()]
        if parts:
            say(f"{self.path}: {'; '.join(parts)}")

    def _left_out(self) -> list[str]:
        reasons = {reason: cost for reason, cost in self.reasons.items() if cost.count}
        if not reasons:
            return []
        number, percent = share(sum(cost.count for cost in reasons.values()), self.rows)
        several = len(reasons) > 1
        texts = [
            f"{f'{cost.count:,} ' if several else ''}{reason}, first at {cost.first}"
            for reason, cost in reasons.items()
        ]
        return [f"{number} {self.what} ({percent}) are left out: {'; '.join(texts)}"]

    def _told(self) -> list[str]:
        texts = []
        for (what, consequence), cost in self.told.items():
            if cost.count:
                number, percent = share(cost.count, cost.of)
                texts.append(f"{number} {what} ({percent}) {consequence}, first at {cost.first}")
        return texts


@dataclass
class LeftOut:
    """Which rows of one file, or of a part of it, are left out; `rows`: their number, `what`: their name."""

    path: Path
    rows: int
    what: str = "rows"

    def __post_init__(self) -> None:
        self.left: Mask = np.zeros(self.rows, bool)
        self.notice = Notice(self.path, self.what, self.rows)

    def leave(self, mask: NDArray[Any], reason: str, where: Where) -> None:
        """Rows to leave out, and why; a row counts under the first reason."""
        new = mask & ~self.left
        self.notice.reasons[reason] = cost_of(new, self.rows, where)
        self.left |= new

    def tell(self, mask: NDArray[Any], of: int, what: str, consequence: str, where: Where) -> None:
        """Rows that stay and cost something, out of so many."""
        self.notice.told[what, consequence] = cost_of(mask, of, where)

    @property
    def kept(self) -> Mask:
        """True for the rows that stay."""
        return ~self.left

    def warn(self) -> None:
        """Say it, once; nothing where there is nothing to say."""
        self.notice.warn()


def cost_of(mask: NDArray[Any], of: int, where: Where) -> Cost:
    """What the rows of a mask are, out of so many."""
    count = int(mask.sum())
    return Cost(count, of, where(int(np.argmax(mask))) if count else "")


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
