"""What a submission is sent with: the run that it comes from, and that run's own score."""

from __future__ import annotations

from pathlib import Path

from kit.pipeline.pipeline import Pipeline
from kit.pipeline.run import Run
from kit.pipeline.stages.evaluate_relations import evaluate_stage


def run_of(file: Path) -> Path | None:
    """The folder of the run that wrote a submission file; None where it lies elsewhere."""
    folder = file.resolve().parent
    ours = folder.name.split("-")[0] == "submission" and (folder / "stage.json").exists()
    return folder.parent if ours else None


def scorer_of(run: Run, file: Path) -> str | None:
    """The scorer that made a run's submission file."""
    record = run.record(file.resolve().parent.name)
    return record["metrics"].get("scorer") if record else None


def local_score(run: Run, file: Path) -> float | None:
    """The final score on the validation split, where it and the submission are fresh: made by the same models."""
    scorer = scorer_of(run, file)
    if scorer is None:
        return None
    pipeline = Pipeline(run)
    name = evaluate_stage(run.config, "val", scorer)
    if name not in pipeline.stages:
        return None
    states = pipeline.status([name, file.resolve().parent.name])
    if any(status.state != "finished" for status in states):
        return None
    return float((run.record(name) or {})["metrics"]["final_score"])
