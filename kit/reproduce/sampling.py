"""Class-balanced sampling (paper 3, equations 2 and 3): N from small to infinite, by how frequent a class is."""

from __future__ import annotations

from typing import Any

import numpy as np

from kit.detector.class_balanced_sampling import image_counts
from kit.pipeline.splits import CLASSES, split_boxes
from kit.reproduce.experiment import Claim, Doubles, Experiment, draw_curves, mean_std

LIMITS = (10, 30, 100, None)  # N; None is the plain distribution
THIRDS = ("rare", "middle", "frequent")


def run_sampling(experiment: Experiment, limits: tuple[int | None, ...] = LIMITS) -> dict[str, Any]:
    """Train with every N and compare; the results, with the claims, also in `sampling.json` and `.png`."""
    name = experiment.detectors()[0]
    weights = experiment.sources([name])[name]
    model = {**experiment.config.detector.models[name].model_dump(mode="json"), "weights": str(weights)}
    view = experiment.config.detector.inference.views[0].model_dump(mode="json")
    changes: dict[str, Any] = {
        "detector.models": {name: model},
        "detector.inference.views": [view],
        "attribute.models": [],
        "relation.visual": None,
    }
    stages = [f"detector-{name}", "evaluate-val-detections", "evaluate-stack-detections"]
    jobs = [
        experiment.job(_variant(limit), seed, {**changes, "detector.sampling_limit": limit}, stages)
        for seed in experiment.seeds
        for limit in limits
    ]
    experiment.run_all(jobs, "sampling")
    curves = {_title(n): experiment.curves(_variant(n), f"detector-{name}") for n in limits}
    draw_curves(experiment.folder / "sampling.png", f"Class-balanced sampling ({name})", curves)
    third = class_thirds(experiment)
    values = {limit: _values(experiment, limit, third) for limit in limits}
    rows = [
        {"N": _title(limit), **{key: mean_std(v) for key, v in own.items()}} for limit, own in values.items()
    ]
    return {"rows": rows, "claims": [claim.as_dict() for claim in claims_of(values)]}


def class_thirds(experiment: Experiment) -> dict[str, set[str]]:
    """Names of the classes in each third by how many training images show them."""
    counts = image_counts(split_boxes(experiment.config, "train"))
    order = np.argsort(counts, kind="stable")
    parts = np.array_split(order, len(THIRDS))
    return {third: {CLASSES[k] for k in part} for third, part in zip(THIRDS, parts, strict=True)}


def _values(experiment: Experiment, limit: int | None, third: dict[str, set[str]]) -> dict[str, Doubles]:
    """MAP per seed: of all classes and of each third, the mean of validation and stack split."""
    splits = [experiment.table1(_variant(limit), split) for split in ("val", "stack")]
    result = {"all": np.asarray([[t[0]["mAP"] for t in tables] for tables in splits]).mean(axis=0)}
    for key, names in third.items():
        ap = [
            [np.mean([a for n, a in t[0]["AP"].items() if n in names]) for t in tables] for tables in splits
        ]
        result[key] = np.asarray(ap).mean(axis=0)
    return result


def claims_of(values: dict[int | None, dict[str, Doubles]]) -> list[Claim]:
    """What the paper says of balanced sampling. values: mAP by N, then by third of the classes, (seeds,)."""
    plain = {key: float(v.mean()) for key, v in values[None].items()}
    limited = [limit for limit in values if limit is not None]
    best = max(limited, key=lambda limit: float(values[limit]["all"].mean()))
    gain = {key: float(v.mean()) - plain[key] for key, v in values[best].items()}
    return [
        Claim("balanced sampling is ahead of plain", gain["all"] > 0, f"N={best}: {gain['all']:+.3f}"),
        Claim(
            "most on the rare third of the classes",
            gain["rare"] > max(gain["middle"], gain["frequent"], 0.0),
            ", ".join(f"{key} {gain[key]:+.3f}" for key in THIRDS),
        ),
    ]


def _variant(limit: int | None) -> str:
    return "plain" if limit is None else f"n{limit}"


def _title(limit: int | None) -> str:
    return "∞ (plain)" if limit is None else str(limit)
