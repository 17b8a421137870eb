"""What declares stages: the modules of `kit.pipeline.stages`, and the config's plugins."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module

from kit.base.registry import Registry
from kit.config import Config
from kit.config.plugins import known_names
from kit.pipeline.stage import Stage

MODULES = (  # below kit.pipeline.stages: the one list of kit's own stages, in the order of the work
    "prior",
    "geometry_prior",
    "detector",
    "detections",
    "fused_detections",
    "given_detections",
    "attribute_detector",
    "spatial",
    "visual",
    "stack",
    "scored_candidates",
    "final",
    "predictions",
    "evaluate_relations",
    "evaluate_detections",
    "evaluate_attributes",
    "evaluate_choices",
    "submission",
)

Declare = Callable[[Config], Iterable[Stage]]
_declared: Registry[Declare] = Registry("declaration of stages", __name__, ())


def register_stages(declare: Declare) -> Declare:
    """Add a function that gives the stages which a config asks for (as a decorator)."""
    module = declare.__module__
    return _declared.register(f"{module}.{declare.__qualname__}", declare, module)


def declared_stages(config: Config) -> list[Stage]:
    """All stages that a config asks for: kit's own in the order of their list, then those of plugins."""
    for module in MODULES:
        import_module(f"kit.pipeline.stages.{module}")
    rank = {f"kit.pipeline.stages.{module}": i for i, module in enumerate(MODULES)}
    wanted = [_declared[name] for name in known_names(_declared, config.plugins)]
    wanted.sort(key=lambda declare: rank.get(declare.__module__, len(rank)))
    return [stage for declare in wanted for stage in declare(config)]
