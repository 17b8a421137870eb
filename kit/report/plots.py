"""Plots as SVG that stands inside HTML: text stays text, and takes the page's colour in light and dark."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import StringIO
from itertools import count
from typing import TYPE_CHECKING, Any

from kit.report.blocks import Plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK = "#010203"  # stands for the page's text colour while matplotlib draws
COLOURS = (  # 3:1 and more on white and on the dark page
    *("#3b82d0", "#d9730d", "#2e9e5b", "#8f63d2", "#d64550"),
    *("#1b98a6", "#9c6b3f", "#cf5b9b", "#7c8794", "#8a8b1f"),
)
STYLE: dict[str, Any] = {
    "axes.edgecolor": INK,
    "axes.facecolor": "none",
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 11,
    "figure.facecolor": "none",
    "font.size": 10,
    "legend.framealpha": 0.0,
    "savefig.facecolor": "none",
    "svg.fonttype": "none",
    "svg.hashsalt": "kit",
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}
_numbers = count()


class Canvas:
    """One plot at work: draw on `axes`; `plot` is there when the block is left."""

    axes: Axes
    plot: Plot


@contextmanager
def canvas(label: str, width: float = 5.6, height: float = 3.4) -> Iterator[Canvas]:
    """Axes to draw on. label: what the plot shows, in words; width, height: in inches."""
    import matplotlib as mpl
    from cycler import cycler
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    style: Any = {**STYLE, "axes.prop_cycle": cycler(color=COLOURS)}
    with mpl.rc_context(style):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(figure)
        drawn = Canvas()
        drawn.axes = figure.add_subplot()
        yield drawn
        text = StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
        drawn.plot = Plot(_inline(text.getvalue()), label)


def lines(
    label: str,
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    x: str,
    y: str,
    *,
    markers: bool = False,
    **limits: Any,
) -> Plot:
    """A line by name, with a legend where there are several. limits: as `Axes.set` takes them."""
    with canvas(label) as drawn:
        for name, (xs, ys) in curves.items():
            drawn.axes.plot(xs, ys, label=name, linewidth=1.6, marker="o" if markers else None, markersize=4)
        drawn.axes.set(xlabel=x, ylabel=y, title=label, **limits)
        drawn.axes.grid(alpha=0.25, linewidth=0.5)
        if len(curves) > 1:
            drawn.axes.legend(ncols=1 + len(curves) // 6, fontsize=9)
    return drawn.plot


def _inline(svg: str) -> str:
    """An SVG file as an element of a page: no prolog, ids of its own, the page's font and colour."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    prefix = f"plot{next(_numbers)}-"
    svg = re.sub(r'\bid="', f'id="{prefix}', svg)
    svg = re.sub(r'(href="#|url\(#)', rf"\g<1>{prefix}", svg)
    svg = re.sub(r"font: ([\d.]+px)[^;\"]*", r"font-size: \1", svg)
    svg = re.sub(r'<svg height="[^"]*"', "<svg", svg)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    return svg.replace(INK, "currentColor").strip()
