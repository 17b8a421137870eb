"""Tables for people, as text."""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO
from typing import Any

from kit.base.errors import printable


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Rows under a title as text; words to the left, numbers to the right, floats with four decimals."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table(title=Text(printable(title)), title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    for i, name in enumerate(columns):
        numbers = any(isinstance(row[i], (int, float)) for row in rows)
        grid.add_column(name, justify="right" if numbers else "left", no_wrap=True)
    for row in rows:
        grid.add_row(*(Text(_text(value)) for value in row))
    out = StringIO()
    Console(file=out, width=200, highlight=False).print(grid)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def _text(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else printable(str(value))
