"""All scores of a pair by name, each part computed once: prior, spatial, visual, average, stack."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from kit.data.objects import Objects
from kit.relation.candidates import Candidates
from kit.relation.prior import PriorScorer
from kit.tables.schema import Floats

if TYPE_CHECKING:
    from kit.relation.spatial import SpatialScorer
    from kit.relation.stack import Stacker
    from kit.relation.visual import VisualScorer

ScorerName = Literal["prior", "spatial", "visual", "average", "stack"]
NEEDS: dict[ScorerName, tuple[ScorerName, ...]] = {
    "prior": ("prior",),
    "spatial": ("prior", "spatial"),
    "visual": ("prior", "spatial", "visual"),
    "average": ("prior", "spatial", "visual", "stack"),
    "stack": ("prior", "spatial", "visual", "stack"),
}


@dataclass(frozen=True, eq=False)
class Ensemble:
    """The trained models that there are; `chosen` is the one whose score counts."""

    chosen: ScorerName
    prior: PriorScorer
    spatial: SpatialScorer | None = None
    visual: VisualScorer | None = None
    stack: Stacker | None = None

    def scores(self, objects: Objects, candidates: Candidates) -> dict[str, Floats]:
        """Every model's probabilities, float32 (n, predicates); 0 where the triplet is not allowed."""
        out = {"prior": self.prior.pairs(objects, candidates)}
        if self.spatial is None:
            return out
        parts = {"spatial": self.spatial.pairs(objects, candidates)}
        if self.visual is not None:
            parts["visual"] = self.visual.pairs(objects, candidates)
        out |= parts
        if self.stack is not None:
            from kit.relation.stack import average

            out["average"] = average(parts, self.stack.weights)
            out["stack"] = self.stack.scores(objects, candidates, parts)
        return out

    def pairs(self, objects: Objects, candidates: Candidates) -> Floats:
        """The chosen model's probabilities."""
        return self.scores(objects, candidates)[self.chosen]

    def attributes(self, objects: Objects, candidates: Candidates) -> Floats:
        """Probability that the object has the attribute, float32 (n,)."""
        return (self.spatial or self.prior).attributes(objects, candidates)
