"""The paper's table 1 and section 2.1: what partial weight transfer, blending and views are worth."""

from __future__ import annotations

from typing import Any

import numpy as np

from kit.base.split_names import SplitName
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

STARTS = {"scratch": "from scratch", "new-heads": "new heads", "pwt": "partial weight transfer"}
UNMATCHED = "PWT, unmatched classes from the new heads' detector"  # the second way of 2.1
ALL_STARTS = {**STARTS, "unmatched": UNMATCHED}


def run_table1(experiment: Experiment) -> dict[str, Any]:
    """Train, evaluate and compare; the results, with the claims, also in `table1.json` and `table1.png`."""
    names = experiment.detectors()
    first, metric = names[0], experiment.keep_metric()
    hidden = scored_splits(experiment.config)[1:]
    splits: list[SplitName] = ["val", "stack", *hidden]
    _train(experiment, names, splits, [f"detector-{first}", *map(detections_stage, hidden)])
    curves = {title: experiment.curves(start, f"detector-{first}") for start, title in ALL_STARTS.items()}
    draw_curves(experiment.folder / "table1.png", f"Cascade R-CNN ({first}): where the weights start", curves)
    rows = []
    for start, title in ALL_STARTS.items():
        found = {TITLES[s]: mean_std([t[0]["mAP"] for t in experiment.table1(start, s)]) for s in hidden}
        rows.append({"detector": f"{first}, {title}", "val": mean_std(curves[title][1][:, -1]), **found})
    tables = {split: experiment.table1("pwt", split) for split in splits}
    for i, row in enumerate(tables["val"][0]):
        values = {split: [table[i]["mAP"] for table in own] for split, own in tables.items()}
        shown = {TITLES[split]: mean_std(v) for split, v in values.items()}
        rows.append({"detector": f"PWT: {row['detector']}", **shown})
    points = {title: _by_iteration(*curve) for title, curve in curves.items()}
    claims = claims_of(curves, tables, names)
    return {
        "metric": metric,
        "rows": rows,
        "curves": points,
        "claims": [claim.as_dict() for claim in claims],
    }


def _train(experiment: Experiment, names: list[str], splits: list[SplitName], stages: list[str]) -> None:
    """Every detector by partial weight transfer, scored on the splits; the first from every start.

    stages: of a start, whose config has the first detector alone.
    """
    weights = experiment.sources(names)
    given: dict[str, Any] = {f"detector.models.{name}.weights": str(path) for name, path in weights.items()}
    given |= {f"detector.models.{name}.unmatched": "random" for name in names}
    alone = experiment.one_detector(names[0], weights[names[0]])
    scored = [*(f"detector-{name}" for name in names), *map(detections_stage, splits)]
    jobs = []
    for seed in experiment.seeds:
        jobs.append(experiment.job("pwt", seed, {**given, "detector.initial_weights": "pwt"}, scored))
        for start in ("new-heads", "scratch"):
            jobs.append(experiment.job(start, seed, {**alone, "detector.initial_weights": start}, stages))
    experiment.run_all(jobs, "table 1")
    jobs = []
    for seed in experiment.seeds:
        donor = experiment.path("new-heads", seed) / f"detector-{names[0]}" / "weights.pth"
        unmatched = {f"detector.models.{names[0]}.unmatched": str(donor)}
        changes = {**alone, "detector.initial_weights": "pwt", **unmatched}
        jobs.append(experiment.job("unmatched", seed, changes, stages))
    experiment.run_all(jobs, "table 1, unmatched classes")


def _by_iteration(iterations: Doubles, ap: Doubles) -> dict[str, str]:
    return {f"{i:.0f}": mean_std(ap[:, k]) for k, i in enumerate(iterations)}


def reaches(iterations: Doubles, ap: Doubles, wanted: float) -> float | None:
    """The iteration where a curve, straight between its points, first has `wanted`; None where it never has."""
    above = np.flatnonzero(ap >= wanted)
    if not len(above):
        return None
    k = above[0]
    if k == 0:
        return float(iterations[0])
    share = (wanted - ap[k - 1]) / (ap[k] - ap[k - 1])
    return float(iterations[k - 1] + share * (iterations[k] - iterations[k - 1]))


def claims_of(
    curves: dict[str, tuple[Doubles, Doubles]],
    tables: dict[SplitName, list[list[dict[str, Any]]]],
    names: list[str],
) -> list[Claim]:
    """What the paper says of table 1. curves: iterations and mAP, by start; tables: rows by split and seed."""
    iterations, pwt = (values for values in curves[STARTS["pwt"]])
    heads = curves[STARTS["new-heads"]][1]
    scratch = curves[STARTS["scratch"]][1]
    half = iterations <= iterations[-1] / 2
    lead = (pwt.mean(axis=0) - np.maximum(heads.mean(axis=0), scratch.mean(axis=0)))[half]
    last = pwt[:, -1].mean() - max(heads[:, -1].mean(), scratch[:, -1].mean())
    at = reaches(iterations, pwt.mean(axis=0), float(heads[:, -1].mean()))
    claims = [
        Claim(
            "PWT is ahead at every point of the first half",
            bool((lead > 0).all()),
            f"smallest lead {lead.min():+.3f}",
        ),
        Claim("PWT is not behind at the end", bool(last >= 0), f"{last:+.3f}"),
        Claim(
            "PWT needs fewer iterations to the new heads' final mAP",
            at is not None and at < iterations[-1],
            "never reached" if at is None else f"{at:.0f} of {iterations[-1]:.0f}",
        ),
    ]
    for split, own in tables.items():
        by_name = {row["detector"]: [t[i]["mAP"] for t in own] for i, row in enumerate(own[0])}
        best = max(np.mean(by_name[name]) for name in names)
        final = float(np.mean(list(by_name.values())[-1]))
        text = f"{list(by_name)[-1]} is ahead of the best single model ({TITLES[split]})"
        claims.append(Claim(text, bool(final > best), f"{final:.3f} against {best:.3f}"))
    highest = max(row["mAP"] for own in tables.values() for table in own for row in table)
    claims.append(
        Claim("the data is hard enough: no detector reaches 0.9", bool(highest < 0.9), f"{highest:.3f}")
    )
    return claims
