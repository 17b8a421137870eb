"""From what was measured to what the whole takes: hours, memory, disk, what bounds a stage, what would mend it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import Any

import numpy as np

from kit.rehearsal.meter import Loop
from kit.rehearsal.schedule import Command, Span, Work, timetable
from kit.rehearsal.worker import Measured

WAITS = 0.2  # share of a loop's time waiting for data from which the data bound it
BUSY = 0.8  # share of the cores from which all are at work


@dataclass(frozen=True)
class Estimate:
    """A stage of the whole run. seconds: None where it could not be measured; failed: the reason.

    begins: seconds after the start of the run; disk: bytes of its results; scratch: of what it needs beside them
    while it is at work; rate, unit: of its longest loop; waits: share of that loop's time waiting for data; bound:
    what bounds it.
    """

    stage: str
    seconds: float | None
    begins: float = 0.0
    rate: float = 0.0
    unit: str = ""
    ram: int = 0
    gpu: int = 0
    disk: int = 0
    scratch: int = 0
    waits: float = 0.0
    bound: str = ""
    cure: str = ""
    failed: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Its columns."""
        return asdict(self)


def estimate(
    measured: Measured, scale: float, cores: int, workers: int, over_rows: Sequence[Loop] = ()
) -> Estimate:
    """What a stage takes in the whole run, in a process that has all libraries.

    scale: how many times the data of the whole are those of the rehearsal; cores: that kit may use; workers:
    processes that the configuration gives the loading of images; over_rows: as of `whole_seconds`.
    """
    if measured.failed:
        return Estimate(measured.stage, None, failed=measured.failed, ram=measured.ram, gpu=measured.gpu)
    seconds = whole_seconds(measured, scale, over_rows)
    longest = max(measured.loops, key=lambda loop: _loop_seconds(loop, scale, over_rows), default=None)
    waits = longest.wait_share if longest else 0.0
    bound = _bound(measured, waits, cores)
    return Estimate(
        measured.stage,
        seconds=seconds,
        rate=longest.size / longest.step if longest and longest.step > 0 else 0.0,
        unit=longest.unit if longest else "",
        ram=measured.ram,
        gpu=measured.gpu,
        disk=round(measured.disk * (scale if scale > 1 else 1)),
        scratch=round(max((loop.kept for loop in measured.loops), default=0) * scale),
        waits=waits,
        bound=bound,
        cure=_cure(bound, longest, cores, workers),
    )


def whole_seconds(measured: Measured, scale: float, over_rows: Sequence[Loop] = ()) -> float:
    """Seconds of the whole stage: its loops at their steady pace, all else as it was, or as the data grow.

    over_rows: loops of all stages whose steps go through a table, which say what a step takes by its rows.
    """
    loops = sum(_loop_seconds(loop, scale, over_rows) for loop in measured.loops)
    if scale == 1.0 or measured.again is None:
        return measured.outside + loops
    return max(measured.outside - measured.again, 0.0) + measured.again * scale + loops


def _loop_seconds(loop: Loop, scale: float, over_rows: Sequence[Loop]) -> float:
    """More data are more steps; where each goes through all rows, they are as many, and longer."""
    if not loop.rows or scale == 1.0:
        return loop.whole(scale)
    step = _step_of(loop.rows * scale, [loop, *over_rows])
    return (loop.warm_up + loop.rest + step * max(loop.total - loop.warm, 0)) * loop.times


def _step_of(rows: float, seen: Sequence[Loop]) -> float:
    """Seconds of a step through so many rows: between those that were seen, beyond them in proportion."""
    steps = {loop.rows: loop.step for loop in sorted(seen, key=lambda loop: loop.step)}
    known = sorted(steps)
    step = float(np.interp(rows, known, [steps[n] for n in known]))
    return step * max(rows / known[-1], 1.0)


def _bound(measured: Measured, waits: float, cores: int) -> str:
    busy = measured.cores
    if waits >= WAITS:
        return "decode" if busy >= BUSY * cores else "loading"
    if measured.gpu:
        return "GPU"
    return "all cores" if busy >= BUSY * cores and cores > 1 else "one core" if busy < 1.5 else "cores"


def _cure(bound: str, loop: Loop | None, cores: int, workers: int) -> str:
    """What would make a stage faster."""
    if bound == "loading" and workers < cores:
        return f"more workers (now {workers}, {cores} cores)"
    if bound in ("loading", "decode"):
        return "more cores, smaller photos (data.download.max_side), a faster disk"
    if bound == "GPU":
        if loop is not None and loop.text.startswith(("visual", "crops", "regions")):
            return "fewer negatives, epochs or max_steps (relation.visual)"
        if loop is not None and loop.text.startswith("detect"):
            return "fewer or smaller views (detector.inference.views)"
        return "fewer iterations or a smaller size, precision bfloat16"
    if loop is not None and loop.unit == "rounds":
        return "fewer rounds, a larger eta, device: cuda"
    return "a machine with faster or more cores"


@dataclass(frozen=True)
class Rehearsal:
    """All stages of a whole run, estimated. machine: in words; made: what stood in for missing files.

    jobs: stages side by side, of the commands that have --jobs.
    """

    stages: Sequence[Estimate]
    machine: str
    made: Sequence[str]
    minutes: float
    jobs: int = 1

    @property
    def seconds(self) -> float:
        """Up to the end of the last stage that was measured."""
        return max((end for _, end in self._spans().values()), default=0.0)

    @property
    def unmeasured(self) -> int:
        """How many stages the time of the whole lacks."""
        return sum(stage.seconds is None for stage in self.stages)

    @property
    def ram(self) -> int:
        """Bytes of memory at the most, of all stages at work at once."""
        return self._at_once({stage.stage: stage.ram for stage in self.stages})

    @property
    def gpu(self) -> int:
        """The same of the GPU's memory."""
        return self._at_once({stage.stage: stage.gpu for stage in self.stages})

    @property
    def disk(self) -> int:
        """Bytes of all results, and the most that stages at work need beside them."""
        scratch = self._at_once({stage.stage: stage.scratch for stage in self.stages})
        return sum(stage.disk for stage in self.stages) + scratch

    def _spans(self) -> dict[str, Span]:
        return {s.stage: (s.begins, s.begins + (s.seconds or 0.0)) for s in self.stages}

    def _at_once(self, sizes: Mapping[str, int]) -> int:
        spans = self._spans()
        sums = (
            sum(sizes[n] for n, (start, end) in spans.items() if start <= begin < end or n == name)
            for name, (begin, _) in spans.items()
        )
        return max(sums, default=0)

    def longest(self) -> Estimate | None:
        """The stage that takes most."""
        return max(self.stages, key=lambda stage: stage.seconds or 0.0, default=None)

    def as_dict(self) -> dict[str, Any]:
        """What is kept of it."""
        return {
            "seconds": self.seconds,
            "jobs": self.jobs,
            "unmeasured": self.unmeasured,
            "machine": self.machine,
            "made": list(self.made),
            "minutes": self.minutes,
            "ram": self.ram,
            "gpu": self.gpu,
            "disk": self.disk,
            "stages": [stage.as_dict() for stage in self.stages],
        }


def estimates(
    measured: Sequence[Measured], scales: Mapping[str, float], cores: Mapping[str, int], workers: int
) -> list[Estimate]:
    """Every stage's estimate. scales: of the stages whose data were cut short; cores: that a stage may use."""
    over_rows = [loop for m in measured for loop in m.loops if loop.rows and loop.step > 0]
    return [estimate(m, scales.get(m.stage, 1.0), cores[m.stage], workers, over_rows) for m in measured]


def in_time(
    stages: Sequence[Estimate],
    measured: Mapping[str, Measured],
    commands: Sequence[Command],
    needs: Mapping[str, Sequence[str]],
    processes: Mapping[str, int],
) -> list[Estimate]:
    """The estimates, with when each stage begins and what it takes as the run's processes make it.

    needs: of every stage, those that it waits for; processes: that make
    it, where these are several.
    """
    works = {}
    for stage in stages:
        seen = measured.get(stage.stage)
        if seen is None or stage.seconds is None:
            works[stage.stage] = Work(0.0)
        else:
            made_by = processes.get(stage.stage, 1)
            works[stage.stage] = Work(stage.seconds, seen.before, seen.modules, seen.group, made_by)
    spans = timetable(commands, needs, works, module_seconds(measured.values()))
    return [
        replace(stage, begins=begin, seconds=None if stage.seconds is None else end - begin)
        for stage in stages
        for begin, end in [spans[stage.stage]]
    ]


def module_seconds(measured: Iterable[Measured]) -> dict[str, float]:
    """What each module takes to load: the median over the processes that measured it.

    The first may have compiled it, or read it from a cold disk.
    """
    seen = defaultdict[str, set[float]](set)
    for stage in measured:
        for module, seconds in [*stage.before.items(), *stage.modules.items()]:
            seen[module].add(seconds)  # equal ones are of the same process
    return {module: median(times) for module, times in seen.items()}
