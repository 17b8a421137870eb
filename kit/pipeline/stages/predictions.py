"""Stages `predict-SPLIT`: the predictions of a split with their final confidence, in shards."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from kit.base.log import logger
from kit.base.split_names import SPLITS, SplitName
from kit.config import Config
from kit.pipeline.engine.sharded import Part, ShardedWork, by_shard
from kit.pipeline.models import scorer_option, usable_scorers
from kit.pipeline.splits import given_detections, has_detections
from kit.pipeline.stage import Metrics, Stage, StageContext
from kit.pipeline.stage_registry import register_stages
from kit.pipeline.stages.final import final_stage, has_final, read_confidence
from kit.pipeline.stages.scored_candidates import candidates_stage
from kit.relation.scorers import scorer_names
from kit.tables.shards import SHARDS, count_images, count_rows, read_shard, shard_paths
from kit.vocabulary import IS

if TYPE_CHECKING:
    from kit.tables.schema import Predictions


@register_stages
def predict_stages(config: Config) -> Iterator[Stage]:
    """The predictions of every split by every scorer.

    Exponents are 1 and nothing is calibrated where nothing could be chosen, and for detections that were given
    where the validation split's were not, or the other way round.
    """
    for split in SPLITS:
        if not has_detections(config, split):
            continue
        for scorer in usable_scorers(config):
            chosen = [final_stage(config, scorer)] if _is_chosen(config, split) else []
            yield Stage(
                predict_stage(config, split, scorer),
                ShardedWork(
                    partial(_count, split=split, scorer=scorer),
                    by_shard(partial(_predicting, split=split, scorer=scorer)),
                    partial(_metrics, split=split, scorer=scorer),
                    f"predict {split}",
                ),
                needs=(candidates_stage(config, split, scorer), *chosen),
                settings={"scorer": scorer, "attributes": config.relation.attributes},
                command=f"predict --split {split}{scorer_option(config, scorer)}",
                headline="predictions",
                table=_table,
            )


def _table() -> type[Predictions]:
    from kit.tables.schema import Predictions

    return Predictions


def predict_stage(config: Config, split: SplitName, scorer: str) -> str:
    """The stage of a split's predictions by a scorer."""
    return f"predict-{split}{'' if scorer == config.relation.scorer else f'-{scorer}'}"


def _is_chosen(config: Config, split: SplitName) -> bool:
    """What was chosen on detections of the one kind, own or given, says nothing of the other."""
    alike = bool(given_detections(config, split)) == bool(given_detections(config, "val"))
    return has_final(config) and alike


def _predicting(context: StageContext, split: SplitName, scorer: str) -> Callable[[int], Part]:
    """What gives the final confidence to a shard of scored candidates."""
    from kit.relation.calibration import ScoreCalibrator
    from kit.relation.scored import scored_candidates_table

    config, shards = context.config, _candidates(context, split, scorer)
    chosen = _is_chosen(config, split)
    confidence = read_confidence(context, scorer) if chosen else ScoreCalibrator()
    table = scored_candidates_table(scorer_names(config))

    def part(i: int) -> Part:
        pairs = read_shard(shards[i], table)
        pairs = pairs if config.relation.attributes else pairs.take(pairs.predicate != IS)
        return Part(confidence.predictions(pairs, scorer))

    return part


def _candidates(context: StageContext, split: SplitName, scorer: str) -> list[Path]:
    """The shards of a split's scored candidates."""
    return shard_paths(context.result(candidates_stage(context.config, split, scorer)) / SHARDS)


def _count(context: StageContext, split: SplitName, scorer: str) -> int:
    return len(_candidates(context, split, scorer))


def _metrics(context: StageContext, _: Mapping[str, float], split: SplitName, scorer: str) -> Metrics:
    if not _is_chosen(context.config, split):
        logger.warning(
            "note: no validation detections: detection scores count as they are, nothing is calibrated"
        )
    images = count_images(context.result(candidates_stage(context.config, split, scorer)) / SHARDS)
    return {"images": images, "predictions": count_rows(context.path / SHARDS), "scorer": scorer}
