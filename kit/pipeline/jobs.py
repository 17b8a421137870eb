"""Several processes side by side: every job makes stages of a run, its output goes to a log."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, as_completed, wait
from dataclasses import dataclass
from pathlib import Path

from kit.base.errors import KitError
from kit.base.progress import track
from kit.pipeline.crew import Crew, Workers
from kit.pipeline.order import LOGS
from kit.pipeline.pipeline import Pipeline
from kit.pipeline.stage import Stage
from kit.pipeline.tasks import Mode


@dataclass(frozen=True)
class Job:
    """Stages of a run for one process. config: a YAML file; log: where the output goes.

    mode: make the stages and what they need, do just these, or redo just these though they are fresh.
    """

    name: str
    config: Path
    run: Path
    stages: Sequence[str]
    log: Path
    mode: Mode = "make"


def _work(crew: Crew, job: Job) -> str | None:
    """Do a job in a process of its own; what went wrong, if something did."""
    words = [str(job.config), str(job.run), job.mode, *job.stages]
    process = crew.start("kit.pipeline.worker", words)
    return crew.follow(process, job.name, job.log) if process else f"{job.name}: stopped"


def run_jobs(jobs: Sequence[Job], workers: int, text: str) -> None:
    """Run the jobs, `workers` at a time, the processors shared out among them.

    Raises KitError, after all have ended, where one failed: its name, its last line, its log.
    """
    failed: dict[str, str] = {}
    with ThreadPoolExecutor(max(1, workers)) as pool, Crew(max(1, min(workers, len(jobs)))) as crew:
        at_work = {pool.submit(_work, crew, job): job.name for job in jobs}
        for future in track(as_completed(at_work), len(jobs), text):
            fault = future.result()
            if fault is not None:
                failed[at_work[future]] = fault
    for job in jobs:
        if job.name in failed:
            raise KitError(failed[job.name])


def run_stages(pipeline: Pipeline, names: Sequence[str], workers: int, force: Collection[str] = ()) -> None:
    """Make stages that are not fresh, in order, or `workers` at a time, by as many processes.

    In order, stages that can be made together are; side by side, each is made by itself.
    A stage begins once all that it needs is made. Raises KitError where one failed, after those that run by then
    have come to their end; nothing else is started.
    """
    if workers < 1:
        raise KitError(f"{workers} jobs", "give at least one")
    pipeline.check_inputs(names, force)
    pipeline.require(names)
    if workers == 1:
        pipeline.do_all(names, force)
        return
    run = pipeline.run
    run.write_config()
    crew = Crew(max(workers, *(pipeline.stages[name].processes for name in names), 1), run.config.cpu_threads)
    processes = Workers(crew, "kit.pipeline.worker", [str(run.own_config()), str(run.path)])

    def do(name: str) -> str | None:
        mode: Mode = "redo" if name in force else "do"
        return processes.do(f"{mode} {name}", name, run.path / LOGS / f"{name}.txt")

    def is_made(name: str) -> bool:
        return name not in force and pipeline.is_fresh(name)

    with processes:
        fault = side_by_side(names, pipeline.stages, workers, crew, do, is_made)
    if fault:
        raise KitError(fault)


def side_by_side(
    names: Sequence[str],
    stages: Mapping[str, Stage],
    workers: int,
    crew: Crew,
    do: Callable[[str], str | None],
    is_passed_over: Callable[[str], bool],
) -> str | None:
    """Do stages, `workers` at a time, each once those of them that it needs are done; what went wrong first.

    One of several processes counts as so many (all workers, where there are fewer) and goes before the others.
    do: does one by a process of the crew, in a thread of its own, and gives what went wrong, after which no other
    is begun; is_passed_over: whether a stage whose turn has come is not to be done.
    """
    left, running = list(names), dict[Future[str | None], str]()
    failed: str | None = None
    with ThreadPoolExecutor(workers) as pool, crew:
        while left or running:
            waiting = {*left, *running.values()}
            ready = [stages[n] for n in left if not waiting & set(stages[n].needs)] if failed is None else []
            free = workers - sum(min(workers, stages[name].processes) for name in running.values())
            for name in _that_fit(ready, workers, free):
                left.remove(name)
                if is_passed_over(name):
                    break
                running[pool.submit(do, name)] = name
            else:
                if not running:
                    break
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    del running[future]
                    failed = failed or future.result()
    return failed


def _that_fit(ready: Sequence[Stage], workers: int, free: int) -> list[str]:
    """The stages to begin with so many workers free, those of many processes first; none before one that waits."""
    found = []
    for stage in sorted(ready, key=lambda stage: -stage.processes):
        free -= min(workers, stage.processes)
        if free < 0:
            break
        found.append(stage.name)
    return found
