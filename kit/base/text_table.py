"""Tables for people, as text.

Written here and not by rich, whose import costs as much processor time as half of `kit --help`, and which folds
titles and drops columns of what is wider than its console.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from unicodedata import combining, east_asian_width

from kit.base.errors import printable

GAP = "   "  # between two columns


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Rows under a title as text; words to the left, numbers to the right, floats with four decimals."""
    texts = [list(columns), *([_text(value) for value in row] for row in rows)]
    widths = [max(map(_width, column)) for column in zip(*texts, strict=True)]
    numbers = [any(isinstance(row[i], (int, float)) for row in rows) for i in range(len(columns))]
    head, *body = [
        GAP.join(_padded(*cell) for cell in zip(line, widths, numbers, strict=True)) for line in texts
    ]
    rule = " " + "─" * (sum(widths) + len(GAP) * (len(columns) - 1) + 2)
    lines = [printable(title), "", f"  {head}", rule, *(f"  {line}" for line in body), ""]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _text(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else printable(str(value))


def _padded(text: str, width: int, right: bool) -> str:
    space = " " * (width - _width(text))
    return space + text if right else text + space


def _width(text: str) -> int:
    """Places that a text takes in a terminal."""
    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)
