"""What declares stages: the modules of `kit.pipeline.stages`, and the config's plugins."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module

from kit.config import Config
from kit.pipeline.stage import Stage

Declare = Callable[[Config], Iterable[Stage]]
_declared: dict[str, Declare] = {}


def register_stages(declare: Declare) -> Declare:
    """Add a function that gives the stages which a config asks for (as a decorator)."""
    _declared[f"{declare.__module__}.{declare.__qualname__}"] = declare
    return declare


def declared_stages(config: Config) -> list[Stage]:
    """All stages that a config asks for: kit's own in the order of their list, then those of plugins."""
    from kit.pipeline.stages import MODULES

    for module in MODULES:
        import_module(f"kit.pipeline.stages.{module}")
    own = [name for name in _declared if name.startswith("kit.pipeline.stages.")]
    rank = {f"kit.pipeline.stages.{module}": i for i, module in enumerate(MODULES)}
    own.sort(key=lambda name: rank[name.rpartition(".")[0]])
    names = [*own, *(name for name in _declared if name not in own)]
    return [stage for name in names for stage in _declared[name](config)]
