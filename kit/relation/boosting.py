"""Gradient boosting with XGBoost: early stopping in blocks of rounds, models that know their features."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from kit.config import Boosting
from kit.errors import KitError
from kit.progress import notice
from kit.relation.features import Features
from kit.relation.statistics import FOLDS
from kit.tables.schema import Floats
from kit.threads import threads_used

LEAST = 1e-5  # probabilities are kept this far from 0 and 1 before a logarithm


@dataclass(frozen=True, eq=False)
class Rows:
    """Training rows: features, labels (n,), fold of each row's image (n,), start margin (n,) or (n, classes)."""

    features: Features
    label: NDArray[Any]
    fold: NDArray[np.int64]
    margin: Floats | None = None

    def matrix(self, rows: NDArray[np.bool_]) -> xgb.DMatrix:
        """The given rows as XGBoost takes them."""
        margin = None if self.margin is None else self.margin[rows]
        return xgb.DMatrix(
            self.features.values[rows],
            self.label[rows],
            base_margin=margin,
            feature_names=list(self.features.names),
        )


@dataclass(frozen=True, eq=False)
class Boosted:
    """A trained model. loss: held out, by number of rounds."""

    booster: xgb.Booster
    rounds: int
    loss: dict[int, float]

    def predict(self, features: Features, margin: Floats | None = None) -> Floats:
        """Probabilities, (n,) or (n, classes). Raises KitError where the features are not those trained on."""
        check_features(self.booster, features.names)
        return np.asarray(
            self.booster.inplace_predict(features.values, base_margin=margin, validate_features=False),
            np.float32,
        )


def fit(rows: Rows, settings: Boosting, seed: int, classes: int = 0) -> Boosted | None:
    """Train with the number of rounds that held-out images want; None where they want no tree at all.

    classes: 0 for binary labels, else the number of classes. Rounds are tried in blocks; the loss is the
    log loss over the held-out images of all parts. With one part the best block's model itself is kept: with
    the booster dart later rounds rescale earlier trees, so it could not be cut out of the last one.
    """
    params = _params(settings, seed, classes)
    parts = [rows.fold % max(settings.folds, 1) == k for k in range(settings.folds)]
    if settings.folds == 1:
        parts = [rows.fold == FOLDS - 1]
    parts = [part for part in parts if part.any() and not part.all()]
    boosters = [xgb.train(params, rows.matrix(~part), 0) for part in parts]
    losses, best, raw = _try_rounds(boosters, rows, parts, settings, classes)
    if not best:
        return None
    if settings.folds == 1 and raw:
        booster = xgb.Booster(params, model_file=raw)
    else:
        everything = rows.matrix(np.ones(len(rows.label), bool))
        booster = xgb.train(params, everything, 0)
        for i in range(best):
            booster.update(everything, i)
        log_loss(booster.predict(everything), rows.label, classes)
    booster.feature_names = list(rows.features.names)
    return Boosted(booster, best, losses)


def _try_rounds(
    boosters: list[xgb.Booster],
    rows: Rows,
    parts: list[NDArray[np.bool_]],
    settings: Boosting,
    classes: int,
) -> tuple[dict[int, float], int, bytearray | None]:
    """Grow all boosters block by block: loss by rounds, the best number of rounds, the first one's model."""
    if not boosters:
        return {}, settings.rounds, None
    train = [rows.matrix(~part) for part in parts]
    held = [rows.matrix(part) for part in parts]
    label = np.concatenate([rows.label[part] for part in parts])
    losses: dict[int, float] = {}
    best, raw = 0, None
    grown = 0
    for done in [*range(0, settings.rounds, settings.block), settings.rounds]:
        for booster, matrix in zip(boosters, train, strict=True):
            for i in range(grown, done):
                booster.update(matrix, i)
        grown = done
        if done or rows.margin is not None:
            out = [b.predict(m) for b, m in zip(boosters, held, strict=True)]
        else:  # XGBoost finds its start with the first tree; before that it predicts no mean of anything
            out = [_mean(rows.label[~part], int(part.sum()), classes) for part in parts]
        losses[done] = log_loss(np.concatenate(out), label, classes)
        if losses[done] < losses[best] or done == 0:
            best, raw = done, boosters[0].save_raw("ubj")
        elif done - best >= settings.patience * settings.block:
            break
    return losses, best, raw


def _mean(label: NDArray[Any], n: int, classes: int) -> Floats:
    """The share of the labels (of each class), for n rows."""
    if not classes:
        return np.full(n, label.mean(), np.float32)
    share = np.bincount(label.astype(np.int64), minlength=classes) / len(label)
    return np.tile(share.astype(np.float32), (n, 1))


def log_loss(probability: Floats, label: NDArray[Any], classes: int = 0) -> float:
    """Mean negative log-likelihood of binary labels, or of class labels with `classes` given.

    Raises KitError where it is not finite: the boosting diverged.
    """
    if classes:
        chosen = probability[np.arange(len(label)), label.astype(np.intp)]
    else:
        chosen = np.where(label > 0, probability, 1 - probability)
    loss = float(-np.log(np.clip(chosen, LEAST, 1)).mean())
    if not math.isfinite(loss):
        wrong = int((~np.isfinite(chosen)).sum())
        raise KitError(
            f"XGBoost's probabilities of {wrong:,} of {len(label):,} rows are not finite",
            "lower eta, or raise min_child_weight and reg_lambda (relation.spatial, relation.stack)",
        )
    return loss


def log_odds(probability: NDArray[Any]) -> Floats:
    """log(p / (1 - p)), p kept off 0 and 1."""
    p = np.clip(probability, LEAST, 1 - LEAST)
    return np.asarray(np.log(p / (1 - p)), np.float32)


def load(path: Path, names: tuple[str, ...], threads: int = 0) -> Boosted:
    """Read a model. Raises KitError where there is none or it was trained on other features."""
    booster = xgb.Booster({"nthread": threads} if threads else None)
    try:
        booster.load_model(path)
    except xgb.core.XGBoostError:
        raise KitError(f"{path}: not a model that XGBoost can read", "train it again with --force") from None
    check_features(booster, names, str(path))
    return Boosted(booster, booster.num_boosted_rounds(), {})


def check_features(booster: xgb.Booster, names: tuple[str, ...], path: str = "the model") -> None:
    """Raise KitError unless the booster was trained on exactly these features, in this order."""
    trained = tuple(booster.feature_names or ())
    if trained == names:
        return
    gone, new = sorted(set(trained) - set(names)), sorted(set(names) - set(trained))
    difference = [f"lacks {', '.join(gone[:3])}"] * bool(gone) + [f"adds {', '.join(new[:3])}"] * bool(new)
    raise KitError(
        f"{path} was trained on {len(trained)} other features than the {len(names)} given: "
        f"what is given {' and '.join(difference) or 'is in another order'}",
        "train it again with this version",
    )


@contextmanager
def warnings_as_notices() -> Iterator[None]:
    """XGBoost's warnings (no GPU found, say) as one line each, once."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for text in dict.fromkeys(str(w.message).split(": ", 3)[-1] for w in caught):
        notice(f"note: XGBoost: {' '.join(text.split())}")


def _params(settings: Boosting, seed: int, classes: int) -> dict[str, Any]:
    own = {"rounds", "block", "patience", "folds", "threads", "rate_drop", "objective", "start", "least"}
    params: dict[str, Any] = {**settings.model_dump(exclude=own), "tree_method": "hist", "seed": seed}
    params |= (
        {"objective": "multi:softprob", "num_class": classes} if classes else {"objective": "binary:logistic"}
    )
    if settings.booster == "dart":
        params["rate_drop"] = settings.rate_drop
    threads = settings.threads or threads_used()
    if threads:
        params["nthread"] = threads
    return params
