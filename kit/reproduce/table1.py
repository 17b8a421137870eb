"""The paper's table 1 and section 2.1: what partial weight transfer, blending and views are worth."""

from __future__ import annotations

from typing import Any

import numpy as np

from kit.pipeline.detector_task import detection_metric
from kit.reproduce.experiment import Claim, Doubles, Experiment, draw_curves, mean_std

STARTS = {"scratch": "from scratch", "new-heads": "new heads", "pwt": "partial weight transfer"}
UNMATCHED = "PWT, unmatched classes from the new heads' detector"  # the second way of 2.1


def run_table1(experiment: Experiment) -> dict[str, Any]:
    """Train, evaluate and compare; the results, with the claims, also in `table1.json` and `table1.png`."""
    names = experiment.detectors()
    first, weights = names[0], experiment.sources(names)
    given = {f"detector.models.{name}.weights": str(path) for name, path in weights.items()}
    jobs = []
    for seed in experiment.seeds:
        stages = [f"detector-{name}" for name in names]
        stages += [f"evaluate-{split}-detections" for split in ("val", "stack")]
        jobs.append(experiment.job("pwt", seed, {**given, "detector.initial_weights": "pwt"}, stages))
        for start in ("new-heads", "scratch"):
            changes = {**given, "detector.initial_weights": start}
            jobs.append(experiment.job(start, seed, changes, [f"detector-{first}"]))
    experiment.run_all(jobs, "table 1")
    jobs = []
    for seed in experiment.seeds:
        donor = experiment.path("new-heads", seed) / f"detector-{first}" / "weights.pth"
        changes = {
            **given,
            "detector.initial_weights": "pwt",
            f"detector.models.{first}.unmatched": str(donor),
        }
        jobs.append(experiment.job("unmatched", seed, changes, [f"detector-{first}"]))
    experiment.run_all(jobs, "table 1, unmatched classes")
    starts = {**STARTS, "unmatched": UNMATCHED}
    curves = {title: experiment.curves(start, f"detector-{first}") for start, title in starts.items()}
    draw_curves(experiment.folder / "table1.png", f"Cascade R-CNN ({first}): where the weights start", curves)
    rows = [
        {"detector": f"{first}, {title}", "val": mean_std(ap[:, -1])} for title, (_, ap) in curves.items()
    ]
    tables = {split: experiment.table1("pwt", split) for split in ("val", "stack")}
    for i, row in enumerate(tables["val"][0]):
        values = {split: [table[i]["mAP"] for table in own] for split, own in tables.items()}
        rows.append({"detector": f"PWT: {row['detector']}", **{s: mean_std(v) for s, v in values.items()}})
    points = {title: _by_iteration(*curve) for title, curve in curves.items()}
    claims = claims_of(curves, tables, names)
    return {
        "metric": detection_metric(experiment.config),
        "rows": rows,
        "curves": points,
        "claims": [claim.as_dict() for claim in claims],
    }


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
    tables: dict[str, list[list[dict[str, Any]]]],
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
        text = f"{list(by_name)[-1]} is ahead of the best single model ({split})"
        claims.append(Claim(text, bool(final > best), f"{final:.3f} against {best:.3f}"))
    highest = max(row["mAP"] for own in tables.values() for table in own for row in table)
    claims.append(
        Claim("the data is hard enough: no detector reaches 0.9", bool(highest < 0.9), f"{highest:.3f}")
    )
    return claims
