"""What each part of the pipeline is worth: the final score without it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from kit.base.split_names import SplitName
from kit.config import load_config
from kit.reproduce.experiment import TITLES, Claim, Doubles, Experiment, beside, mean_std, scored_splits
from kit.reproduce.whole_runs import FULL, evaluation, run_full, source_changes, whole_job


def variants(experiment: Experiment) -> dict[str, dict[str, Any]]:
    """The settings that take a part away, by the part's name."""
    detector = experiment.config.detector
    first = next(iter(detector.models))
    own = detector.models[first].model_dump(mode="json")
    view = detector.inference.views[0].model_dump(mode="json")
    return {
        "views": {"detector.inference.views": [view]},
        "fusion": {"detector.models": {first: own}},
        "partial weight transfer": {"detector.initial_weights": "new-heads"},
        "visual": {"relation.visual": None},
        "stack": {"relation.scorer": "average"},
        "is": {"relation.attributes": False},
    }


def run_ablation(experiment: Experiment) -> dict[str, Any]:
    """The final score with everything and without each part, validation and hidden test; with the claims."""
    run_full(experiment)
    splits = scored_splits(experiment.config)
    given, jobs = source_changes(experiment), []
    for name, changes in variants(experiment).items():
        for seed in experiment.seeds:
            start_from(experiment.path(FULL, seed), experiment.path(_slug(name), seed))
            own = {key: value for key, value in given.items() if kept(key, changes)}
            job = experiment.job(_slug(name), seed, {**changes, **own}, [], own_schedule=True)
            jobs.append(replace(job, stages=whole_job(load_config(str(job.config)))))
    experiment.run_all(jobs, "ablation")
    full = {split: _scores(experiment, FULL, split) for split in splits}
    rows: list[dict[str, str]] = [{"without": "nothing", **_row(full, dict.fromkeys(splits))}]
    claims = []
    for name in variants(experiment):
        scores = {split: _scores(experiment, _slug(name), split) for split in splits}
        losses = {split: full[split] - scores[split] for split in splits}
        rows.append({"without": name, **_row(scores, losses)})
        claims.append(worth(name, losses))
    return {"rows": rows, "claims": [claim.as_dict() for claim in claims]}


def _row(scores: dict[SplitName, Doubles], losses: Mapping[SplitName, Doubles | None]) -> dict[str, str]:
    """The columns of the scores, then those of what is lost."""
    lost = {f"loss, {TITLES[s]}": "" if loss is None else mean_std(loss) for s, loss in losses.items()}
    return {TITLES[split]: mean_std(values) for split, values in scores.items()} | lost


def worth(name: str, losses: dict[SplitName, Doubles]) -> Claim:
    """Whether a part earns its place: the score falls without it. losses: by split, then by seed, (seeds,).

    By the mean of the splits, each of which is told beside it. It has to be larger than its standard deviation over
    the seeds; one seed has none.
    """
    loss = np.mean(list(losses.values()), axis=0)
    mean, figures, spread = float(loss.mean()), f"{loss.mean():+.3f}", 0.0
    if len(loss) > 1:
        spread = float(loss.std(ddof=1))
        noise = ", within the noise" if abs(mean) <= spread else ""
        figures += f" ± {spread:.3f}{noise}"
    by_split = {split: float(values.mean()) for split, values in losses.items()}
    return Claim(f"{name} earns its place", mean > spread, figures + beside(by_split))


def start_from(base: Path, folder: Path) -> None:
    """Give a new run the finished stages of another; those with other settings are done again."""
    if folder.exists():
        return
    for stage in sorted(base.glob("*/stage.json")):
        shutil.copytree(stage.parent, folder / stage.parent.name)


def kept(key: str, changes: dict[str, Any]) -> bool:
    """Whether a dotted setting still has its place after the changes."""
    models = changes.get("detector.models")
    return models is None or key.split(".")[2] in models


def _scores(experiment: Experiment, variant: str, split: SplitName) -> Doubles:
    found = [evaluation(experiment, variant, seed, split) for seed in experiment.seeds]
    return np.asarray([f["scores"]["final_score"] for f in found])


def _slug(name: str) -> str:
    return "without-" + name.replace(" ", "-")
