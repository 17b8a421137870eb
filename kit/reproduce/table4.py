"""The paper's table 4: "is" by attribute, with its best and its worst class."""

from __future__ import annotations

from typing import Any

import numpy as np

from kit.base.split_names import SplitName
from kit.pipeline.stages.evaluate_attributes import read_table
from kit.reproduce.experiment import TITLES, Claim, Experiment, mean_std, scored_splits
from kit.reproduce.whole_runs import FULL, run_full, source_changes


def run_table4(experiment: Experiment) -> dict[str, Any]:
    """AP by attribute, validation and hidden test, and which class was best and worst most often."""
    run_full(experiment)
    splits = scored_splits(experiment.config)
    given, stages = source_changes(experiment), [_stage(split) for split in splits]
    jobs = [experiment.job(FULL, seed, given, stages, own_schedule=True) for seed in experiment.seeds]
    experiment.run_all(jobs, "attributes")
    tables = [[_rows(experiment, seed, split) for split in splits] for seed in experiment.seeds]
    names = list(dict.fromkeys(name for own in tables for table in own for name in table))
    rows = []
    for name in names:
        row: dict[str, Any] = {"attribute": name}
        for i, split in enumerate(splits):
            own = [table[i][name] for table in tables if name in table[i]]
            row[TITLES[split]] = mean_std([r["AP"] for r in own])
        all_ = [table[name] for own_ in tables for table in own_ if name in table]
        row |= {key: _often([r[key] for r in all_]) for key in ("best", "worst")}
        rows.append(row)
    means = [np.mean([r["AP"] for r in table.values()]) for own_ in tables for table in own_]
    learned = bool(means) and min(means) > 0
    claim = Claim("every attribute is learned", learned, f"mean AP {np.mean(means or [0]):.3f}")
    return {"rows": rows, "claims": [claim.as_dict()]}


def _stage(split: SplitName) -> str:
    return f"evaluate-{split}-attributes"


def _rows(experiment: Experiment, seed: int, split: SplitName) -> dict[str, dict[str, Any]]:
    return {row["attribute"]: row for row in read_table(experiment.path(FULL, seed) / _stage(split))}


def _often(names: list[str]) -> str:
    return max(dict.fromkeys(names), key=names.count)
