"""What a submission is sent with: the run that it comes from, and that run's own score."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kit.run import Run

LOCAL = "evaluate-val"


def run_of(file: Path) -> Path | None:
    """The folder of the run that wrote a submission file; None where it lies elsewhere."""
    folder = file.resolve().parent
    return folder.parent if folder.name == "submission" and (folder / "stage.json").exists() else None


def local_score(run: Run) -> float | None:
    """The final score on the validation split, where the models that made the submission have it."""
    score, val, test = (run.finished(name) for name in (LOCAL, "predict-val", "predict-test"))
    if score is None or val is None or test is None:
        return None
    now = {name: (run.finished(name) or {}).get("id") for name in score["made_from"]["after"]}
    if score["made_from"]["after"] != now or _models(val) != _models(test):
        return None
    return float(score["metrics"]["final_score"])


def _models(predicted: dict[str, Any]) -> tuple[Any, Any]:
    """What a split was predicted by."""
    return predicted["metrics"]["scorer"], predicted["made_from"]["after"].get("final")
