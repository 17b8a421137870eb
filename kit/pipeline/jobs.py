"""Several processes side by side: every job makes stages of a run, its output goes to a log."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, as_completed, wait
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from kit.base.errors import KitError
from kit.base.files import writing
from kit.base.log import logger, verbosity
from kit.base.progress import track
from kit.base.stopping import GRACE_PERIOD, PARENT
from kit.base.threads import SHARE, cpu_share
from kit.pipeline.order import LOGS
from kit.pipeline.pipeline import Pipeline
from kit.pipeline.tasks import MARK
from kit.pipeline.worker import VERBOSITY, Mode

Process = subprocess.Popen[str]


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


class Crew:
    """The processes at work; on leaving the context by an error they are ended, and none is started after.

    Each is in a process group of its own, so that a Ctrl-C reaches the parent alone, and ends by itself soon
    after a parent that was killed.
    """

    def __init__(self, workers: int, threads: int = 0) -> None:
        """workers: processes side by side; threads: of each, 0 for its share of the processors."""
        self._mark = secrets.token_hex()
        self.environment = {
            **os.environ,
            MARK: self._mark,
            SHARE: str(cpu_share(workers)),
            "OMP_NUM_THREADS": str(threads or cpu_share(workers)),
            "PYTHONIOENCODING": "utf-8:backslashreplace",
            PARENT: str(os.getpid()),
            VERBOSITY: str(verbosity()),
        }
        self._lock = threading.Lock()
        self._running: set[Process] = set()
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
        deadline = time.monotonic() + GRACE_PERIOD
        for process in left:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
            process.kill()

    def work(self, job: Job) -> str | None:
        """Do a job in a process of its own; what went wrong, if something did."""
        words = [str(job.config), str(job.run), job.mode, *job.stages]
        process = self.start("kit.pipeline.worker", words)
        return self.follow(process, job.name, job.log) if process else f"{job.name}: stopped"

    def start(self, module: str, words: Sequence[str], stdin: int = subprocess.DEVNULL) -> Process | None:
        """Begin a process of a module of kit; None where the crew is ended.

        stdin: subprocess.PIPE to talk to it.
        """
        with self._lock:
            if self._over:
                return None
            process = subprocess.Popen(
                [sys.executable, "-m", module, *words],
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=self.environment,
                encoding="utf-8",
                errors="backslashreplace",
                process_group=0,
            )
            self._running.add(process)
        return process

    def follow(self, process: Process, name: str, log_path: Path, aloud: bool = False) -> str | None:
        """Write what a process says to a log, until it says that a task is done, or ends; what went wrong.

        aloud: pass the lines on to the user.
        """
        last = ""
        try:
            with writing(log_path):
                log_path.parent.mkdir(parents=True, exist_ok=True)
                with log_path.open("w", encoding="utf-8") as log:
                    for said in process.stdout or ():
                        line, done, _ = said.partition(self._mark)
                        last = line.strip() or last
                        if line and aloud and not self._over:
                            logger.warning(line.rstrip())  # of what the child says at all
                        log.write(line)
                        log.flush()
                        if done:
                            return None
        except BaseException:
            process.terminate()
            raise
        code = self.ended(process)
        return _failure(name, log_path, code, last) if code else None

    def ended(self, process: Process) -> int:
        """Wait for the end of a process; its exit code."""
        self._running.discard(process)
        with suppress(BrokenPipeError), process:  # of words that it has not taken
            process.wait()
        return process.returncode


class Workers:
    """Processes of a crew that do one task after another each: libraries are loaded once.

    On leaving the context without an error the idle ones end.
    """

    def __init__(self, crew: Crew, module: str, words: Sequence[str] = ()) -> None:
        """module: of kit, whose process takes tasks from stdin, a line each, and says when one is done."""
        self.crew, self.module, self.words = crew, module, words
        self._idle: list[Process] = []

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            for process in self._idle:
                process.communicate()  # nothing more to do: it ends
                self.crew.ended(process)

    def do(self, task: str, name: str, log: Path) -> str | None:
        """Do a task by an idle process, or a new one where all are busy; what went wrong, if something did."""
        process = self._take(task)
        if process is None:
            return f"{name}: stopped"
        fault = self.crew.follow(process, name, log, aloud=True)
        if process.returncode is None:
            self._idle.append(process)
        elif not fault:
            return f"{name} failed: its process ended"
        return fault

    def _take(self, task: str) -> Process | None:
        """A process that was told a task; None where the crew is ended."""
        while True:
            try:
                process: Process | None = self._idle.pop()
            except IndexError:
                process = self.crew.start(self.module, self.words, subprocess.PIPE)
            if process is None:
                return None
            assert process.stdin
            try:
                process.stdin.write(f"{task}\n")
                process.stdin.flush()
                return process
            except BrokenPipeError:  # it was ended from elsewhere while it was idle
                self.crew.ended(process)


def _failure(name: str, log: Path, code: int, last: str) -> str:
    if code == -signal.SIGKILL:
        why = "killed (out of memory?)"
    elif code < 0:
        why = f"ended by signal {-code} ({signal.strsignal(-code)})"
    else:
        why = last.removeprefix("kit: ") or f"exit code {code}"
    return f"{name} failed: {why} (see {log})"


def run_jobs(jobs: Sequence[Job], workers: int, text: str) -> None:
    """Run the jobs, `workers` at a time, the processors shared out among them.

    Raises KitError, after all have ended, where one failed: its name, its last line, its log.
    """
    failed: dict[str, str] = {}
    with ThreadPoolExecutor(max(1, workers)) as pool, Crew(max(1, min(workers, len(jobs)))) as crew:
        at_work = {pool.submit(crew.work, job): job.name for job in jobs}
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
    crew = Crew(workers, run.config.cpu_threads)
    processes = Workers(crew, "kit.pipeline.worker", [str(run.path / "config.yaml"), str(run.path)])

    def do(name: str) -> str | None:
        mode: Mode = "redo" if name in force else "do"
        return processes.do(f"{mode} {name}", name, run.path / LOGS / f"{name}.txt")

    def is_made(name: str) -> bool:
        return name not in force and pipeline.is_fresh(name)

    needs = {name: pipeline.stages[name].needs for name in names}
    with processes:
        fault = side_by_side(names, needs, workers, crew, do, is_made)
    if fault:
        raise KitError(fault)


def side_by_side(
    names: Sequence[str],
    needs: Mapping[str, Sequence[str]],
    workers: int,
    crew: Crew,
    do: Callable[[str], str | None],
    is_passed_over: Callable[[str], bool],
) -> str | None:
    """Do stages, `workers` at a time, each once those of them that it needs are done; what went wrong first.

    do: does one by a process of the crew, in a thread of its own, and gives what went wrong, after which no other
    is begun; is_passed_over: whether a stage whose turn has come is not to be done.
    """
    left, running = list(names), dict[Future[str | None], str]()
    failed: str | None = None
    with ThreadPoolExecutor(workers) as pool, crew:
        while left or running:
            waiting = {*left, *running.values()}
            ready = [n for n in left if not waiting & set(needs[n])] if failed is None else []
            for name in ready[: workers - len(running)]:
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
