"""Stage `prior`: P(predicate | subject, object), counted on the training split."""

from __future__ import annotations

from collections.abc import Iterator

from kit.config import Config
from kit.pipeline.splits import split_inputs
from kit.pipeline.stage import Metrics, Stage, StageContext
from kit.pipeline.stage_registry import register_stages
from kit.pipeline.stages.training_tables import box_needs, box_settings, training_tables


@register_stages
def prior_stages(config: Config) -> Iterator[Stage]:
    """The prior."""
    yield Stage(
        "prior",
        _count,
        needs=box_needs(config, "prior", "train"),
        inputs=split_inputs(config, "train"),
        settings={**config.relation.prior.model_dump(), **box_settings(config, "prior")},
        command="train prior",
        headline="pairs",
        trains=True,
    )


def _count(context: StageContext) -> Metrics:
    from kit.relation.prior_model import pair_examples, train_prior

    split = training_tables(context, "train")
    statistics = train_prior(split, context.config.relation.prior)
    statistics.save(context.path / "statistics.npz")
    examples = pair_examples(split)
    return {
        "images": len(split.objects.images),
        "relations": len(split.relations),
        "pairs": len(examples.candidates),
        "related_pairs": int(examples.positive.any(axis=1).sum()),
    }
