"""Stage `submission`: the file for Kaggle, from the test set's predictions."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from kit.base.progress import track
from kit.config import Config
from kit.pipeline.models import scorer_option, usable_scorers
from kit.pipeline.splits import has_detections, id_inputs, split_index
from kit.pipeline.stage import Metrics, Stage, StageContext
from kit.pipeline.stage_registry import register_stages
from kit.pipeline.stages.predictions import predict_stage
from kit.tables.shards import SHARDS, read_shards, shard_paths


@register_stages
def submission_stages(config: Config) -> Iterator[Stage]:
    """The submission by every scorer."""
    if not has_detections(config, "test"):
        return
    for scorer in usable_scorers(config):
        yield Stage(
            submission_stage(config, scorer),
            partial(_write, scorer=scorer),
            needs=(predict_stage(config, "test", scorer),),
            inputs=id_inputs(config, "test"),
            settings=config.submission.model_dump(),
            command=f"submit --dry-run{scorer_option(config, scorer)}",
            headline="predictions",
        )


def submission_stage(config: Config, scorer: str) -> str:
    """The stage of the submission by a scorer."""
    return "submission" if scorer == config.relation.scorer else f"submission-{scorer}"


def file_name(config: Config) -> str:
    """The name of the submission file."""
    return f"submission.{config.submission.packing}"


def _write(context: StageContext, scorer: str) -> Metrics:
    from kit.tables.schema import Predictions
    from kit.tables.submission_writer import write_submission

    config = context.config
    folder = context.result(predict_stage(config, "test", scorer)) / SHARDS
    written = write_submission(
        context.path / file_name(config),
        split_index(config, "test"),
        track(read_shards(folder, Predictions), len(shard_paths(folder)), "write submission"),
        top=config.submission.top,
        digits=config.submission.digits,
    )
    return {"bytes": written.bytes, "predictions": written.predictions, "scorer": scorer}
