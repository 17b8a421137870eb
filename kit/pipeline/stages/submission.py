"""Stage `submission`: the file for Kaggle, from the test set's predictions."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from kit.base.progress import track
from kit.config import Config
from kit.pipeline.engine.sharded import Part, ShardedWork, by_shard
from kit.pipeline.models import scorer_option, usable_scorers
from kit.pipeline.splits import has_detections, id_inputs, split_index
from kit.pipeline.stage import Metrics, Stage, StageContext
from kit.pipeline.stage_registry import register_stages
from kit.pipeline.stages.predictions import predict_stage
from kit.tables.shards import SHARDS, read_shard, read_shards, shard_paths


@register_stages
def submission_stages(config: Config) -> Iterator[Stage]:
    """The submission by every scorer."""
    if not has_detections(config, "test"):
        return
    for scorer in usable_scorers(config):
        yield Stage(
            submission_stage(config, scorer),
            ShardedWork(
                partial(_count, scorer=scorer),
                by_shard(partial(_writing, scorer=scorer)),
                partial(_join, scorer=scorer),
                "submission lines",
            ),
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


def _predictions(context: StageContext, scorer: str) -> list[Path]:
    """The shards of the test set's predictions."""
    return shard_paths(context.result(predict_stage(context.config, "test", scorer)) / SHARDS)


def _count(context: StageContext, scorer: str) -> int:
    return len(_predictions(context, scorer))


def _writing(context: StageContext, scorer: str) -> Callable[[int], Part]:
    """What makes the lines of a shard of predictions."""
    from kit.tables.schema import Predictions
    from kit.tables.submission_writer import submission_lines

    shards, settings = _predictions(context, scorer), context.config.submission

    def part(i: int) -> Part:
        found = read_shard(shards[i], Predictions)
        return Part(submission_lines(found, top=settings.top, digits=settings.digits))

    return part


def _join(context: StageContext, _: Mapping[str, float], scorer: str) -> Metrics:
    """The file of all lines, which then go."""
    from kit.tables.submission_writer import SubmissionLines, write_lines

    config, folder = context.config, context.path / SHARDS
    written = write_lines(
        context.path / file_name(config),
        split_index(config, "test"),
        track(read_shards(folder, SubmissionLines), len(shard_paths(folder)), "write submission"),
    )
    shutil.rmtree(folder)
    return {"bytes": written.bytes, "predictions": written.predictions, "scorer": scorer}
