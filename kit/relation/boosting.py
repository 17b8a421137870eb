"""Gradient boosting with XGBoost: the number of rounds by held-out images, and whether the trees are worth it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from kit.base.progress import ProgressLine
from kit.config import Boosting
from kit.detector.team import ALONE, Team
from kit.relation.boosted_model import BoostedModel
from kit.relation.boosting_rounds import Growth, Trial, parameters
from kit.relation.external_memory import RowBatches, external_matrix
from kit.relation.feature_tables import FeatureTable
from kit.relation.held_out import (
    EPSILON,
    FEWEST,
    Mask,
    Verdict,
    compare_with_rival,
    held_out,
    held_out_ap,
    images_by_class,
    log_loss,
)
from kit.tables.schema import Floats


@dataclass(frozen=True, eq=False)
class TrainingRows:
    """Training rows: features, labels (n,), image (n,), the image's fold (n,), start margin (n,) or (n, classes).

    rival: probabilities by what the trees must beat, (n,), or (n, judged) for the first classes; counts: which
    rows count for each of these, all by default; weight: of each row in training (n,); scratch: the folder where
    XGBoost keeps the features quantised, None for in memory; team: of the processes that fit together, all of which
    have these rows, and each gives XGBoost its part of them.
    """

    features: FeatureTable
    label: NDArray[Any]
    image: NDArray[Any]
    fold: NDArray[np.int64]
    margin: Floats | None = None
    rival: Floats | None = None
    counts: Mask | None = None
    weight: Floats | None = None
    scratch: Path | None = None
    team: Team = ALONE

    def matrix(self, chosen: Mask, reference: xgb.DMatrix | None = None, *, bins: int = 256) -> xgb.DMatrix:
        """The chosen rows, of several processes this one's part of them, as XGBoost takes them.

        Of pages, reference: the matrix trained on, whose bins they share; bins: of a feature, as the booster has.
        """
        rows = self.team.part(np.flatnonzero(chosen))
        if self.scratch is not None and chosen.sum() >= self.team.count:  # pages hold a row at least
            batches = RowBatches(self.features, rows, self.label, self.weight, self.margin, self.scratch)
            return external_matrix(batches, bins, reference)
        weight, margin = (None if v is None else v[rows] for v in (self.weight, self.margin))
        return xgb.DMatrix(
            self.features.take(rows),
            self.label[rows],
            weight=weight,
            base_margin=margin,
            feature_names=list(self.features.names),
        )

    def predict(self, booster: xgb.Booster, part: xgb.DMatrix) -> Floats:
        """The probabilities of all rows of a matrix, of which this is one process's part."""
        return self.team.joined(booster.predict(part))


@dataclass(frozen=True, eq=False)
class Fit:
    """The result of `fit`: a model, or None where zero rounds are best; loss: what early stopping made
    small on the held-out images (log loss, or one minus AP), by number of rounds.

    refused: for each judged class (0 for binary labels) where its rival stands, why.
    verdicts: of the classes that could be judged.
    """

    model: BoostedModel | None
    loss: dict[int, float]
    refused: dict[int, str]
    verdicts: dict[int, Verdict]


NO_TREE = "no tree lowers the held-out loss"


def fit(
    rows: TrainingRows,
    settings: Boosting,
    seed: int,
    classes: int = 0,
    *,
    name: str = "boosting",
    folder: Path | None = None,
) -> Fit:
    """Fit with the best number of rounds on held-out images, and compare with the rival on the same images.

    classes: 0 for binary labels, else the number of classes; name: of the progress line and of the files that
    `folder` keeps while it is at work, to go on from. Rounds are tried in blocks; what is best is the least log
    loss over the held-out images of all parts, or by `early_stopping_metric` the greatest average precision.
    With one part the best block's model itself is kept: with the booster dart later rounds rescale earlier
    trees, so it could not be cut out of the last one. Then the average precision on the same images says
    whether the trees beat the rival.
    """
    refused = _too_few(rows, classes)
    judged = range(_judged(rows, classes))
    if len(refused) == len(judged):
        return Fit(None, {}, refused, {})
    fewest = FEWEST if classes else 2  # of the negatives two images are something to learn from
    parts, usual = held_out(rows.label, rows.image, rows.fold, settings.folds, max(classes, 2), fewest)
    kept = [None if folder is None else folder / f"{name}.{phase}.npz" for phase in ("trial", "final")]
    trial = _try_rounds(rows, parts, settings, seed, classes, name, kept[0])
    if not trial.rounds and rows.margin is None:
        return Fit(None, trial.value, dict.fromkeys(judged, NO_TREE) | refused, {})
    verdicts = rows.team.of_first(lambda: _verdicts(rows, parts, trial.held))
    refused = {k: str(v) for k, v in verdicts.items() if not v.better} | refused
    if not trial.rounds or len(refused) == len(judged):
        return Fit(None, trial.value, refused, verdicts)
    if settings.folds == 1 and usual:
        params = parameters(settings, seed, classes)
        booster = xgb.Booster(params, model_file=bytearray(trial.raw))
    else:
        booster = _final(rows, settings, seed, classes, trial.rounds, name, kept[1])
    booster.feature_names = list(rows.features.names)
    model = BoostedModel(booster, booster.num_boosted_rounds(), trial.value, settings.device)
    return Fit(model, trial.value, refused, verdicts)


def remove_kept(folder: Path, name: str) -> None:
    """Take away what `fit` kept to go on from."""
    for phase in ("trial", "final"):
        (folder / f"{name}.{phase}.npz").unlink(missing_ok=True)


def _try_rounds(
    rows: TrainingRows,
    parts: Sequence[Mask],
    settings: Boosting,
    seed: int,
    classes: int,
    name: str,
    path: Path | None,
) -> Trial:
    """Grow the models of all parts block by block, as long as they get better on what is held out."""
    learnt = [rows.matrix(~part, bins=settings.max_bin) for part in parts]
    held = [rows.matrix(part, m, bins=settings.max_bin) for part, m in zip(parts, learnt, strict=True)]
    growth = Growth(parameters(settings, seed, classes), learnt, path)
    best = growth.resume()
    rows.team.agree(growth.done, name)
    values = dict(best.value)
    with closing(ProgressLine(settings.rounds, name, "rounds", rows=len(rows.label))) as line:
        line.begin(growth.done)
        for done in [*range(0, settings.rounds, settings.early_stopping_interval), settings.rounds]:
            if done in values:
                continue
            if rows.team.first_decides(line.enough) or (values and _is_over(best, settings)):
                break
            growth.grow(done, line)
            if done or rows.margin is not None:
                out = [rows.predict(b, m) for b, m in zip(growth.boosters, held, strict=True)]
            else:  # XGBoost finds its start with the first tree; before that it predicts no mean of anything
                out = [_mean(rows.label[~part], int(part.sum()), classes) for part in parts]
            values[done] = rows.team.of_first(partial(_held_out_value, rows, parts, out, settings, classes))
            if done == 0 or values[done] < values[best.rounds]:
                best = Trial(done, values, bytes(growth.boosters[0].save_raw("ubj")), out, done)
            best = replace(best, value=dict(values), grown=done)
            if rows.team.first:
                growth.keep(best)
            line.show(done, f"held out {values[done]:.4f}")
    return best


def _is_over(trial: Trial, settings: Boosting) -> bool:
    return trial.grown - trial.rounds >= settings.patience * settings.early_stopping_interval


def _final(
    rows: TrainingRows, settings: Boosting, seed: int, classes: int, rounds: int, name: str, path: Path | None
) -> xgb.Booster:
    """A booster of so many rounds on all rows."""
    everything = rows.matrix(np.ones(len(rows.label), bool), bins=settings.max_bin)
    growth = Growth(parameters(settings, seed, classes), [everything], path)
    growth.resume()
    rows.team.agree(growth.done, name)
    with closing(ProgressLine(rounds, f"{name}, all rows", "rounds", rows=len(rows.label))) as line:
        line.begin(growth.done)
        while growth.done < rounds and not rows.team.first_decides(line.enough):
            growth.grow(min(growth.done + settings.early_stopping_interval, rounds), line)
            if rows.team.first:
                growth.keep(Trial())
            line.show(growth.done)
    log_loss(rows.predict(growth.boosters[0], everything), rows.label, classes)
    return growth.boosters[0]


def _held_out_value(
    rows: TrainingRows, parts: Sequence[Mask], out: Sequence[Floats], settings: Boosting, classes: int
) -> float:
    """What early stopping makes small: the log loss, or one minus the average precision."""
    label = np.concatenate([rows.label[part] for part in parts])
    loss = log_loss(np.concatenate(out), label, classes)
    if settings.early_stopping_metric == "log_loss":
        return loss
    return 1 - held_out_ap([(p, rows.label[part]) for p, part in zip(out, parts, strict=True)], classes)


def _judged(rows: TrainingRows, classes: int) -> int:
    """How many classes are judged: 1 for binary labels, else those with a rival, or all without any."""
    if not classes:
        return 1
    return classes if rows.rival is None else rows.rival.shape[1]


def _too_few(rows: TrainingRows, classes: int) -> dict[int, str]:
    """Of each class that cannot be judged, why."""
    count = images_by_class(rows.label, rows.image, max(classes, 2))
    if not classes:
        count = count[1:]
    out = {}
    for k, n in enumerate(count[: _judged(rows, classes)].tolist()):
        if n < FEWEST:
            out[k] = f"{n} image{'s' * (n != 1)} with a positive row"
        elif not classes and rows.label.all():
            out[k] = "no negative row"
    return out


def _verdicts(rows: TrainingRows, parts: list[Mask], held: Sequence[Floats]) -> dict[int, Verdict]:
    """Of each judged class with positives, how the held-out probabilities compare with the rival's."""
    if rows.rival is None:
        return {}
    rival = rows.rival.reshape(len(rows.label), -1)
    binary = rows.rival.ndim == 1
    positive = rows.label[:, None] == (np.ones(1) if binary else np.arange(rival.shape[1]))
    counts = np.ones(rival.shape, bool) if rows.counts is None else rows.counts
    out = {}
    for k in range(rival.shape[1]):
        compared = []
        for part, probability in zip(parts, held, strict=True):
            i = np.flatnonzero(part & counts[:, k])
            mine = probability.reshape(len(probability), -1)[counts[part, k], k]
            compared.append((mine, rival[i, k], positive[i, k]))
        verdict = compare_with_rival(compared)
        if verdict is not None:
            out[k] = verdict
    return out


def _mean(label: NDArray[Any], n: int, classes: int) -> Floats:
    """The share of the labels (of each class), for n rows."""
    if not classes:
        return np.full(n, label.mean(), np.float32)
    share = np.bincount(label.astype(np.int64), minlength=classes) / len(label)
    return np.tile(share.astype(np.float32), (n, 1))


def log_odds(probability: NDArray[Any]) -> Floats:
    """log(p / (1 - p)), p kept off 0 and 1."""
    p = np.clip(probability, EPSILON, 1 - EPSILON)
    return np.asarray(np.log(p / (1 - p)), np.float32)
