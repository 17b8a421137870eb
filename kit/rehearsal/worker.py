"""A process that measures stages: `python -m kit.rehearsal.worker` reads paths of jobs (JSON) from stdin."""

from __future__ import annotations

import gc
import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit.base.clock import Clock
from kit.base.errors import KitError, first_line
from kit.base.files import read_json
from kit.base.process import run_as_process
from kit.base.progress import set_meter
from kit.pipeline.run import Attempt, Run
from kit.rehearsal.loading import Loading, Modules
from kit.rehearsal.memory import PeakMemory
from kit.rehearsal.meter import Loop, LoopMeter
from kit.rehearsal.work_clock import WorkClock

if TYPE_CHECKING:
    from kit.config import Config
    from kit.pipeline.pipeline import Pipeline

SIDE_BY_SIDE = "side-by-side"  # word: other stages are measured at the same time, as `--jobs` makes them
OUTSIDE = 0.2  # share of a stage outside its loops from which that is measured a second time


@dataclass(frozen=True)
class Measured:
    """A stage as it went in the rehearsal; bytes are the largest numbers, of the GPU those that torch held.

    seconds: all of its work, without the loading of libraries; outside: outside its loops; again: the same of a
    second time, where its data were cut short and much of it is outside; before, modules: what it needs loaded
    before its time is taken, and within, with the seconds of each; group: the stages that were made with it;
    cores: that were at work, on average; card: the GPU that it used; failed: why it did not come to its end.
    """

    stage: str
    seconds: float = 0.0
    outside: float = 0.0
    again: float | None = None
    before: Modules = field(default_factory=dict)
    modules: Modules = field(default_factory=dict)
    group: tuple[str, ...] = ()
    cores: float = 0.0
    loops: tuple[Loop, ...] = ()
    ram: int = 0
    gpu: int = 0
    disk: int = 0
    card: str = ""
    failed: str = ""

    @classmethod
    def of_dict(cls, values: dict[str, Any]) -> Measured:
        """Read a line."""
        loops = tuple(Loop(**loop) for loop in values["loops"])
        return cls(**{**values, "loops": loops, "group": tuple(values["group"])})


@dataclass(frozen=True)
class Work:
    """What a worker is told.

    seconds: of a loop at its steady pace; out: the file that it writes; whole: stages whose loops go to their end,
    and those of the stages that are made together with them; twice: stages whose data were cut short; fusion:
    compile the fusion of boxes; weights: to be made, by architecture.
    """

    config: str = ""
    run: str = ""
    seconds: float = 0.0
    out: str = ""
    stages: list[str] = field(default_factory=list)
    whole: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    fusion: bool = False
    weights: list[tuple[str, str]] = field(default_factory=list)


def work(words: Sequence[str]) -> int:
    """Do one job after another: 0. Raises KitError for a job that cannot be read.

    words: SIDE_BY_SIDE, or the modules that this process has loaded before its stages.
    """
    from kit.base.log import configure_logging
    from kit.pipeline.ranks import ranks_kept
    from kit.pipeline.tasks import VERBOSITY, tasks

    configure_logging(int(os.environ.get(VERBOSITY, "0")))
    for module in {*words} - {SIDE_BY_SIDE}:
        import_module(module)
    clock = WorkClock()
    loading = Loading(clock)
    loading.start()
    with ranks_kept(as_many_cores=SIDE_BY_SIDE in words):
        for path in tasks():
            _do(Work(**read_json(Path(path), dict)), clock, loading)
    return 0


def _do(job: Work, clock: WorkClock, loading: Loading) -> None:
    """Prepare, and measure stages: a line of JSON is what was measured of one, or which are begun."""
    if job.fusion:  # it is compiled where it was not on this machine: the run then loads what was kept
        import_module("kit.fusion.kernel")
    for architecture, path in job.weights:
        make_weights(architecture, Path(path))
    if job.stages:
        with open(job.out, "a", encoding="utf-8") as out:
            for line in _lines(job, clock, loading):
                out.write(json.dumps(line) + "\n")
                out.flush()


def _lines(job: Work, clock: WorkClock, loading: Loading) -> Iterator[dict[str, Any]]:
    """Yield, as it goes, which stages are begun, and what was measured of each."""
    from kit.base.log import logger
    from kit.base.threads import use_threads
    from kit.config import load_config
    from kit.pipeline.images import listed_once
    from kit.pipeline.order import next_group
    from kit.pipeline.pipeline import Pipeline
    from kit.rehearsal.made_classes import MadeClasses

    run = WatchedRun(load_config(job.config), Path(job.run))
    use_threads(run.config.cpu_threads)
    pipeline, failed, left = Pipeline(run), set[str](), list(job.stages)
    MadeClasses(pipeline, job.stages, clock.pause)
    with listed_once():
        stopwatch = Stopwatch(pipeline, run, clock, loading)
        while left:
            group = next_group(pipeline.stages, left)
            left = [name for name in left if name not in group]
            names = [name for name in group if not failed & set(pipeline.closure([name]))]
            seconds = math.inf if set(names) & set(job.whole) else job.seconds
            for measured in stopwatch.measure(names, seconds, bool(set(names) & set(job.twice))):
                if isinstance(measured, Measured):
                    logger.debug(f"{measured.stage}: measured in {measured.seconds:.1f} s")
                    failed |= {measured.stage} if measured.failed else set()
                    yield asdict(measured)
                else:
                    yield {"begun": measured}


class WatchedRun(Run):
    """A run that says when its stages begin to work, and when they have ended."""

    def __init__(self, config: Config, path: Path) -> None:
        super().__init__(config, path)
        self.begins: Callable[[], None] = lambda: None
        self.ends: Callable[[], None] = lambda: None

    @contextmanager
    def working(
        self, name: str, fingerprint: dict[str, Any], *, force: bool = False, timing_files: Sequence[str] = ()
    ) -> Iterator[Attempt]:
        """As of any run."""
        with super().working(name, fingerprint, force=force, timing_files=timing_files) as attempt:
            self.begins()
            yield attempt
            self.ends()


@dataclass
class _Lap:
    """One time that stages were made."""

    meter: LoopMeter
    clock: Clock = field(default_factory=Clock)
    begun: float = 0.0
    ended: bool = False
    took: float = 0.0
    cores: float = 0.0
    before: Modules = field(default_factory=dict)
    modules: Modules = field(default_factory=dict)
    failed: str = ""

    @property
    def outside(self) -> float:
        """Seconds outside of loops."""
        return self.took - self.meter.outside


class Stopwatch:
    """Measures stages of a pipeline. run: its run; clock, loading: of this process."""

    def __init__(self, pipeline: Pipeline, run: WatchedRun, clock: WorkClock, loading: Loading) -> None:
        self.pipeline, self.run, self.clock, self.loading = pipeline, run, clock, loading

    def measure(self, names: Sequence[str], seconds: float, twice: bool) -> Iterator[Measured | list[str]]:
        """Do stages, together where they are several; yields which are begun, then what was measured of each.

        seconds: after which a loop is ended; twice: do them a second time where much is outside of loops. All have
        an equal share of the time. Where they fail together, each is measured by itself.
        """
        if not names:
            return
        yield list(names)
        held = _free_gpu()
        with PeakMemory() as memory:
            lap = self._timed(names, seconds)
        failed, again = lap.failed, None
        if twice and not failed and lap.outside >= OUTSIDE * lap.took:
            second = self._timed(names, seconds)
            failed, again = second.failed, second.outside
        if failed and len(names) > 1:
            for name in names:
                yield from self.measure([name], seconds, twice)
            return
        gpu, card = _gpu_peak(held)
        share = 1 / len(names)
        for name in names:
            yield Measured(
                stage=name,
                seconds=lap.took * share,
                outside=lap.outside * share,
                again=None if again is None else again * share,
                before=lap.before,
                modules=lap.modules,
                group=tuple(names),
                cores=lap.cores,
                loops=tuple(loop.part(share) for loop in lap.meter.loops),
                ram=memory.bytes,
                gpu=gpu,
                disk=sum((self.pipeline.run.record(name) or {}).get("files", {}).values()),
                card=card,
                failed=failed,
            )

    def _timed(self, names: Sequence[str], seconds: float) -> _Lap:
        """Do stages from their start, with the time that their run would take down."""
        lap = _Lap(LoopMeter(seconds, self.clock.now))

        def begins() -> None:
            lap.before |= self.loading.needed()
            lap.begun, lap.clock = self.clock.now(), Clock()

        def ends() -> None:
            if not lap.ended:
                lap.ended, lap.took = True, self.clock.now() - lap.begun
                lap.cores = lap.clock.processor_seconds / max(lap.clock.seconds, 1e-9)
                lap.modules = self.loading.needed()

        self.run.begins, self.run.ends = begins, ends
        set_meter(lap.meter)
        try:
            self.pipeline.do_all(names, force=names)
        except (KitError, RuntimeError, MemoryError) as error:
            lap.failed = first_line(error)
        finally:
            set_meter(None)
        return lap


def make_weights(architecture: str, path: Path) -> None:
    """Write freshly initialised weights of 80 classes, in place of COCO's."""
    from kit.detector.architecture import fresh_weights
    from kit.detector.checkpoint import write_state
    from kit.vocabulary.class_map import coco_names

    names = coco_names()
    write_state(path, fresh_weights(architecture, len(names), 0), names)


def _torch_on_gpu() -> Any:
    """Torch, where this process has used a GPU by it."""
    torch: Any = sys.modules.get("torch")
    return torch if torch is not None and torch.cuda.is_initialized() else None


def _free_gpu() -> int:
    """Give back what an earlier stage left on the GPU; the bytes that are still held."""
    torch = _torch_on_gpu()
    if torch is None:
        return 0
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    return int(torch.cuda.memory_reserved())


def _gpu_peak(held: int) -> tuple[int, str]:
    """The most bytes of the GPU since then, and its name; 0 and no name where no more than `held` were taken."""
    torch = _torch_on_gpu()
    peak = 0 if torch is None else int(torch.cuda.max_memory_reserved())
    return (peak, str(torch.cuda.get_device_name())) if peak > held else (0, "")


if __name__ == "__main__":
    run_as_process(work, sys.argv[1:])
