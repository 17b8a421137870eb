"""Early stopping of the spatial model: by the average precision (paper 3.1) or by the log loss of held-out rows."""

from __future__ import annotations

import hashlib
import json
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Any, get_args

import numpy as np

from kit.base.errors import KitError
from kit.base.hashes import sha256_of
from kit.base.progress import track
from kit.base.threads import use_threads
from kit.config import Boosting, Prior, Spatial
from kit.data.split_tables import SplitTables
from kit.pipeline.feature_signature import feature_signature
from kit.pipeline.pipeline import Pipeline
from kit.pipeline.run import Run
from kit.pipeline.splits import split_inputs, split_tables
from kit.pipeline.stage import require
from kit.relation.prior_model import train_prior
from kit.relation.spatial_model import SpatialScorer, train_spatial
from kit.reproduce.cross_validation import OTHERS, cross_validate, mean_interval
from kit.reproduce.experiment import Claim, Doubles, Experiment

FOLDS = 5
METRICS: tuple[str, ...] = get_args(Boosting.model_fields["early_stopping_metric"].annotation)
LOSS, PRECISION = METRICS


def run_early_stopping(experiment: Experiment) -> dict[str, Any]:
    """Cross-validate the config's spatial model on the training split by both metrics, the same folds for both.

    Every seed deals the images into five folds anew. Models are kept below the experiment's folder, and taken
    from there where it is done again. Raises KitError where files are missing, the split has fewer images than
    folds, or several jobs are asked for.
    """
    if experiment.jobs > 1:
        raise KitError("--jobs does not go with early-stopping", "it trains in one process: set threads")
    config, relation = experiment.config, experiment.config.relation
    for given in split_inputs(config, "train"):
        require(given)
    use_threads(config.cpu_threads)
    split = split_tables(config, "train")
    if len(split.objects.images) < FOLDS:
        raise KitError(
            f"data.train: {len(split.objects.images)} images, too few for {FOLDS} folds", "give more images"
        )
    folder = experiment.folder / f"models-{_made_from(Run(config, experiment.folder))}"
    tried = [(metric, seed) for seed in experiment.seeds for metric in METRICS]
    ap: dict[str, list[Doubles]] = {metric: [] for metric in METRICS}
    for metric, seed in track(tried, len(tried), "cross-validation"):
        settings = relation.spatial.model_copy(update={"early_stopping_metric": metric})
        kept = folder / f"{metric}-{seed}"
        train = partial(_train, prior=relation.prior, spatial=settings, seed=seed, folder=kept)
        ap[metric].append(cross_validate(split, train, FOLDS, seed))
    values = {metric: np.concatenate(parts) for metric, parts in ap.items()}
    return {"rows": rows_of(values), "claims": [claim_of(values).as_dict()]}


def rows_of(ap: dict[str, Doubles]) -> list[dict[str, str]]:
    """A row a predicate, and their mean. ap: by metric, (seeds × folds, predicates), NaN without truth."""
    means = {metric: _with_mean(values) for metric, values in ap.items()}
    rows = []
    for k, name in enumerate([*OTHERS, "mean"]):
        loss, precision = means[LOSS][:, k], means[PRECISION][:, k]
        row = {"predicate": name, "folds": str(int((~np.isnan(loss)).sum()))}
        row |= {metric: _cell("{:.3f}", mean_interval(means[metric][:, k], FOLDS)[0]) for metric in METRICS}
        rows.append({**row, "difference": _cell("{:+.3f} ± {:.3f}", *mean_interval(precision - loss, FOLDS))})
    return rows


def claim_of(ap: dict[str, Doubles]) -> Claim:
    """Whether the mean of the predicates by AP is ahead, or no further behind than chance. ap: as of `rows_of`."""
    text = "early stopping by AP is as good as by log loss"
    mean, half = mean_interval((_with_mean(ap[PRECISION]) - _with_mean(ap[LOSS]))[:, -1], FOLDS)
    if not isfinite(half):
        return Claim(text, False, "too few folds with a truth to tell")
    noise = ", within the noise" if abs(mean) <= half else ""
    return Claim(text, mean + half >= 0, f"{mean:+.3f} ± {half:.3f}{noise}")


def _with_mean(ap: Doubles) -> Doubles:
    """With a last column: of each fold the mean of the predicates that it has, NaN without any."""
    known = ~np.isnan(ap)
    count = known.sum(axis=1)
    mean = np.where(count, np.where(known, ap, 0).sum(axis=1) / np.maximum(count, 1), np.nan)
    return np.column_stack([ap, mean])


def _cell(form: str, *values: float) -> str:
    """Figures in a cell; an empty one where there are none to tell."""
    return form.format(*values) if all(map(isfinite, values)) else ""


def _made_from(run: Run) -> str:
    """What the models are made from, in short: settings, the split's files by content, the code of both stages."""
    files, stages = run.config.data.train, Pipeline(run).stages
    relation = run.config.relation.model_dump(mode="json", include={"prior", "spatial"})
    code = [feature_signature(run), *(stages[name].version for name in ("prior", "spatial"))]
    content = [relation, FOLDS, code, *map(sha256_of, [*files.relations, *files.boxes, *files.labels])]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:12]


def _train(
    part: SplitTables, fold: int, *, prior: Prior, spatial: Spatial, seed: int, folder: Path
) -> SpatialScorer:
    kept = folder / str(fold)
    kept.mkdir(parents=True, exist_ok=True)
    return train_spatial(part, train_prior(part, prior), spatial, seed, kept)
