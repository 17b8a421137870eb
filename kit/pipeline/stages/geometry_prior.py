"""Stage `geometry-prior`: what the place of two boxes adds to the prior, by which candidates are ranked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from kit.base.split_names import SPLITS
from kit.config import Config
from kit.pipeline.splits import has_detections, split_inputs
from kit.pipeline.stage import Metrics, Stage, StageContext
from kit.pipeline.stage_registry import register_stages
from kit.pipeline.stages.training_tables import box_needs, box_settings, training_tables

if TYPE_CHECKING:
    from kit.relation.candidate_limits import Ranking

NAME = "geometry-prior"


@register_stages
def geometry_prior_stages(config: Config) -> Iterator[Stage]:
    """The geometry prior, where candidates of detections, own or given, are ranked by it."""
    if ranking_needs(config) and any(has_detections(config, split) for split in SPLITS):
        yield Stage(
            NAME,
            _count,
            needs=("prior", *box_needs(config, NAME, "train")),
            inputs=split_inputs(config, "train"),
            settings=box_settings(config, NAME),
            command=f"train all --only {NAME}",
            headline="greatest_lift",
            trains=has_detections(config, "val"),
        )


def ranking_needs(config: Config) -> tuple[str, ...]:
    """The stage that candidates are ranked by, beside the prior."""
    return (NAME,) if config.relation.candidate_limits.ranking == "geometry" else ()


def read_ranking(context: StageContext) -> Ranking | None:
    """The ranking of a stage's candidates; None for that by the prior alone."""
    if not ranking_needs(context.config):
        return None
    from kit.relation.candidate_limits import rank_by_geometry
    from kit.relation.geometry_prior import GeometryPrior
    from kit.relation.statistics import CooccurrenceStatistics

    statistics = CooccurrenceStatistics.load(context.result("prior") / "statistics.npz")
    return rank_by_geometry(GeometryPrior.load(context.result(NAME), statistics))


def _count(context: StageContext) -> Metrics:
    from kit.relation.geometry_prior import train_geometry_prior
    from kit.relation.statistics import CooccurrenceStatistics

    statistics = CooccurrenceStatistics.load(context.result("prior") / "statistics.npz")
    model = train_geometry_prior(training_tables(context, "train"), statistics)
    model.save(context.path)
    return {"greatest_lift": float(model.lift.max()), "bins": model.lift.shape[1]}
