"""Stages `scored-candidates-SPLIT`: the likely pairs of a split's detections, with every scorer's score."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from kit.base.parallel import ordered_map
from kit.base.progress import track
from kit.base.split_names import SPLITS, SplitName
from kit.base.threads import cpu_count
from kit.config import Config
from kit.pipeline.detector_task import ATTRIBUTES, OBJECTS
from kit.pipeline.feature_signature import feature_signature
from kit.pipeline.models import (
    note_unseen,
    say_unseen,
    scored_together,
    scorer_images,
    scorer_option,
    split_ensemble,
    usable_scorers,
)
from kit.pipeline.splits import given_detections, has_detections, split_ids
from kit.pipeline.stage import Metrics, Stage, StageContext
from kit.pipeline.stage_registry import register_stages
from kit.pipeline.stages.geometry_prior import ranking_needs, read_ranking
from kit.relation.scorers import scorer_names, scorer_settings, stages_of
from kit.tables.shards import (
    SHARDS,
    count_rows,
    read_shard,
    read_shards,
    shard_path,
    shard_paths,
    write_shard,
)

if TYPE_CHECKING:
    from kit.data.objects import Objects
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
                partial(_score, split=split, scorer=scorer),
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


def _score(context: StageContext, split: SplitName, scorer: str) -> Metrics:
    from kit.relation.scored import score_objects
    from kit.tables.schema import Detections

    config, out = context.config, context.path / SHARDS
    ensemble = split_ensemble(context, split, scorer, scored_together(config, scorer))
    total, objects = _objects(context, split)
    attributes, ranking = None, read_ranking(context)
    if ATTRIBUTES.fuse(split) in context.stage.needs:
        attributes = shard_paths(context.result(ATTRIBUTES.fuse(split)) / SHARDS)

    def work(numbered: tuple[int, Objects]) -> int:
        i, rows = numbered
        found = read_shard(attributes[i], Detections) if attributes else None
        scored = score_objects(ensemble, rows, config.relation.candidate_limits, found, ranking)
        note_unseen(ensemble.visual, context.path)
        return write_shard(out, i, scored)

    todo = ((i, rows) for i, rows in enumerate(objects) if not shard_path(out, i).exists())
    for _ in track(ordered_map(work, todo, cpu_count()), total, f"score candidates {split}"):
        pass
    if ensemble.visual:
        say_unseen(context.stage.name, context.path, len(split_ids(config, split)))
    return {"pairs": count_rows(out), "scorer": scorer}


def _objects(context: StageContext, split: SplitName) -> tuple[int, Iterator[Objects]]:
    """The number of shards of a split's detections, and the shards."""
    from kit.tables.schema import Detections

    folder = context.result(OBJECTS.fuse(split)) / SHARDS
    return len(shard_paths(folder)), read_shards(folder, Detections)
