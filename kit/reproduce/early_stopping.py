"""Early stopping of the spatial model: by the average precision (paper 3.1) or by the log loss of held-out rows."""

from __future__ import annotations

from math import isfinite
from typing import Any, get_args

import numpy as np

from kit.config import Boosting
from kit.reproduce.cross_validation import OTHERS, cell, mean_interval, with_mean
from kit.reproduce.experiment import Claim, Doubles, Experiment
from kit.reproduce.spatial_trials import FOLDS, Trial, cross_validate_trials

METRICS: tuple[str, ...] = get_args(Boosting.model_fields["early_stopping_metric"].annotation)
LOSS, PRECISION = METRICS


def run_early_stopping(experiment: Experiment) -> dict[str, Any]:
    """Cross-validate the config's spatial model on the training split by both metrics (`cross_validate_trials`)."""
    spatial = experiment.config.relation.spatial
    trials = [Trial(m, spatial.model_copy(update={"early_stopping_metric": m})) for m in METRICS]
    ap = cross_validate_trials(experiment, "early-stopping", trials)
    return {"rows": rows_of(ap), "claims": [claim_of(ap).as_dict()]}


def rows_of(ap: dict[str, Doubles]) -> list[dict[str, str]]:
    """A row a predicate, and their mean. ap: by metric, (seeds × folds, predicates), NaN without truth."""
    means = {metric: with_mean(values) for metric, values in ap.items()}
    rows = []
    for k, name in enumerate([*OTHERS, "mean"]):
        loss, precision = means[LOSS][:, k], means[PRECISION][:, k]
        row = {"predicate": name, "folds": str(int((~np.isnan(loss)).sum()))}
        row |= {metric: cell("{:.3f}", mean_interval(means[metric][:, k], FOLDS)[0]) for metric in METRICS}
        rows.append({**row, "difference": cell("{:+.3f} ± {:.3f}", *mean_interval(precision - loss, FOLDS))})
    return rows


def claim_of(ap: dict[str, Doubles]) -> Claim:
    """Whether the mean of the predicates by AP is ahead, or no further behind than chance. ap: as of `rows_of`."""
    text = "early stopping by AP is as good as by log loss"
    mean, half = mean_interval((with_mean(ap[PRECISION]) - with_mean(ap[LOSS]))[:, -1], FOLDS)
    if not isfinite(half):
        return Claim(text, False, "too few folds with a truth to tell")
    noise = ", within the noise" if abs(mean) <= half else ""
    return Claim(text, mean + half >= 0, f"{mean:+.3f} ± {half:.3f}{noise}")
