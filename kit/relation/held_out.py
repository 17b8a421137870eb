"""Held-out images: parts that have every class, and whether a model beats what it starts from on them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kit.base.errors import KitError
from kit.metric.precision import average_precision
from kit.relation.statistics import FOLDS
from kit.tables.schema import Floats

FEWEST = 3  # images with a class; with fewer nothing can be learned on some and judged on others
ENOUGH = 10  # images with a class to judge by; with fewer held out, a third of those that there are
TURNS = 3  # parts that take turns where a single tenth of the images would hold too few
EPSILON = 1e-5  # probabilities are kept this far from 0 and 1 before a logarithm

Mask = NDArray[np.bool_]


def images_by_class(label: NDArray[Any], image: NDArray[Any], classes: int) -> NDArray[np.int64]:
    """How many images have a row of each class, (classes,); label, image: of every row (n,)."""
    rows = np.unique(np.column_stack([image.astype(np.int64), label.astype(np.int64)]), axis=0)
    return np.bincount(rows[:, 1], minlength=classes)


def held_out(
    label: NDArray[Any],
    image: NDArray[Any],
    fold: NDArray[np.int64],
    parts: int,
    classes: int,
    fewest: int = FEWEST,
) -> tuple[list[Mask], bool]:
    """Rows of each held-out part, whole images, and whether the parts are those that the folds give.

    label, image, fold: of every row (n,). parts: with one, the last fold; with more, the folds in turn. Where
    such a part lacks a class, in itself or in what is left to train on, or holds too few images of one to
    judge by, the images are dealt out anew, those of each class evenly. A class of less than `fewest` images asks
    for nothing. No parts where all rows are of one image.
    """
    usual = [fold == FOLDS - 1] if parts == 1 else [fold % parts == k for k in range(parts)]
    count = images_by_class(label, image, classes)
    wanted = count >= fewest
    if _fair(usual, label, image, wanted):
        return usual, True
    most = min(parts if parts > 1 else TURNS, len(np.unique(image)))
    turns = min([most, *count[wanted].tolist()])
    if turns < 2:
        return [], False
    turn = _deal(label, image, count, turns)
    return [turn == k for k in range(turns)], False


def _fair(parts: list[Mask], label: NDArray[Any], image: NDArray[Any], wanted: Mask) -> bool:
    """Whether every part, and the rest, have each wanted class, and all parts enough of it to judge by."""
    count = images_by_class(label, image, len(wanted))
    held = np.array([images_by_class(label[part], image[part], len(wanted)) for part in parts])
    left = count - held
    enough = held.sum(axis=0) >= np.minimum(ENOUGH, count / 3)
    there = all(part.any() and not part.all() for part in parts)
    return there and bool(((held > 0) & (left > 0) & enough)[:, wanted].all())


def _deal(
    label: NDArray[Any], image: NDArray[Any], count: NDArray[np.int64], turns: int
) -> NDArray[np.int64]:
    """The part of every row: images in the order of their rarest class go to the parts in turn."""
    images, row = np.unique(image, return_inverse=True)
    rank = np.empty(len(count), np.int64)
    rank[np.argsort(count, kind="stable")] = np.arange(len(count))
    rarest = np.full(len(images), len(count))
    np.minimum.at(rarest, row, rank[label.astype(np.intp)])
    turn = np.empty(len(images), np.int64)
    turn[np.argsort(rarest, kind="stable")] = np.arange(len(images)) % turns
    return np.asarray(turn[row])


@dataclass(frozen=True)
class Verdict:
    """Held-out average precision and log loss of a model and of its rival, what it starts from."""

    ap: float
    rival_ap: float
    loss: float
    rival_loss: float

    @property
    def better(self) -> bool:
        """Whether the model ranks better than its rival, or as well and is the likelier one."""
        if np.isclose(self.ap, self.rival_ap, rtol=0, atol=1e-9):
            return self.loss <= self.rival_loss
        return self.ap > self.rival_ap

    def __str__(self) -> str:
        return f"held-out AP {self.ap:.3f} against {self.rival_ap:.3f}"


def compare_with_rival(parts: list[tuple[Floats, Floats, Mask]]) -> Verdict | None:
    """Compare a model with its rival; of each part the probabilities of both and the labels, all (n,).

    AP is the mean over the parts, weighted by their positives. None where no part has a positive.
    """
    parts = [(model, rival, positive) for model, rival, positive in parts if positive.any()]
    if not parts:
        return None
    weight = [int(positive.sum()) for _, _, positive in parts]
    ap = np.average(
        [[_ap(model, positive), _ap(rival, positive)] for model, rival, positive in parts],
        axis=0,
        weights=weight,
    )
    model, rival, positive = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Verdict(float(ap[0]), float(ap[1]), log_loss(model, positive), log_loss(rival, positive))


def held_out_ap(parts: Sequence[tuple[Floats, NDArray[Any]]], classes: int = 0) -> float:
    """Average precision of held-out rows, of each class the mean over the parts, weighted by their positives.

    parts: probabilities (n,) or (n, classes), and labels (n,); with classes the mean over those but the last,
    which is "none". 0 without a positive.
    """
    values = []
    for k in range(max(classes - 1, 1)):
        scores = [(out[:, k] if classes else out, label == (k if classes else 1)) for out, label in parts]
        weight = [int(positive.sum()) for _, positive in scores]
        if any(weight):
            values.append(np.average([_ap(*score) for score in scores], weights=weight))
    return float(np.mean(values)) if values else 0.0


def _ap(score: Floats, positive: Mask) -> float:
    """Average precision as in the metric; of equal scores the false ones come first."""
    return average_precision(positive[np.lexsort((positive, -score))], int(positive.sum()))


def log_loss(probability: Floats, label: NDArray[Any], classes: int = 0) -> float:
    """Mean negative log-likelihood of binary labels, or of class labels with `classes` given.

    Raises KitError where it is not finite: the boosting diverged.
    """
    if classes:
        chosen = probability[np.arange(len(label)), label.astype(np.intp)]
    else:
        chosen = np.where(label > 0, probability, 1 - probability)
    loss = float(-np.log(np.clip(chosen, EPSILON, 1)).mean())
    if not math.isfinite(loss):
        wrong = int((~np.isfinite(chosen)).sum())
        raise KitError(
            f"XGBoost's probabilities of {wrong:,} of {len(label):,} rows are not finite",
            "lower eta, or raise min_child_weight and reg_lambda (relation.spatial, relation.stack)",
        )
    return loss
