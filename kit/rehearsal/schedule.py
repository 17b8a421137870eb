"""When every stage of a run begins and ends: commands one after another, each with processes side by side.

A process loads a library once: the first of its stages that needs it takes the longer for it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

Span = tuple[float, float]


@dataclass(frozen=True)
class Command:
    """Stages that a command makes, in order, by `jobs` processes side by side.

    loads: modules that one process, which is the command's own, has loaded for other ends before the first of them.
    """

    stages: Sequence[str]
    jobs: int = 1
    loads: Sequence[str] = ()


@dataclass(frozen=True)
class Work:
    """The work of a stage, by itself in a process that has all libraries.

    before, modules: that it needs loaded before its time is taken, and within; group: stages that one work makes;
    processes: that make it together.
    """

    seconds: float
    before: Collection[str] = ()
    modules: Collection[str] = ()
    group: Sequence[str] = ()
    processes: int = 1


@dataclass
class _Process:
    """loaded: its modules."""

    loaded: set[str] = field(default_factory=set)

    def load(self, modules: Collection[str], seconds: Mapping[str, float]) -> float:
        """Load what is not loaded yet; how long it takes."""
        new = set(modules) - self.loaded
        self.loaded |= new
        return sum(seconds.get(module, 0.0) for module in new)


def timetable(
    commands: Sequence[Command],
    needs: Mapping[str, Sequence[str]],
    works: Mapping[str, Work],
    loading: Mapping[str, float],
) -> dict[str, Span]:
    """When each stage begins and ends, in seconds. loading: seconds of every module.

    A command's stages begin in their order, those of many processes first, each once those of them that it needs
    are done: one of several processes counts as so many jobs, or all that there are. What its stages need
    of another command's is there by then.
    """
    spans: dict[str, Span] = {}
    now = 0.0
    for command in commands:
        spans |= _side_by_side(command, needs, works, loading, now)
        now = max((end for _, end in spans.values()), default=now)
    return spans


def _side_by_side(
    command: Command,
    needs: Mapping[str, Sequence[str]],
    works: Mapping[str, Work],
    loading: Mapping[str, float],
    now: float,
) -> dict[str, Span]:
    spans: dict[str, Span] = {}
    left = [name for name in command.stages if name in works]
    idle: list[_Process] = []
    running: list[tuple[float, list[str], _Process]] = []

    def slots(group: Sequence[str]) -> int:
        return min(command.jobs, max(works[name].processes for name in group))

    while left or running:
        waiting = {*left, *(name for _, names, _ in running for name in names)}
        groups = ([n for n in left if n == name or n in works[name].group] for name in left)
        ready = [g for g in groups if _needed(g, needs).isdisjoint(waiting)]
        group = max(ready, key=lambda g: works[g[0]].processes, default=None)
        if group and slots(group) <= command.jobs - sum(slots(names) for _, names, _ in running):
            left = [name for name in left if name not in group]
            process = idle.pop() if idle else _Process()
            made = _made(group, works, loading, process, now)
            spans |= made
            running.append((made[group[-1]][1], group, process))
            continue
        running.sort(key=lambda job: job[0])
        now, _, process = running.pop(0)
        idle.append(process)
    return spans


def _needed(group: Sequence[str], needs: Mapping[str, Sequence[str]]) -> set[str]:
    return {need for name in group for need in needs.get(name, ())}


def _made(
    group: Sequence[str],
    works: Mapping[str, Work],
    loading: Mapping[str, float],
    process: _Process,
    now: float,
) -> dict[str, Span]:
    """When each of the stages that a process makes by one work begins and ends: all have an equal share."""
    for name in group:
        now += process.load(works[name].before, loading)
    total = sum(process.load(works[name].modules, loading) + works[name].seconds for name in group)
    share = total / len(group)
    return {name: (now + i * share, now + (i + 1) * share) for i, name in enumerate(group)}
