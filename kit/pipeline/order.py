"""The order of stages: each after all that it needs, and which are made together."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

from kit.base.errors import KitError
from kit.pipeline.stage import Stage

NAME, LOGS = re.compile(r"\w[\w-]*"), "logs"  # of stages, which are folders of a run; the folder that is none


def in_order(stages: Sequence[Stage]) -> dict[str, Stage]:
    """The stages by name, each after all that it needs, otherwise as given."""
    by_name: dict[str, Stage] = {}
    for stage in stages:
        if not NAME.fullmatch(stage.name) or stage.name == LOGS:
            raise KitError(
                f"no stage can be called {stage.name!r}",
                "letters, digits, - and _; logs is the folder of the logs",
            )
        if stage.name in by_name:
            raise KitError(f"two stages are called {stage.name}")
        by_name[stage.name] = stage
    for stage in stages:
        for need in stage.needs:
            if need not in by_name:
                raise KitError(f"stage {stage.name} needs {need}, which no stage of this config is")
    sorter = TopologicalSorter({stage.name: stage.needs for stage in stages})
    try:
        sorter.prepare()
    except CycleError as error:
        raise KitError(f"stages need each other in a circle: {' -> '.join(error.args[1])}") from None
    ordered: dict[str, Stage] = {}
    rank = {name: i for i, name in enumerate(by_name)}
    ready: list[str] = []
    while sorter.is_active():
        ready = sorted([*ready, *sorter.get_ready()], key=rank.__getitem__)
        first = ready.pop(0)
        ordered[first] = by_name[first]
        sorter.done(first)
    return ordered


def next_group(stages: Mapping[str, Stage], left: Sequence[str]) -> list[str]:
    """What to do next of the stages that are left, in order: the first, with those it can be made together with.

    What these others need, and is left, comes before them. Stages that need one another are never together.
    """
    first = stages[left[0]].together
    if first is None:
        return [left[0]]
    alike = [name for name in left if (own := stages[name].together) and own.key == first.key]
    group = [name for name in alike if not _needed(stages, name).intersection(alike)]
    before = set().union(*(_needed(stages, name) for name in group)).intersection(left)
    return next_group(stages, [name for name in left if name in before]) if before else group


def _needed(stages: Mapping[str, Stage], name: str) -> set[str]:
    """All that a stage needs, directly or not."""
    needed, todo = set[str](), list(stages[name].needs)
    while todo:
        need = todo.pop()
        if need not in needed:
            needed.add(need)
            todo += stages[need].needs
    return needed
