"""Whether one set of predictions is better than another, or by chance: a paired bootstrap over images.

Every resample draws the same images for both, so that what makes an image hard is in neither's favour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from kit.base.progress import Progress, silent
from kit.metric.judging import TASKS
from kit.metric.matching import MatchResult
from kit.metric.resample import Resampler, interval
from kit.vocabulary import vocabulary

Verdict = Literal["better", "worse", "within the noise", "too few images"]
FEWEST = 10  # images with a true relation, below which a resample says nothing of a predicate
PARTS = ("final score", "mAP relationships", "Recall@50", "mAP phrases")


@dataclass(frozen=True)
class Difference:
    """A figure of two sets of predictions. low, high: 95% interval of after - before; images: of its truth."""

    name: str
    images: int
    before: float
    after: float
    low: float
    high: float

    @property
    def difference(self) -> float:
        """How much higher the second is."""
        return self.after - self.before

    @property
    def verdict(self) -> Verdict:
        """What the interval says: it lies above 0, below, or around it."""
        if self.images < FEWEST:
            return "too few images"
        return "better" if self.low > 0 else "worse" if self.high < 0 else "within the noise"

    def as_dict(self) -> dict[str, Any]:
        """Its columns."""
        return {**vars(self), "difference": self.difference, "verdict": self.verdict}


@dataclass(frozen=True, eq=False)
class Resampled:
    """The figures of one set of predictions, and their values in every resample, (resamples,) each.

    known: ids of the images that are drawn from.
    """

    figures: dict[str, float]
    drawn: dict[str, NDArray[np.float64]]
    images: dict[str, int]
    known: tuple[str, ...]


def resampled(
    matches: MatchResult, *, resamples: int = 1000, seed: int = 0, progress: Progress = silent
) -> Resampled:
    """Resample the images of the truth: the same ones for the same truth and seed, whatever is predicted."""
    resampler = Resampler(matches)
    drawn = [_figures(s) for s in progress(resampler.bootstrap(resamples, seed), resamples, "bootstrap")]
    figures = _figures(resampler.score(np.ones(resampler.images, np.int64)))
    return Resampled(
        figures,
        {name: np.array([values.get(name, np.nan) for values in drawn]) for name in figures},
        _images(matches),
        tuple(matches.images[i] for i in matches.known),
    )


def compare(before: Resampled, after: Resampled) -> list[Difference]:
    """Every figure of two sets of predictions, resampled by the same seed.

    Raises ValueError where their truths are of different images.
    """
    if before.known != after.known:
        raise ValueError("the two are judged by different truths")
    rows = []
    for name, value in before.figures.items():
        spread = interval((after.drawn[name] - before.drawn[name]).tolist())
        row = (value, after.figures[name], spread["low"], spread["high"])
        rows.append(Difference(name, before.images[name], *row))
    return rows


def _figures(scores: dict[str, Any]) -> dict[str, float]:
    """Parts and predicates of a score, flat."""
    relationships, phrases = (scores[task] for task in TASKS)
    parts = (scores["final_score"], relationships["mAP"], relationships["Recall@50"], phrases["mAP"])
    return {
        **dict(zip(PARTS, parts, strict=True)),
        **{f"AP {name}": value for name, value in relationships["AP"].items()},
        **{f"AP phrase {name}": value for name, value in phrases["AP"].items()},
    }


def _images(matches: MatchResult) -> dict[str, int]:
    """How many images have a truth of each figure."""
    count = {part: len(np.unique(matches.truth_image)) for part in PARTS}
    for i, predicate in enumerate(vocabulary().predicates):
        n = len(np.unique(matches.truth_image[matches.truth_predicate == i]))
        count |= {f"AP {predicate}": n, f"AP phrase {predicate}": n}
    return count


def as_table(differences: Sequence[Difference]) -> list[tuple[Any, ...]]:
    """Rows for people: name, images, before, after, difference, low, high, verdict."""
    return [
        (d.name, d.images, d.before, d.after, d.difference, d.low, d.high, d.verdict) for d in differences
    ]
