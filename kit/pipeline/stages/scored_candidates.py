"""Stages `scored-candidates-SPLIT`: the likely pairs of a split's detections, with every scorer's score."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from kit.base.split_names import SPLITS, SplitName
from kit.config import Config
from kit.pipeline.detector_task import ATTRIBUTES, OBJECTS
from kit.pipeline.engine.sharded import Part, ShardedWork, by_shard
from kit.pipeline.feature_signature import feature_signature
from kit.pipeline.models import (
    say_unseen,
    scored_together,
    scorer_images,
    scorer_option,
    split_ensemble,
    unseen,
    usable_scorers,
)
from kit.pipeline.splits import given_detections, has_detections, split_index
from kit.pipeline.stage import Metrics, Stage, StageContext
from kit.pipeline.stage_registry import register_stages
from kit.pipeline.stages.geometry_prior import ranking_needs, read_ranking
from kit.relation.scorers import scorer_names, scorer_settings, stages_of
from kit.tables.shards import SHARDS, count_rows, read_shard, shard_paths

if TYPE_CHECKING:
    from kit.relation.scored import ScoredCandidates


@register_stages
def scored_candidates_stages(config: Config) -> Iterator[Stage]:
    """The candidates of every split, scored by the config's scorer and all that it uses.

    Another scorer whose scores are not among these has a stage of its own.
    """
    for split in SPLITS:
        for scorer in _scorers(config):
            name = candidates_stage(config, split, scorer)
            if not has_detections(config, split):
                continue
            attributes = bool(ATTRIBUTES.models(config)) and not given_detections(config, split)
            detected = (OBJECTS.fuse(split), *([ATTRIBUTES.fuse(split)] if attributes else []))
            yield Stage(
                name,
                ShardedWork(
                    partial(_count, split=split),
                    by_shard(partial(_scoring, split=split, scorer=scorer)),
                    partial(_metrics, split=split, scorer=scorer),
                    f"score candidates {split}",
                ),
                needs=(*stages_of(config, scorer), *ranking_needs(config), *detected),
                inputs=scorer_images(config, scorer, split),
                settings={
                    "scorers": list(scored_together(config, scorer)),
                    "columns": list(scorer_names(config)),
                    **scorer_settings(config, scored_together(config, scorer)),
                    "candidate_limits": config.relation.candidate_limits.result_settings(()),
                },
                computed=feature_signature,
                command=f"predict --split {split}{scorer_option(config, scorer)}",
                headline="pairs",
                table=partial(_table, config),
                device=config.detector.device if scorer_images(config, scorer, split) else "cpu",
            )


def _table(config: Config) -> type[ScoredCandidates]:
    from kit.relation.scored import scored_candidates_table

    return scored_candidates_table(scorer_names(config))


def _scorers(config: Config) -> list[str]:
    """The config's scorer, and those that need candidates of their own."""
    usual = config.relation.scorer
    return [usual, *(s for s in usable_scorers(config) if s not in scored_together(config, usual))]


def candidates_stage(config: Config, split: SplitName, scorer: str) -> str:
    """The stage whose scored candidates have a scorer's column."""
    apart = scorer not in scored_together(config, config.relation.scorer)
    return f"scored-candidates-{split}{f'-{scorer}' if apart else ''}"


def _scoring(context: StageContext, split: SplitName, scorer: str) -> Callable[[int], Part]:
    """What scores the candidates of a shard of detections."""
    from kit.relation.scored import score_objects
    from kit.tables.schema import Detections

    config = context.config
    ensemble = split_ensemble(context, split, scorer, scored_together(config, scorer))
    objects, ranking = _object_shards(context, split), read_ranking(context)
    attributes = None
    if ATTRIBUTES.fuse(split) in context.stage.needs:
        attributes = shard_paths(context.result(ATTRIBUTES.fuse(split)) / SHARDS)

    def part(i: int) -> Part:
        rows = read_shard(objects[i], Detections)
        found = read_shard(attributes[i], Detections) if attributes else None
        scored = score_objects(ensemble, rows, config.relation.candidate_limits, found, ranking)
        return Part(scored, unseen(ensemble.visual, rows.images))

    return part


def _object_shards(context: StageContext, split: SplitName) -> list[Path]:
    """The shards of a split's detections."""
    return shard_paths(context.result(OBJECTS.fuse(split)) / SHARDS)


def _count(context: StageContext, split: SplitName) -> int:
    return len(_object_shards(context, split))


def _metrics(context: StageContext, _: Mapping[str, float], split: SplitName, scorer: str) -> Metrics:
    say_unseen(context.stage.name, context.path, len(split_index(context.config, split)))
    return {"pairs": count_rows(context.path / SHARDS), "scorer": scorer}
