"""What a section of the report is made of: plain data, of which `kit.report.page` makes HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Cell = str | float | int | None
Kind = Literal["text", "number", "count", "share", "bar", "heat", "seconds", "bytes"]


@dataclass(frozen=True)
class Column:
    """A table's column. kind: how its cells are shown; bar, heat: a number in [0, 1] with a
    bar, or with a tint; note: its tooltip.
    """

    title: str
    kind: Kind = "number"
    note: str = ""


@dataclass(frozen=True)
class Interval:
    """A number in [0, 1] with the ends of its confidence interval: a bar with a line over it."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Table:
    """A table that can be sorted by every column; NaN and None are shown as a dash."""

    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell | Interval]]
    note: str = ""


@dataclass(frozen=True)
class Matrix:
    """Counts by row and column, tinted by their share of the row; row i belongs to column i."""

    caption: str
    rows: Sequence[str]
    columns: Sequence[str]
    counts: Sequence[Sequence[int]]
    note: str = ""


@dataclass(frozen=True)
class Plot:
    """A plot as SVG text that fits into HTML. label: what it shows, for those who do not see it."""

    svg: str
    label: str


@dataclass(frozen=True)
class Plots:
    """Plots side by side. small: many to a row."""

    caption: str
    plots: Sequence[Plot]
    note: str = ""
    small: bool = False


@dataclass(frozen=True)
class Picture:
    """An image as a data address. text: what it shows."""

    source: str
    text: str


@dataclass(frozen=True)
class Gallery:
    """Images side by side."""

    caption: str
    pictures: Sequence[Picture]
    note: str = ""


@dataclass(frozen=True)
class Code:
    """A text as it stands, folded away."""

    caption: str
    text: str


@dataclass(frozen=True)
class Paragraph:
    """A sentence or two."""

    text: str


Block = Table | Matrix | Plots | Gallery | Code | Paragraph


@dataclass(frozen=True)
class Section:
    """A section. name: its anchor; missing: why it is empty, and the command that fills it."""

    name: str
    title: str
    blocks: Sequence[Block] = ()
    missing: str = ""
