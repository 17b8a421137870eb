"""What scores a pair, by name: prior, spatial, visual, average, stack, and those of plugins.

A scorer says which training stages it reads and which other scorers' scores it combines; all scores of a pair are
computed once, in that order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from kit.base.errors import KitError
from kit.config import SCORERS, Config
from kit.config.plugins import known_names, plugin_digest

if TYPE_CHECKING:
    from kit.data.objects import Objects
    from kit.relation.candidates import Candidates
    from kit.relation.prior_model import PriorScorer
    from kit.relation.spatial_model import SpatialScorer
    from kit.relation.stacking import Stacker
    from kit.relation.visual_model import VisualScorer
    from kit.tables.schema import Floats

Scores = Mapping[str, "Floats"]
Score = Callable[["Objects", "Candidates", Scores], "Floats"]
Names = Callable[[Config], tuple[str, ...]]


class Models(Protocol):
    """Where a scorer finds what was trained, and the scorers that were loaded before it."""

    config: Config
    ensemble: Ensemble

    def folder(self, stage: str) -> Path:
        """The folder of a training stage's results."""
        ...

    def visual(self) -> VisualScorer:
        """The visual model over the images at hand."""
        ...


@dataclass(frozen=True)
class Scorer:
    """A scorer. stages: the training stages whose results it reads; uses: scorers that come before it.

    load: gives a function (objects, candidates, scores by name so far) -> probability of every predicate,
    float32 (n, predicates), 0 where the triplet is not allowed.
    """

    stages: Names
    uses: Names
    load: Callable[[Models], Score]


@dataclass
class Ensemble:
    """The loaded scorers in order; `chosen` is the one whose score counts. `prior` also chooses candidates.

    columns: the scorers that scored candidates have a column for.
    """

    chosen: str
    prior: PriorScorer
    scorers: dict[str, Score] = field(default_factory=dict)
    spatial: SpatialScorer | None = None
    visual: VisualScorer | None = None
    stack: Stacker | None = None
    columns: tuple[str, ...] = field(default_factory=lambda: SCORERS.names)

    def scores(self, objects: Objects, candidates: Candidates) -> dict[str, Floats]:
        """Every scorer's probabilities, float32 (n, predicates); 0 where the triplet is not allowed."""
        scores: dict[str, Floats] = {}
        for name, score in self.scorers.items():
            scores[name] = score(objects, candidates, scores)
        return scores

    def predict_pairs(self, objects: Objects, candidates: Candidates) -> Floats:
        """The chosen scorer's probabilities."""
        return self.scores(objects, candidates)[self.chosen]

    def predict_attributes(self, objects: Objects, candidates: Candidates) -> Floats:
        """Probability that the object has the attribute, float32 (n,)."""
        return (self.spatial or self.prior).predict_attributes(objects, candidates)


def in_order(config: Config, name: str, above: tuple[str, ...] = ()) -> tuple[str, ...]:
    """A scorer and all that it uses, each after what it uses itself. Raises KitError where that is a circle."""
    if name in above:
        raise KitError(f"scorers use each other in a circle: {' -> '.join((*above, name))}")
    uses = SCORERS[name].uses(config)
    before = [other for used in uses for other in in_order(config, used, (*above, name))]
    return tuple(dict.fromkeys([*before, name]))


def stages_of(config: Config, name: str) -> tuple[str, ...]:
    """The training stages that a scorer and all that it uses read."""
    return tuple(dict.fromkeys(s for n in in_order(config, name) for s in SCORERS[n].stages(config)))


def visual_is_there(config: Config) -> bool:
    """Whether the config has a visual model: settings for it, and a detector to start from."""
    return config.relation.visual is not None and bool(config.detector.models)


def load_ensemble(config: Config, name: str, models: Models) -> None:
    """Load a scorer and all that it uses into `models.ensemble`."""
    for part in in_order(config, name):
        if part not in models.ensemble.scorers:
            models.ensemble.scorers[part] = SCORERS[part].load(models)


def empty_ensemble(config: Config, name: str, prior: Path) -> Ensemble:
    """An ensemble without scorers; prior: the folder of the prior's statistics."""
    from kit.relation.prior_model import PriorScorer
    from kit.relation.statistics import CooccurrenceStatistics

    statistics = CooccurrenceStatistics.load(prior / "statistics.npz")
    return Ensemble(name, PriorScorer(statistics), columns=scorer_names(config))


def scorer_names(config: Config) -> tuple[str, ...]:
    """The scorers that a config knows: kit's own, and those of its plugins."""
    return known_names(SCORERS, config.plugins)


def scorer_settings(config: Config, names: Sequence[str]) -> dict[str, Any]:
    """What the scores of these scorers depend on beside the stages that they read: a plugin's file and settings."""
    digests = {name: plugin_digest(SCORERS, name) for name in names}
    plugins = {name: digest for name, digest in digests.items() if digest}
    return {"plugins": plugins, "extra": config.extra} if plugins else {}


def _load_prior(models: Models) -> Score:
    prior = models.ensemble.prior
    return lambda objects, candidates, _: prior.predict_pairs(objects, candidates)


def _load_spatial(models: Models) -> Score:
    from kit.relation.spatial_model import SpatialScorer

    spatial = models.ensemble.spatial = SpatialScorer.load(models.folder("spatial"))
    return lambda objects, candidates, _: spatial.predict_pairs(objects, candidates)


def _load_visual(models: Models) -> Score:
    visual = models.ensemble.visual = models.visual()
    return lambda objects, candidates, _: visual.predict_pairs(objects, candidates)


def _load_average(models: Models) -> Score:
    from kit.relation.stacking import average

    weights = _stacker(models).weights
    return lambda _objects, _candidates, scores: average(_parts(scores), weights)


def _load_stack(models: Models) -> Score:
    stack = _stacker(models)
    return lambda objects, candidates, scores: stack.scores(objects, candidates, _parts(scores))


def _stacker(models: Models) -> Stacker:
    """The third stage, read once. Raises KitError where it was trained over other scores than there are now."""
    from kit.relation.stacking import Stacker

    ensemble, folder = models.ensemble, models.folder("stack")
    if ensemble.stack is None:
        assert ensemble.spatial is not None
        ensemble.stack = Stacker.load(folder, ensemble.spatial.statistics)
    if ensemble.stack.visual != visual_is_there(models.config):
        word = "with" if ensemble.stack.visual else "without"
        raise KitError(
            f"{folder} was trained {word} a visual model", "run `kit train stack` to train it again"
        )
    return ensemble.stack


def _parts(scores: Scores) -> dict[str, Floats]:
    return {name: scores[name] for name in ("spatial", "visual") if name in scores}


def _stacked(config: Config) -> tuple[str, ...]:
    return ("spatial", "visual") if visual_is_there(config) else ("spatial",)


def _none(_: Config) -> tuple[str, ...]:
    return ()


SCORERS.register("prior", Scorer(lambda _: ("prior",), _none, _load_prior))
SCORERS.register("spatial", Scorer(lambda _: ("prior", "spatial"), _none, _load_spatial))
SCORERS.register("visual", Scorer(lambda _: ("prior", "visual"), lambda _: ("spatial",), _load_visual))
SCORERS.register("average", Scorer(lambda _: ("prior", "stack"), _stacked, _load_average))
SCORERS.register("stack", Scorer(lambda _: ("prior", "stack"), _stacked, _load_stack))
