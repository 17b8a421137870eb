"""Stage `spatial` (paper 2.2): XGBoost on spatial and semantic features of pairs, a model a predicate."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from kit.base.progress import track
from kit.config import Config
from kit.detector.process_group import is_main_process
from kit.pipeline.begun_by import check_begun_by, end_begun_by
from kit.pipeline.engine.tasked import Step, TaskedWork
from kit.pipeline.feature_signature import feature_signature
from kit.pipeline.models import named_reasons
from kit.pipeline.splits import split_inputs
from kit.pipeline.stage import Metrics, Stage, StageContext
from kit.pipeline.stage_registry import register_stages
from kit.pipeline.stages.training_tables import (
    box_needs,
    learning_settings,
    learns_from_detections,
    training_tables,
)
from kit.relation.model_names import POOLED, spatial_models

if TYPE_CHECKING:
    from kit.relation.spatial_model import SpatialScorer


@register_stages
def spatial_stages(config: Config) -> Iterator[Stage]:
    """The spatio-semantic model, after the prior."""
    settings = config.relation.spatial
    models = spatial_models(settings)
    apart = TaskedWork((Step(models, settings.device),), _train_one, _finish)
    yield Stage(
        "spatial",
        # of two models that of all pairs takes nearly all the time
        apart if len(models) > 2 and settings.processes == 1 else _finish,
        needs=("prior", *box_needs(config, "spatial", "train")),
        inputs=split_inputs(config, "train"),
        settings=learning_settings(config, "spatial", settings),
        computed=feature_signature,
        version=2,
        command="train spatial",
        headline="trees",
        device=settings.device,
        trains=True,
        implicit=False,
        distributed=True,
        processes=settings.processes,
    )


def _train_one(context: StageContext, only: str) -> None:
    _train(context, only)


def _train(context: StageContext, only: str | None = None) -> SpatialScorer:
    """Train one model, or all that are not there."""
    from kit.relation.prior_model import train_prior
    from kit.relation.spatial_model import train_spatial
    from kit.relation.statistics import CooccurrenceStatistics

    check_begun_by(context)
    config = context.config
    split = training_tables(context, "train")
    if learns_from_detections(config, "prior") == learns_from_detections(config, "spatial"):
        statistics = CooccurrenceStatistics.load(context.result("prior") / "statistics.npz")
    else:  # out of fold its own rows are left out of them: they must be of these
        statistics = train_prior(split, config.relation.prior)
    settings = config.relation.spatial
    return train_spatial(split, statistics, settings, config.seed, context.path, track, only)


def _finish(context: StageContext) -> Metrics:
    from kit.relation.external_memory import end_choice

    scorer = _train(context)
    if not is_main_process():
        return {}
    scorer.save(context.path)
    end_begun_by(context)
    beside = " beside the pooled model" if scorer.rounds.get(POOLED) else ""
    named_reasons(f"spatial: the prior stands{beside} for", scorer.standing)
    return {
        "trees": sum(scorer.rounds.values()),
        "rounds": scorer.rounds,
        "prior_stands": scorer.standing,
        "rows_in": end_choice(context.path),
    }
