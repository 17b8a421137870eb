"""Stage `spatial` (paper 2.2): XGBoost on spatial and semantic features of pairs, a model a predicate."""

from __future__ import annotations

from collections.abc import Iterator

from kit.base.progress import track
from kit.config import Config
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


@register_stages
def spatial_stages(config: Config) -> Iterator[Stage]:
    """The spatio-semantic model, after the prior."""
    yield Stage(
        "spatial",
        _train,
        needs=("prior", *box_needs(config, "spatial", "train")),
        inputs=split_inputs(config, "train"),
        settings=learning_settings(config, "spatial", config.relation.spatial),
        computed=feature_signature,
        version=2,
        command="train spatial",
        headline="trees",
        device=config.relation.spatial.device,
        trains=True,
        implicit=False,
    )


def _train(context: StageContext) -> Metrics:
    from kit.relation.external_memory import end_choice
    from kit.relation.prior_model import train_prior
    from kit.relation.spatial_model import train_spatial
    from kit.relation.spatial_rows import POOLED
    from kit.relation.statistics import CooccurrenceStatistics

    config = context.config
    split = training_tables(context, "train")
    if learns_from_detections(config, "prior") == learns_from_detections(config, "spatial"):
        statistics = CooccurrenceStatistics.load(context.result("prior") / "statistics.npz")
    else:  # out of fold its own rows are left out of them: they must be of these
        statistics = train_prior(split, config.relation.prior)
    scorer = train_spatial(split, statistics, config.relation.spatial, config.seed, context.path, track)
    scorer.save(context.path)
    beside = " beside the pooled model" if scorer.rounds.get(POOLED) else ""
    named_reasons(f"spatial: the prior stands{beside} for", scorer.standing)
    return {
        "trees": sum(scorer.rounds.values()),
        "rounds": scorer.rounds,
        "prior_stands": scorer.standing,
        "rows_in": end_choice(context.path),
    }
