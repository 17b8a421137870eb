"""Processes of kit at work beside this one: started, followed into logs, ended with it."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from kit.base.files import writing
from kit.base.log import logger, verbosity
from kit.base.stopping import GRACE_PERIOD, PARENT
from kit.base.threads import SHARE, cpu_share
from kit.pipeline.tasks import MARK, VERBOSITY

Process = subprocess.Popen[str]


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

    def __init__(self, crew: Crew, module: str, words: Sequence[str] = (), aloud: bool = True) -> None:
        """module: of kit, whose process takes tasks from stdin, a line each, and says when one is done.

        aloud: pass on to the user what they say.
        """
        self.crew, self.module, self.words, self.aloud = crew, module, words, aloud
        self._idle: list[Process] = []

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()

    def close(self) -> None:
        """Let the idle ones end."""
        for process in self._idle:
            process.communicate()  # nothing more to do: it ends
            self.crew.ended(process)

    def do(self, task: str, name: str, log: Path) -> str | None:
        """Do a task by an idle process, or a new one where all are busy; what went wrong, if something did."""
        process = self._take(task)
        if process is None:
            return f"{name}: stopped"
        fault = self.crew.follow(process, name, log, self.aloud)
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
