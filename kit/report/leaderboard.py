"""The competition's leaderboard: what a score is worth on it, and local scores against its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kit.base.files import atomic_write
from kit.kaggle.records import Record

MARKS = (
    (1, 0.4076),
    (2, 0.38818),
    (13, 0.30781),
    (29, 0.13205),
)  # place, private score: what is known of 2019


def expected_place(score: float) -> str:
    """The places of 2019 between whose scores a private score lies: "1st", "3rd to 13th", "after 29th"."""
    ahead = 0
    for place, mark in MARKS:
        if score >= mark:
            first = ahead + 1
            return ordinal(place) if first == place else f"{ordinal(first)} to {ordinal(place)}"
        ahead = place
    return f"after {ordinal(ahead)}"


def ordinal(n: int) -> str:
    """1st, 2nd, 3rd, 4th, 11th, 21st."""
    ending = "th" if n % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n}{ending}"


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
    with atomic_write(path) as part:
        figure.savefig(part, format=path.suffix.lstrip("."), dpi=150)
    return max(map(len, points.values()))


def _pairs(records: Sequence[Record], board: str) -> NDArray[np.float64]:
    """Local and board score of the submissions that have both: (n, 2)."""
    pairs = [(r.local, getattr(r, board)) for r in records]
    return np.array([pair for pair in pairs if None not in pair], float).reshape(-1, 2)
