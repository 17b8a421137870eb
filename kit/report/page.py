"""The report's sections as one HTML file that needs nothing else: no network, no file beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from kit.report.blocks import Cell, Interval, Kind, Section

DASH = "–"


@dataclass(frozen=True)
class Tile:
    """One number of the head of the page. note: what stands below it."""

    title: str
    value: str
    note: str = ""


def render(title: str, lead: str, tiles: Sequence[Tile], sections: Sequence[Section]) -> str:
    """The whole page. lead: one line below the title."""
    environment = Environment(
        loader=PackageLoader("kit.report"),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"shown": shown, "sort_key": sort_key}
    environment.tests["interval"] = lambda value: isinstance(value, Interval)
    environment.tests["empty"] = is_empty
    template = environment.get_template("report.html")
    return template.render(title=title, lead=lead, tiles=tiles, sections=sections)


def is_empty(cell: Cell | Interval) -> bool:
    """Whether a cell has nothing to show."""
    value = cell.value if isinstance(cell, Interval) else cell
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def sort_key(cell: Cell | Interval) -> str:
    """What a cell is sorted by; an empty one has nothing, and stays at the end."""
    value = cell.value if isinstance(cell, Interval) else cell
    return "" if is_empty(value) else str(value)


def shown(cell: Cell | Interval, kind: Kind) -> str:
    """A cell as text."""
    if is_empty(cell):
        return DASH
    value = cell.value if isinstance(cell, Interval) else cell
    if value is None or isinstance(value, str):
        return str(value)
    if kind == "count":
        return f"{value:,.0f}"
    if kind in ("share", "heat"):
        return f"{value:.1%}"
    if kind == "seconds":
        return _seconds(value)
    if kind == "bytes":
        return f"{value / 1e9:.2f} GB" if value >= 1e9 else f"{value / 1e6:.1f} MB"
    return f"{value:.4g}" if abs(value) >= 100 else f"{value:z.3f}"


def _seconds(value: float) -> str:
    if value < 60:
        return f"{value:.1f} s"
    minutes, seconds = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {seconds:02} s"
