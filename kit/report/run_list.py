"""All runs of a folder: how good, when, how long, in what state, and what differs in their configurations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kit.base.errors import KitError
from kit.base.remote_place import address_of, shown_place
from kit.base.text_table import table
from kit.config import load_config
from kit.pipeline.changes import differences
from kit.pipeline.pipeline import Pipeline
from kit.pipeline.remote_run import runs_below
from kit.pipeline.run import Run
from kit.pipeline.stages.evaluate_relations import evaluate_stage, gt_stage

CONFIG = "config.yaml"
SHOWN = 4  # differences of a run that the table shows
COLUMNS = ("run", "val", "test", "val, true boxes", "last stage (UTC)", "seconds", "state")


@dataclass(frozen=True)
class RunRow:
    """A run. val, test, val_true_boxes: final scores, None where there is none; seconds: of all finished stages.

    date: when its newest stage was begun; changes: settings that differ from the first run's.
    """

    run: str
    state: str
    val: float | None = None
    test: float | None = None
    val_true_boxes: float | None = None
    date: str = ""
    seconds: float = 0.0
    changes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Its columns."""
        return asdict(self)


def list_runs(folder: Path) -> list[RunRow]:
    """The runs whose folders lie in one, the oldest first. Raises KitError where there is none."""
    elsewhere = address_of(folder) is not None
    paths = runs_below(folder) if elsewhere else sorted(p.parent for p in folder.glob(f"*/{CONFIG}"))
    if not paths:
        raise KitError(f"{shown_place(folder)}: no run in it", "give the folder that holds the runs' folders")
    found = [_described(path) for path in paths]
    found.sort(key=lambda pair: pair[0].date or "~")
    first = next((settings for _, settings in found if settings), {})
    return [_with_changes(row, first, settings) for row, settings in found]


def as_text(rows: Sequence[RunRow]) -> str:
    """The runs as a table, and below it what differs."""
    shown = []
    for row in rows:
        scores = ("" if v is None else v for v in (row.val, row.test, row.val_true_boxes))
        shown.append((row.run, *scores, row.date, round(row.seconds), row.state))
    text = table("Runs", COLUMNS, shown)
    changed = [(r.run, change) for r in rows for change in _cut(r.changes)]
    if changed:
        text += table(f"What differs from {rows[0].run}", ("run", "setting"), changed)
    return text


def _cut(changes: Sequence[str]) -> list[str]:
    more = len(changes) - SHOWN
    return [*changes[:SHOWN], *([f"and {more} more (--json has all)"] if more > 0 else [])]


def _described(path: Path) -> tuple[RunRow, dict[str, Any]]:
    """A run, and its settings; of one that cannot be read, why."""
    try:
        config = load_config(str(path / CONFIG))
        pipeline = Pipeline(Run(config, path))
        state = state_of(pipeline)
    except KitError as error:
        return RunRow(path.name, f"cannot be read: {error.message}"), {}
    records = [r for name in pipeline.stages if (r := pipeline.run.record(name))]
    scorer = config.relation.scorer
    row = RunRow(
        path.name,
        state,
        _score(pipeline, evaluate_stage(config, "val", scorer)),
        _score(pipeline, evaluate_stage(config, "test", scorer)),
        _score(pipeline, gt_stage("val", scorer)),
        max((str(r.get("started", "")) for r in records), default="")[:16].replace("T", " "),
        sum(float(r["seconds"]) for r in records),
    )
    return row, config.model_dump(mode="json", exclude={"run"})


def state_of(pipeline: Pipeline) -> str:
    """finished; stale: the first stage that is, and why; at: the first stage that is not finished.

    Of what `kit train all` makes, and of all that was made beside it.
    """
    made = [name for name in pipeline.stages if pipeline.run.record(name)]
    for status in pipeline.status([*pipeline.training, *made]):
        if status.state == "stale":
            return f"stale: {status.stage.name}{f' ({status.reasons[0]})' if status.reasons else ''}"
        if status.state != "finished":
            return f"at {status.stage.name}{' (begun)' if status.state == 'started' else ''}"
    return "finished"


def _score(pipeline: Pipeline, stage: str) -> float | None:
    value = (pipeline.run.record(stage) or {}).get("metrics", {}).get("final_score")
    return None if value is None else float(value)


def _with_changes(row: RunRow, first: dict[str, Any], settings: dict[str, Any]) -> RunRow:
    if not settings:
        return row
    before, now = ({"version": 0, "settings": s, "inputs": {}, "needs": {}} for s in (first, settings))
    changes = tuple(text.removeprefix("settings: ") for text in differences(before, now))
    return RunRow(**{**vars(row), "changes": changes})
