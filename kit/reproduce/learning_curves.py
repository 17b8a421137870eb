"""A binary model a predicate against one multiclass model (paper 2.2), by how many images they learn from."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Any, get_args

import numpy as np

from kit.config import Spatial
from kit.reproduce.cross_validation import OTHERS, cell, mean_interval, with_mean
from kit.reproduce.experiment import Claim, Doubles, Experiment, draw_curves
from kit.reproduce.spatial_trials import FOLDS, Trial, cross_validate_trials

OBJECTIVES: tuple[str, ...] = get_args(Spatial.model_fields["objective"].annotation)
BINARY, MULTICLASS = OBJECTIVES
PERCENT = (10, 25, 50, 100)  # of the images of the other folds
Curves = dict[int, dict[str, Doubles]]  # by percent, then by objective: AP (seeds × folds, predicates)


def run_learning_curves(experiment: Experiment, percent: Sequence[int] = PERCENT) -> dict[str, Any]:
    """Cross-validate both objectives on the training split at every size; curves also in `learning-curves.png`."""
    spatial = experiment.config.relation.spatial
    trials = [
        Trial(f"{objective}-{n}", spatial.model_copy(update={"objective": objective}), n / 100)
        for n in percent
        for objective in OBJECTIVES
    ]
    ap = cross_validate_trials(experiment, "learning-curves", trials)
    curves = {n: {objective: ap[f"{objective}-{n}"] for objective in OBJECTIVES} for n in percent}
    drawn = {objective: _by_seed(curves, objective) for objective in OBJECTIVES}
    draw_curves(
        experiment.folder / "learning-curves.png",
        "Spatial model: one a predicate, or one for all",
        drawn,
        x="% of the training images",
        y="mean AP on true boxes",
        bottom=None,
    )
    return {"rows": rows_of(curves), "claims": [claim_of(curves).as_dict()]}


def rows_of(curves: Curves) -> list[dict[str, str]]:
    """A row a size and predicate, and the sizes' means, which stand first."""
    rows = []
    for name in ("mean", *OTHERS):
        k = [*OTHERS, "mean"].index(name)
        for n, ap in curves.items():
            binary, multiclass = (with_mean(ap[objective])[:, k] for objective in OBJECTIVES)
            row = {"predicate": name, "% of images": str(n), "folds": str(int((~np.isnan(binary)).sum()))}
            means = {o: mean_interval(v, FOLDS)[0] for o, v in ((BINARY, binary), (MULTICLASS, multiclass))}
            row |= {objective: cell("{:.3f}", mean) for objective, mean in means.items()}
            difference = cell("{:+.3f} ± {:.3f}", *mean_interval(binary - multiclass, FOLDS))
            rows.append({**row, "difference": difference})
    return rows


def claim_of(curves: Curves) -> Claim:
    """Whether separate models are ahead at every size."""
    text = "separate binary models are ahead of one multiclass model at every size"
    gains = {
        n: mean_interval((with_mean(ap[BINARY]) - with_mean(ap[MULTICLASS]))[:, -1], FOLDS)
        for n, ap in curves.items()
    }
    if not all(isfinite(half) for _, half in gains.values()):
        return Claim(text, False, "too few folds with a truth to tell")
    figures = ", ".join(f"{n}%: {mean:+.3f} ± {half:.3f}" for n, (mean, half) in gains.items())
    return Claim(text, all(mean > 0 for mean, _ in gains.values()), figures)


def _by_seed(curves: Curves, objective: str) -> tuple[Doubles, Doubles]:
    """Sizes (points,) and the mean AP of each seed's folds, (seeds, points)."""
    folds = [with_mean(ap[objective])[:, -1].reshape(-1, FOLDS) for ap in curves.values()]
    means = [[mean_interval(seed, FOLDS)[0] for seed in values] for values in folds]
    return np.asarray(list(curves), np.float64), np.asarray(means).T
