"""Cross-validation over the images of a split: models that saw the others score each fold's true boxes."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite, sqrt

import numpy as np
from numpy.typing import NDArray

from kit.data.split_tables import SplitTables
from kit.metric.relations import evaluate
from kit.relation.scoring import Scorer, predict_relations
from kit.reproduce.experiment import Doubles
from kit.vocabulary import IS, PREDICATES

OTHERS = [name for p, name in enumerate(PREDICATES) if p != IS]


def cross_validate(
    split: SplitTables, train: Callable[[SplitTables, int], Scorer], folds: int, seed: int
) -> Doubles:
    """AP of relationships on ground-truth boxes per fold and predicate but "is", (folds, 9); NaN without truth.

    train: a scorer from the images of the other folds, and the fold's number; seed: of how images are dealt.
    """
    fold = np.random.default_rng(seed).integers(0, folds, len(split.objects.images))
    out = []
    for k in range(folds):
        scorer = train(of_images(split, fold != k), k)
        held = of_images(split, fold == k)
        predictions = predict_relations(scorer, held.objects)
        ap = evaluate(held.relations, predictions, held.labels).relationships["AP"]
        out.append([ap.get(name, np.nan) for name in OTHERS])
    return np.asarray(out, np.float64)


def mean_interval(differences: Doubles, folds: int) -> tuple[float, float]:
    """Mean of what folds give, NaN left out, and half its 95% interval by the corrected resampled t-test.

    differences: (n,) of repeated cross-validation. The training images of any two folds overlap, which the
    correction of Nadeau and Bengio (2003) allows for: variance × (1 / n + 1 / (folds - 1)). Infinite for one.
    """
    from scipy.stats import t

    values = differences[~np.isnan(differences)]
    if not len(values):
        return float("nan"), float("nan")
    if len(values) == 1:
        return float(values[0]), float("inf")
    scale = sqrt(values.var(ddof=1) * (1 / len(values) + 1 / (folds - 1)))
    return float(values.mean()), float(t.ppf(0.975, len(values) - 1) * scale)


def with_mean(ap: Doubles) -> Doubles:
    """With a last column: of each fold the mean of the predicates that it has, NaN without any."""
    known = ~np.isnan(ap)
    count = known.sum(axis=1)
    mean = np.where(count, np.where(known, ap, 0).sum(axis=1) / np.maximum(count, 1), np.nan)
    return np.column_stack([ap, mean])


def cell(form: str, *values: float) -> str:
    """Figures in a cell; an empty one where there are none to tell."""
    return form.format(*values) if all(map(isfinite, values)) else ""


def of_images(split: SplitTables, mask: NDArray[np.bool_]) -> SplitTables:
    """The images of a split where the mask (images,) is true."""
    ids = [name for name, keep in zip(split.objects.images, mask, strict=True) if keep]
    labels = None if split.labels is None else split.labels.of_images(ids)
    return SplitTables(split.relations.of_images(ids), split.objects.of_images(ids), labels)
