"""Names of the models of pairs: a predicate's, or one of what stands for several."""

from __future__ import annotations

from kit.config import Spatial
from kit.vocabulary import IS, vocabulary

MULTICLASS, POOLED = "multiclass", "pooled"  # one model of all predicates of pairs; one beside theirs


def pairwise() -> tuple[str, ...]:
    """The predicates that relate two objects."""
    return tuple(name for p, name in enumerate(vocabulary().predicates) if p != IS)


def spatial_models(settings: Spatial) -> tuple[str, ...]:
    """The models of the spatial stage, as they are trained one after another."""
    pooled = (POOLED,) if settings.pooled_weight > 0 else ()
    pairs = (MULTICLASS,) if settings.objective == "multiclass" else (*pairwise(), *pooled)
    return (*pairs, vocabulary().predicates[IS])
