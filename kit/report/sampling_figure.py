"""The paper's figure 4 for any data set: class probabilities as the limit N of balanced sampling falls."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kit.base.files import atomic_write
from kit.detector.class_balanced_sampling import PLAIN, class_probabilities


def curves(counts: NDArray[np.int64], limits: Sequence[float]) -> dict[str, NDArray[np.float64]]:
    """Per limit, named as in the legend, the class probabilities from highest to lowest."""
    return {
        "N = ∞" if limit == PLAIN else f"N = {limit:,.0f}": np.sort(class_probabilities(counts, limit))[::-1]
        for limit in limits
    }


def usual_limits(most: int) -> list[int]:
    """The paper's 10,000 and 1,000 where the data is as large, else a half, a tenth and a fiftieth of it."""
    if most > 10_000:
        return [100_000, 10_000, 1_000][most <= 100_000 :]
    return [max(most // part, 1) for part in (2, 10, 50)]


def draw(path: Path, counts: NDArray[np.int64], limits: Sequence[float]) -> None:
    """Draw the curves into an image file; its kind follows from the path's ending."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for name, probability in curves(counts, limits).items():
        axes.plot(np.arange(1, len(probability) + 1), probability, label=name)
    axes.set_xlabel("class, from most to least likely")
    axes.set_ylabel("p(k)")
    axes.set_ylim(bottom=0)
    axes.legend()
    with atomic_write(path) as part:
        figure.savefig(part, format=path.suffix.lstrip(".") or "png", dpi=150)
