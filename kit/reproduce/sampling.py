"""Class-balanced sampling (paper 3, equations 2 and 3): N from small to infinite, by how frequent a class is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kit.base.split_names import SplitName
from kit.detector.class_balanced_sampling import image_counts
from kit.pipeline.splits import CLASSES, split_boxes
from kit.pipeline.stages.evaluate_detections import detections_stage
from kit.reproduce.experiment import (
    TITLES,
    Claim,
    Doubles,
    Experiment,
    draw_curves,
    mean_std,
    scored_splits,
)

Values = dict[int | None, dict[str, Doubles]]

LIMITS = (10, 30, 100, None)  # N; None is the plain distribution
CHOSEN_ON: tuple[SplitName, ...] = ("val", "stack")  # N is told by their mean
THIRDS = ("rare", "middle", "frequent")


def run_sampling(experiment: Experiment, limits: tuple[int | None, ...] = LIMITS) -> dict[str, Any]:
    """Train with every N and compare; the results, with the claims, also in `sampling.json` and `.png`."""
    name, metric = experiment.detectors()[0], experiment.keep_metric()
    changes = experiment.one_detector(name, experiment.sources([name])[name])
    stages = [f"detector-{name}", *map(detections_stage, CHOSEN_ON)]
    jobs = [
        experiment.job(_variant(limit), seed, {**changes, "detector.sampling_limit": limit}, stages)
        for seed in experiment.seeds
        for limit in limits
    ]
    experiment.run_all(jobs, "sampling")
    curves = {_title(n): experiment.curves(_variant(n), f"detector-{name}") for n in limits}
    draw_curves(experiment.folder / "sampling.png", f"Class-balanced sampling ({name})", curves)
    third = class_thirds(experiment)
    values = {limit: _values(experiment, limit, third, CHOSEN_ON) for limit in limits}
    hidden = {}
    if "test" in scored_splits(experiment.config):
        hidden = {limit: _values(experiment, limit, third, ("test",)) for limit in limits}
    rows = []
    for limit in limits:
        rows.append(_row(_title(limit), values[limit]))
        if hidden:
            rows.append(_row(f"{_title(limit)}, {TITLES['test']}", hidden[limit]))
    claims = [claim.as_dict() for claim in claims_of(values, hidden)]
    return {"metric": metric, "rows": rows, "claims": claims}


def _row(title: str, values: dict[str, Doubles]) -> dict[str, str]:
    return {"N": title, **{key: mean_std(v) for key, v in values.items()}}


def class_thirds(experiment: Experiment) -> dict[str, set[str]]:
    """Names of the classes in each third by how many training images show them."""
    counts = image_counts(split_boxes(experiment.config, "train"))
    order = np.argsort(counts, kind="stable")
    parts = np.array_split(order, len(THIRDS))
    return {third: {CLASSES[k] for k in part} for third, part in zip(THIRDS, parts, strict=True)}


def _values(
    experiment: Experiment, limit: int | None, third: dict[str, set[str]], splits: Sequence[SplitName]
) -> dict[str, Doubles]:
    """MAP per seed: of all classes and of each third, the mean of the splits."""
    by_split = [experiment.table1(_variant(limit), split) for split in splits]
    result = {"all": np.asarray([[t[0]["mAP"] for t in tables] for tables in by_split]).mean(axis=0)}
    for key, names in third.items():
        ap = [
            [np.mean([a for n, a in t[0]["AP"].items() if n in names]) for t in tables] for tables in by_split
        ]
        result[key] = np.asarray(ap).mean(axis=0)
    return result


def claims_of(values: Values, hidden: Values) -> list[Claim]:
    """What the paper says of balanced sampling, at the N that is best by `values`.

    values: mAP by N, then by third of the classes, (seeds,); hidden: those on the hidden test, or nothing.
    """
    limited = [limit for limit in values if limit is not None]
    best = max(limited, key=lambda limit: float(values[limit]["all"].mean()))
    gain = _gain(values, best)
    figures = [f"N={best}: {gain['all']:+.3f}", _thirds(gain)]
    if hidden:
        unseen = _gain(hidden, best)
        added = (f"{unseen['all']:+.3f}", _thirds(unseen))
        figures = [f"{own}; {TITLES['test']} {more}" for own, more in zip(figures, added, strict=True)]
    return [
        Claim("balanced sampling is ahead of plain", gain["all"] > 0, figures[0]),
        Claim(
            "most on the rare third of the classes",
            gain["rare"] > max(gain["middle"], gain["frequent"], 0.0),
            figures[1],
        ),
    ]


def _gain(values: Values, limit: int | None) -> dict[str, float]:
    """How far an N is ahead of the plain distribution, by third of the classes."""
    return {key: float(v.mean() - values[None][key].mean()) for key, v in values[limit].items()}


def _thirds(gain: dict[str, float]) -> str:
    return ", ".join(f"{key} {gain[key]:+.3f}" for key in THIRDS)


def _variant(limit: int | None) -> str:
    return "plain" if limit is None else f"n{limit}"


def _title(limit: int | None) -> str:
    return "∞ (plain)" if limit is None else str(limit)
