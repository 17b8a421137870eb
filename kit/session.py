"""A run, opened: the same object serves the command line and a notebook.

    import kit
    run = kit.open_run("mini")
    run.make("spatial")
    run.metrics()

Heavy libraries are imported by the method that needs them.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit.base.split_names import SplitName

if TYPE_CHECKING:
    from pandas import DataFrame

    from kit.config import Config
    from kit.metric.relations import Scores
    from kit.pipeline.pipeline import Pipeline
    from kit.pipeline.run import Run
    from kit.tables.schema import Table


CONFIG = "config.yaml"  # of a run, in its folder
SCORED = ("scored-candidates-val", "scored-candidates-test", "predict-val", "predict-test", "submission")


def open_run(
    config: str = "mini", overrides: Sequence[str] = (), folder: Path | str | None = None
) -> Session:
    """Open the run of a configuration.

    config: a YAML file or the name of one that comes with kit; overrides: texts `a.b=value`; folder: of the run, or
    its address; default that of the config. Raises KitError, one line, where the configuration is wrong.
    """
    from kit.base.remote_place import local_place
    from kit.config import load_config

    return Session(
        load_config(config, overrides), None if folder is None else local_place(str(folder), "runs")
    )


def open_folder(folder: Path, overrides: Sequence[str] = ()) -> Session:
    """Open a run by its folder, with the configuration in it. Raises KitError where there is none."""
    from kit.base.errors import KitError
    from kit.pipeline.remote_run import fetch_config

    fetch_config(folder)
    path = folder / CONFIG
    if not path.is_file():
        raise KitError(f"{folder}: no run folder (it has no {CONFIG})", "give the folder of a run")
    return open_run(str(path), overrides, folder)


class Session:
    """A run and its stages."""

    def __init__(self, config: Config, folder: Path | None = None) -> None:
        """folder: of the run, default that of the config."""
        from kit.base.threads import use_threads
        from kit.pipeline.run import Run

        self.run: Run = Run(config, folder)
        use_threads(config.cpu_threads)

    @property
    def config(self) -> Config:
        """The configuration."""
        return self.run.config

    @property
    def path(self) -> Path:
        """The run's folder."""
        return self.run.path

    @cached_property
    def pipeline(self) -> Pipeline:
        """The stages of the run."""
        from kit.pipeline.pipeline import Pipeline

        return Pipeline(self.run)

    def for_scorer(self, name: str | None) -> tuple[Session, str]:
        """Open the run so that a scorer (default `relation.scorer`) can score it; with the scorer's name.

        Candidates hold the scores of `relation.scorer` and of all that it uses; as long as models of these are
        not trained, and nothing was scored by them, the run combines by the scorer asked for instead. Raises
        KitError for a scorer that cannot be.
        """
        from kit.pipeline.models import check_scorer
        from kit.relation.scorers import stages_of

        usual = self.config.relation.scorer
        chosen = check_scorer(self.config, name or usual)
        if chosen == usual or all(self.run.record(s) for s in stages_of(self.config, usual)):
            return self, chosen
        made = ((self.run.record(name) or {}).get("metrics", {}).get("scorer") for name in SCORED)
        if usual in made:
            return self, chosen  # what the usual scorer gave is not written over
        relation = self.config.relation.model_copy(update={"scorer": chosen})
        return Session(self.config.model_copy(update={"relation": relation}), self.path), chosen

    def make(self, *names: str, force: bool = False, jobs: int = 1) -> dict[str, dict[str, Any]]:
        """Bring stages up to date, and what they need as far as that is implicit; their records by name.

        force: make the named ones again though they are fresh; jobs: stages at a time, by as many processes where
        they are several. Raises KitError.
        """
        from kit.pipeline.executor import make_stages

        make_stages(self.pipeline, self.pipeline.with_implicit(names), jobs, names if force else ())
        return {name: self.run.record(name) or {} for name in names}

    def folder(self, name: str) -> Path:
        """The folder of a finished stage. Raises KitError where it is not."""
        return self.pipeline.folder(name)

    def stages(self) -> DataFrame:
        """A row a stage of `kit train all`: stage, state, seconds, headline metric."""
        import pandas as pd

        return pd.DataFrame(status_rows(self.pipeline))

    def metrics(self) -> DataFrame:
        """A row a metric of a finished stage: stage, metric, value."""
        import pandas as pd

        rows = [
            {"stage": name, "metric": metric, "value": value}
            for name in self.pipeline.stages
            for metric, value in (self.run.record(name) or {}).get("metrics", {}).items()
        ]
        return pd.DataFrame(rows, columns=["stage", "metric", "value"])

    def runs(self) -> DataFrame:
        """A row a run folder beside this one that has a final score: run, stage, final score."""
        import pandas as pd

        from kit.base.errors import KitError
        from kit.pipeline.record import read_record

        rows = []
        for path in sorted(self.path.absolute().parent.glob("*/evaluate-*/stage.json")):
            with suppress(KitError):  # of a run that is damaged
                score = read_record(path.parent)["metrics"].get("final_score")
                if score is not None:
                    run = path.parents[1].name
                    rows.append({"run": run, "stage": path.parent.name, "final_score": score})
        return pd.DataFrame(rows, columns=["run", "stage", "final_score"])

    def table(self, name: str) -> DataFrame:
        """The rows that a finished stage made: detections, scored candidates or predictions.

        Raises KitError where the stage is not finished or makes no table.
        """
        from kit.tables.frames import to_frame

        return to_frame(self.read(name))

    def read(self, name: str) -> Table:
        """The table that a finished stage made. Raises KitError where it is not finished or makes none."""
        from kit.base.errors import KitError
        from kit.tables.shards import SHARDS, read_shards

        stage = self.pipeline.stage(name)
        if stage.table is None:
            raise KitError(f"stage {name} makes no table")
        kind = stage.table()
        return kind.concat(list(read_shards(self.folder(name) / SHARDS, kind)))

    def score(self, predictions: DataFrame, split: SplitName = "val") -> Scores:
        """The official score of predictions on a split whose truth is known."""
        from kit.metric.relations import evaluate
        from kit.pipeline.splits import split_tables
        from kit.tables.frames import from_frame
        from kit.tables.schema import Predictions

        tables = split_tables(self.config, split)
        return evaluate(tables.relations, from_frame(Predictions, predictions), tables.labels)


def status_rows(
    pipeline: Pipeline, names: Sequence[str] = (), again: Sequence[str] = (), *, alone: bool = False
) -> list[dict[str, Any]]:
    """A row a stage: stage, state, why it is stale, missing inputs, seconds, headline metric.

    names: default all of `kit train all`; again: stages that are to be made again; alone: without what they need.
    """
    rows = []
    for status in pipeline.status(names or pipeline.training, again, alone=alone):
        name, finished = status.stage.name, status.state == "finished"
        row: dict[str, Any] = {"stage": name, "state": status.state, "seconds": pipeline.seconds(name)}
        row["headline"] = pipeline.headline(name) if finished else ""
        row["why"] = list(status.reasons)
        row["missing"] = [] if finished else list(status.missing)
        rows.append(row)
    return rows
