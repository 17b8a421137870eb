"""Several kit processes side by side: every job is a list of commands, its output goes to a log."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, as_completed, wait
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from kit.errors import KitError
from kit.files import writing
from kit.progress import notice, track
from kit.run import Run
from kit.stages.plan import Step
from kit.stopping import PARENT, PATIENCE


@dataclass(frozen=True)
class Job:
    """Commands (words after `kit`) to run one after the other; log: where their output goes."""

    name: str
    commands: Sequence[Sequence[str]]
    log: Path


class Crew:
    """The processes at work; on leaving the context by an error they are ended, and none is started after.

    Each is in a process group of its own, so that a Ctrl-C reaches the parent alone, and ends by itself soon
    after a parent that was killed.
    """

    def __init__(self, threads: int) -> None:
        """threads: of each process."""
        self.environment = {
            **os.environ,
            "OMP_NUM_THREADS": str(threads),
            "PYTHONIOENCODING": "utf-8:backslashreplace",
            PARENT: str(os.getpid()),
        }
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[str]] = set()
        self._over = False

    def __enter__(self) -> Crew:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.end()

    def end(self) -> None:
        """SIGTERM to all, SIGKILL to those that are there after a while."""
        with self._lock:
            self._over = True
            left = list(self._running)
        for process in left:
            process.terminate()
        deadline = time.monotonic() + PATIENCE
        for process in left:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
            process.kill()

    def work(self, job: Job, aloud: bool = False) -> str | None:
        """Do a job; what went wrong, if something did. aloud: pass the lines on to the user."""
        with writing(job.log):
            job.log.parent.mkdir(parents=True, exist_ok=True)
            with job.log.open("w", encoding="utf-8") as log:
                for command in job.commands:
                    process = self._start([sys.executable, "-m", "kit", *command])
                    if process is None:
                        return f"{job.name}: stopped"
                    last = ""
                    with process:
                        try:
                            for line in process.stdout or ():
                                last = line.strip() or last
                                if aloud and not self._over:
                                    notice(line.rstrip())
                                log.write(line)
                                log.flush()
                        except BaseException:
                            process.terminate()
                            raise
                    self._running.discard(process)
                    if process.returncode:
                        return _failure(job, process.returncode, last)
        return None

    def _start(self, words: Sequence[str]) -> subprocess.Popen[str] | None:
        with self._lock:
            if self._over:
                return None
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=self.environment,
                encoding="utf-8",
                errors="backslashreplace",
                process_group=0,
            )
            self._running.add(process)
        return process


def _failure(job: Job, code: int, last: str) -> str:
    if code == -9:
        return f"{job.name} failed: killed (out of memory?) (see {job.log})"
    return f"{job.name} failed: {last.removeprefix('kit: ') or f'exit code {code}'} (see {job.log})"


def run_jobs(jobs: Sequence[Job], workers: int, text: str) -> None:
    """Run the jobs, `workers` at a time, the processors shared out among them.

    Raises KitError, after all have ended, where one failed: its name, its last line, its log.
    """
    failed: dict[str, str] = {}
    with ThreadPoolExecutor(max(1, workers)) as pool, Crew(_share(max(1, min(workers, len(jobs))))) as crew:
        at_work = {pool.submit(crew.work, job): job.name for job in jobs}
        for future in track(as_completed(at_work), len(jobs), text):
            fault = future.result()
            if fault is not None:
                failed[at_work[future]] = fault
    for job in jobs:
        if job.name in failed:
            raise KitError(failed[job.name])


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
    threads = run.config.cpu_threads or _share(workers)
    with ThreadPoolExecutor(workers) as pool, Crew(threads) as crew:
        while left or running:
            waiting = {step.name for step in (*left, *running.values())}
            ready = [s for s in left if not waiting & set(s.after)] if failed is None else []
            for step in ready[: workers - len(running)]:
                words = ["train", "stage", step.name, "-c", str(config), "--run", str(run.path)]
                job = Job(step.name, [[*words, *["--force"] * force]], run.path / "logs" / f"{step.name}.txt")
                running[pool.submit(crew.work, job, True)] = step
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
