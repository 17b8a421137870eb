"""Gradient boosting with XGBoost: early stopping, models that know their features."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from kit.base.errors import FileFault, KitError
from kit.base.files import atomic_write, reading, write_text
from kit.base.log import logger
from kit.base.threads import threads_used
from kit.config import Boosting
from kit.relation.features import Features
from kit.relation.held_out import (
    EPSILON,
    FEWEST,
    Mask,
    Verdict,
    compare_with_rival,
    held_out,
    images_by_class,
    log_loss,
)
from kit.tables.schema import Floats

AGAIN = "train it again with --force"
XGBOOST = {  # settings that are parameters of XGBoost's own
    *(
        "booster",
        "eta",
        "max_depth",
        "min_child_weight",
        "subsample",
        "colsample_bytree",
        "gamma",
        "reg_lambda",
    ),
    "device",
}


@dataclass(frozen=True, eq=False)
class TrainingRows:
    """Training rows: features, labels (n,), image (n,), the image's fold (n,), start margin (n,) or (n, classes).

    rival: probabilities by what the trees must beat, (n,), or (n, judged) for the first classes; counts: which
    rows count for each of these, all by default.
    """

    features: Features
    label: NDArray[Any]
    image: NDArray[Any]
    fold: NDArray[np.int64]
    margin: Floats | None = None
    rival: Floats | None = None
    counts: Mask | None = None

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
class BoostedModel:
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


@dataclass(frozen=True, eq=False)
class Fit:
    """The result of `fit`: a model, or None where zero rounds are best; loss: held out, by number of rounds.

    refused: for each judged class (0 for binary labels) where its rival stands, why.
    verdicts: of the classes that could be judged.
    """

    model: BoostedModel | None
    loss: dict[int, float]
    refused: dict[int, str]
    verdicts: dict[int, Verdict]


NO_TREE = "no tree lowers the held-out loss"


def fit(rows: TrainingRows, settings: Boosting, seed: int, classes: int = 0) -> Fit:
    """Fit with the number of rounds of lowest held-out log loss, and compare with the rival on the same images.

    classes: 0 for binary labels, else the number of classes. Rounds are tried in blocks; the loss is the
    log loss over the held-out images of all parts. With one part the best block's model itself is kept: with
    the booster dart later rounds rescale earlier trees, so it could not be cut out of the last one. Then the
    average precision on the same images says whether the trees beat the rival.
    """
    refused = _too_few(rows, classes)
    judged = range(_judged(rows, classes))
    if len(refused) == len(judged):
        return Fit(None, {}, refused, {})
    fewest = FEWEST if classes else 2  # of the negatives two images are something to learn from
    parts, usual = held_out(rows.label, rows.image, rows.fold, settings.folds, max(classes, 2), fewest)
    trial = _try_rounds(rows, parts, settings, seed, classes)
    if not trial.rounds and rows.margin is None:
        return Fit(None, trial.loss, dict.fromkeys(judged, NO_TREE) | refused, {})
    verdicts = _verdicts(rows, parts, trial.held)
    refused = {k: str(v) for k, v in verdicts.items() if not v.better} | refused
    if not trial.rounds or len(refused) == len(judged):
        return Fit(None, trial.loss, refused, verdicts)
    params = _params(settings, seed, classes)
    if settings.folds == 1 and usual:
        booster = xgb.Booster(params, model_file=trial.raw)
    else:
        everything = rows.matrix(np.ones(len(rows.label), bool))
        booster = xgb.train(params, everything, 0)
        for i in range(trial.rounds):
            booster.update(everything, i)
        log_loss(booster.predict(everything), rows.label, classes)
    booster.feature_names = list(rows.features.names)
    return Fit(BoostedModel(booster, trial.rounds, trial.loss), trial.loss, refused, verdicts)


@dataclass(frozen=True, eq=False)
class _Trial:
    """The best number of rounds, the loss by rounds, the first part's model and all held-out probabilities."""

    rounds: int
    loss: dict[int, float]
    raw: bytearray
    held: list[Floats]


def _try_rounds(rows: TrainingRows, parts: list[Mask], settings: Boosting, seed: int, classes: int) -> _Trial:
    """Grow the models of all parts block by block, as long as the held-out loss falls."""
    params = _params(settings, seed, classes)
    train = [rows.matrix(~part) for part in parts]
    held = [rows.matrix(part) for part in parts]
    boosters = [xgb.train(params, matrix, 0) for matrix in train]
    label = np.concatenate([rows.label[part] for part in parts])
    losses: dict[int, float] = {}
    best = _Trial(0, losses, bytearray(), [])
    grown = 0
    for done in [*range(0, settings.rounds, settings.early_stopping_interval), settings.rounds]:
        for booster, matrix in zip(boosters, train, strict=True):
            for i in range(grown, done):
                booster.update(matrix, i)
        grown = done
        if done or rows.margin is not None:
            out = [b.predict(m) for b, m in zip(boosters, held, strict=True)]
        else:  # XGBoost finds its start with the first tree; before that it predicts no mean of anything
            out = [_mean(rows.label[~part], int(part.sum()), classes) for part in parts]
        losses[done] = log_loss(np.concatenate(out), label, classes)
        if done == 0 or losses[done] < losses[best.rounds]:
            best = _Trial(done, losses, boosters[0].save_raw("ubj"), out)
        elif done - best.rounds >= settings.patience * settings.early_stopping_interval:
            break
    return best


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


def _verdicts(rows: TrainingRows, parts: list[Mask], held: list[Floats]) -> dict[int, Verdict]:
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


def save(model: BoostedModel, path: Path) -> None:
    """Write a model as UBJ, and its SHA-256 beside it."""
    data = model.booster.save_raw("ubj")
    with atomic_write(path) as part:
        part.write_bytes(data)
    write_text(_digest_path(path), f"{hashlib.sha256(data).hexdigest()}  {path.name}\n")


def load(path: Path, names: tuple[str, ...], threads: int = 0) -> BoostedModel:
    """Read what `save` wrote. threads: 0 for as many as `use_threads` was given.

    Raises KitError where it is damaged or was trained on other features.
    XGBoost ends the process over some damaged models: it sees only those of the digest that was written.
    """
    threads = threads or threads_used()
    booster = xgb.Booster({"nthread": threads} if threads else None)
    with reading(path, "a model that XGBoost can read", AGAIN):
        data = path.read_bytes()
        if not _digest_path(path).exists():
            raise FileFault(path, "its SHA-256 is not beside it", hint=AGAIN)
        digest = _digest_path(path).read_text(encoding="ascii").partition(" ")[0]
        if hashlib.sha256(data).hexdigest() != digest:
            raise FileFault(path, "damaged: its SHA-256 is another one", hint=AGAIN)
        booster.load_model(bytearray(data))
    check_features(booster, names, str(path))
    return BoostedModel(booster, booster.num_boosted_rounds(), {})


def _digest_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


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
        logger.warning(f"note: XGBoost: {' '.join(text.split())}")


def _params(settings: Boosting, seed: int, classes: int) -> dict[str, Any]:
    params = {**settings.model_dump(include=XGBOOST), "tree_method": "hist", "seed": seed}
    params |= (
        {"objective": "multi:softprob", "num_class": classes} if classes else {"objective": "binary:logistic"}
    )
    if settings.booster == "dart":
        params["rate_drop"] = settings.rate_drop
    threads = settings.threads or threads_used()
    if threads:
        params["nthread"] = threads
    return params
