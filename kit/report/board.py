"""Local score against the board's, a point a submission."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kit.base.files import whole
from kit.kaggle.board import MARKS, ordinal
from kit.kaggle.records import Record


def draw(path: Path, records: Sequence[Record]) -> int:
    """Draw the submissions that have both scores into an image file; how many there are."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    points = {name: _pairs(records, name) for name in ("public", "private")}
    for name, pairs in points.items():
        axes.scatter(pairs[:, 0], pairs[:, 1], label=name)
    highest = max(0.45, *(pairs.max(initial=0.0) for pairs in points.values()))
    axes.plot([0, highest], [0, highest], color="grey", linewidth=0.8, label="as local")
    for place, mark in MARKS:
        axes.axhline(mark, color="lightgrey", linewidth=0.8, zorder=0)
        axes.annotate(ordinal(place), (0, mark), fontsize=8, color="grey", va="bottom")
    axes.set(xlabel="local score", ylabel="board", xlim=(0, None), ylim=(0, None))
    axes.legend()
    with whole(path) as part:
        figure.savefig(part, format=path.suffix.lstrip("."), dpi=150)
    return max(map(len, points.values()))


def _pairs(records: Sequence[Record], board: str) -> NDArray[np.float64]:
    """Local and board score of the submissions that have both: (n, 2)."""
    pairs = [(r.local, getattr(r, board)) for r in records]
    return np.array([pair for pair in pairs if None not in pair], float).reshape(-1, 2)
