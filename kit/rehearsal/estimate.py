"""From what was measured to what the whole takes: hours, memory, disk, what bounds a stage, what would mend it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from kit.rehearsal.meter import Loop
from kit.rehearsal.worker import Measured

WAITS = 0.2  # share of a loop's time waiting for data from which the data bound it
BUSY = 0.8  # share of the cores from which all are at work


@dataclass(frozen=True)
class Estimate:
    """A stage of the whole run. seconds: None where it could not be measured, why: the reason.

    rate, unit: of its longest loop; waits: share of that loop's time waiting for data; bound: what bounds it.
    """

    stage: str
    seconds: float | None
    rate: float = 0.0
    unit: str = ""
    ram: int = 0
    gpu: int = 0
    disk: int = 0
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
    """What a stage takes in the whole run.

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
    share = measured.cpu / max(measured.seconds, 1e-9)
    if waits >= WAITS:
        return "decode" if share >= BUSY * cores else "loading"
    if measured.gpu:
        return "GPU"
    return "all cores" if share >= BUSY * cores and cores > 1 else "one core" if share < 1.5 else "cores"


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

    jobs: training stages side by side; needs: of each of these, the stages that it waits for.
    """

    stages: Sequence[Estimate]
    machine: str
    made: Sequence[str]
    minutes: float
    jobs: int = 1
    needs: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """Of all stages that were measured: those that train `jobs` at a time, the others one after the other."""
        return max((end for _, end in self._times().values()), default=0.0)

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
        """Bytes of all results."""
        return sum(stage.disk for stage in self.stages)

    def _times(self) -> dict[str, tuple[float, float]]:
        return timetable({s.stage: s.seconds or 0.0 for s in self.stages}, self.needs, self.jobs)

    def _at_once(self, sizes: Mapping[str, int]) -> int:
        times = self._times()
        sums = (
            sum(sizes[n] for n, (start, end) in times.items() if start <= begin < end or n == name)
            for name, (begin, _) in times.items()
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


def schedule(
    seconds: Mapping[str, float], needs: Mapping[str, Sequence[str]], workers: int
) -> dict[str, tuple[float, float]]:
    """When each stage begins and ends, `workers` at a time, each once those of them that it needs are done."""
    left, times, now = list(seconds), dict[str, tuple[float, float]](), 0.0
    while left:
        at_work = [name for name, (_, end) in times.items() if end > now]
        waiting = {*left, *at_work}
        ready = [name for name in left if not waiting & set(needs.get(name, ()))][: workers - len(at_work)]
        for name in ready:
            left.remove(name)
            times[name] = (now, now + seconds[name])
        if not ready:
            now = min(times[name][1] for name in at_work)
    return times


def timetable(
    seconds: Mapping[str, float], needs: Mapping[str, Sequence[str]], jobs: int
) -> dict[str, tuple[float, float]]:
    """When each stage of a run begins and ends: training ones, then the others; needs, jobs: of a `Rehearsal`."""
    times = schedule({name: took for name, took in seconds.items() if name in needs}, needs, jobs)
    now = max((end for _, end in times.values()), default=0.0)
    for name, took in seconds.items():
        if name not in needs:
            times[name], now = (now, now + took), now + took
    return times


def estimates(
    measured: Sequence[Measured], scales: Mapping[str, float], cores: Mapping[str, int], workers: int
) -> list[Estimate]:
    """Every stage's estimate. scales: of the stages whose data were cut short; cores: that a stage may use."""
    over_rows = [loop for m in measured for loop in m.loops if loop.rows and loop.step > 0]
    return [estimate(m, scales.get(m.stage, 1.0), cores[m.stage], workers, over_rows) for m in measured]
