"""Several kit processes side by side: every job is a list of commands, its output goes to a log."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from kit.errors import KitError
from kit.parallel import ordered_map
from kit.progress import notice, track
from kit.run import Run
from kit.stages.plan import Step


@dataclass(frozen=True)
class Job:
    """Commands (words after `kit`) to run one after the other; log: where their output goes."""

    name: str
    commands: Sequence[Sequence[str]]
    log: Path


def run_jobs(jobs: Sequence[Job], workers: int, text: str) -> None:
    """Run the jobs, `workers` at a time, the processors shared out among them.

    Raises KitError, after all have ended, where one failed: its name, its last line, its log.
    """
    threads = _share(max(1, min(workers, len(jobs))))
    results = ordered_map(lambda job: _run(job, threads), jobs, workers)
    failed = [fault for fault in track(results, len(jobs), text) if fault]
    if failed:
        raise KitError(failed[0])


def _run(job: Job, threads: int, aloud: bool = False) -> str | None:
    """What went wrong, if something did; aloud: pass the lines on to the user."""
    job.log.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    with job.log.open("w", encoding="utf-8") as log:
        for command in job.commands:
            words = [sys.executable, "-m", "kit", *command]
            last = ""
            with subprocess.Popen(
                words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment, text=True
            ) as process:
                for line in process.stdout or ():
                    log.write(line)
                    log.flush()
                    last = line.strip() or last
                    if aloud:
                        notice(line.rstrip())
            if process.returncode:
                return f"{job.name} failed: {last.removeprefix('kit: ')} (see {job.log})"
    return None


def run_steps(run: Run, steps: Sequence[Step], workers: int, force: bool = False) -> None:
    """Do the steps in order, or `workers` at a time, each in a process of its own once all before it are done.

    Raises KitError where one failed; what runs by then is ended first, nothing else is started.
    """
    if workers == 1:
        for step in steps:
            step.work(run, force)
        return
    config = run.path / "config.yaml"
    run.write_config()
    left, running = list(steps), dict[Future[str | None], Step]()
    failed: str | None = None
    with ThreadPoolExecutor(workers) as pool:
        while left or running:
            waiting = {step.name for step in (*left, *running.values())}
            ready = [s for s in left if not waiting & set(s.after)] if failed is None else []
            for step in ready[: workers - len(running)]:
                words = ["train", "stage", step.name, "-c", str(config), "--run", str(run.path)]
                job = Job(step.name, [[*words, *["--force"] * force]], run.path / "logs" / f"{step.name}.txt")
                threads = run.config.cpu_threads or _share(workers)
                running[pool.submit(_run, job, threads, True)] = step
                left.remove(step)
            if not running:
                break
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                del running[future]
                failed = failed or future.result()
    if failed:
        raise KitError(failed)


def _share(workers: int) -> int:
    return max(1, (os.cpu_count() or 1) // workers)
