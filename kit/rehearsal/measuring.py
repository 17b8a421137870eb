"""The processes that measure stages: one for all, or several side by side, a stage after another each."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from kit.base.files import write_json, write_text
from kit.config import Config
from kit.pipeline.crew import Crew, Workers
from kit.pipeline.jobs import side_by_side
from kit.pipeline.order import LOGS
from kit.pipeline.pipeline import Pipeline
from kit.pipeline.tasks import CLUSTER, NO_CLUSTER
from kit.rehearsal.schedule import Command
from kit.rehearsal.worker import SIDE_BY_SIDE, Measured, Work

MODULE = "kit.rehearsal.worker"
LOOP_SHARE = 1 / 60  # of the whole time, for each loop at its steady pace
LATEST = 2.0  # times the minutes asked for, after which what is at work is ended
STARTING = 240.0  # seconds more for the libraries to be loaded and tables to be made
LOG = "rehearsal-"  # before the name of a process's log


def logs_of(folder: Path) -> list[Path]:
    """The logs of a rehearsal of the run in a folder."""
    return sorted((folder / LOGS).glob(f"{LOG}*.txt"))


@dataclass
class Measuring:
    """What was measured of a run's stages, and why some failed; stages that need a failed one are left out.

    scratch: where the stages write; logs: what the processes say.
    """

    scratch: Path
    logs: Path
    minutes: float
    measured: dict[str, Measured] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.deadline = time.monotonic() + self.minutes * 60 * LATEST + STARTING
        self.files = self.scratch / "measuring"
        self.files.mkdir(parents=True, exist_ok=True)

    def prepare(self, job: Work, text: str) -> str | None:
        """Do a job that measures nothing; what went wrong, if something did. text: what it is, for the log."""
        with Crew(1) as crew, Workers(crew, MODULE) as workers:
            return self._run(job, text, text, workers)

    @contextmanager
    def command(self, command: Command, processes: int, threads: int) -> Iterator[None]:
        """Within it, stages are measured by the processes of one command.

        processes: at work at once, with those that a stage has beside its own.
        """
        several, self._jobs = command.jobs > 1, command.jobs
        self._crew = Crew(processes if several else 1, threads)
        self._crew.environment[CLUSTER] = NO_CLUSTER  # what is measured is this machine
        words = [SIDE_BY_SIDE] if several else command.loads
        with self._crew, Workers(self._crew, MODULE, words) as self._workers:
            yield

    def measure(
        self,
        pipeline: Pipeline,
        config: Config,
        names: Sequence[str],
        text: str,
        whole: Sequence[str] = (),
        twice: Sequence[str] = (),
    ) -> None:
        """Measure stages with a config, by the processes of the command that makes them.

        text: what they are, for the log; whole, twice: as of `Work`.
        """
        file = self.files / f"{text}-config.yaml"
        write_text(file, config.as_yaml())
        seconds = self.minutes * 60 * LOOP_SHARE
        job = Work(str(file), str(self.scratch / "run"), seconds, whole=list(whole), twice=list(twice))
        if self._jobs > 1:
            self._side_by_side(pipeline, names, job)
        else:
            self._in_order(pipeline, names, job, text)

    def has_failed(self, name: str) -> bool:
        """Whether a stage was tried and failed."""
        return name in self.failed or bool(name in self.measured and self.measured[name].failed)

    def _in_order(self, pipeline: Pipeline, names: Sequence[str], job: Work, text: str) -> None:
        """Measure stages by one process, and by another those that one leaves which dies."""
        tries = 0
        while self._is_time() and (left := [name for name in names if self._can_be_measured(pipeline, name)]):
            known, tries = len(self.measured) + len(self.failed), tries + 1
            log = f"{text}-{tries}" if tries > 1 else text
            fault = self._run(replace(job, stages=left), log, "the rehearsal", self._workers)
            if fault is None:
                return
            if len(self.measured) + len(self.failed) == known:  # it would fail so again, before any stage
                self.failed.update(dict.fromkeys(left, fault))

    def _side_by_side(self, pipeline: Pipeline, names: Sequence[str], job: Work) -> None:
        """Measure stages as `--jobs` makes them: some at a time, by as many processes."""

        def do(name: str) -> None:
            fault = self._run(replace(job, stages=[name]), name, name, self._workers)
            if fault and name not in self.measured:
                self.failed.setdefault(name, fault)

        def is_passed_over(name: str) -> bool:
            return not self._is_time() or not self._can_be_measured(pipeline, name)

        side_by_side(names, pipeline.stages, self._jobs, self._crew, do, is_passed_over)

    def _is_time(self) -> bool:
        return time.monotonic() < self.deadline

    def _can_be_measured(self, pipeline: Pipeline, name: str) -> bool:
        """Whether a stage was not measured yet and needs none that failed."""
        return name not in self.measured and not any(map(self.has_failed, pipeline.closure([name])))

    def _run(self, job: Work, file: str, name: str, workers: Workers) -> str | None:
        """Let one of the processes measure stages; what went wrong, if something did: of the one at work then.

        file: of its log; name: for messages. The crew is ended where it takes far too long.
        """
        words, out = self.files / f"{file}.json", self.files / f"{file}.jsonl"
        out.unlink(missing_ok=True)
        write_json(words, asdict(replace(job, out=str(out))))
        timer = threading.Timer(max(self.deadline - time.monotonic(), 1.0), workers.crew.end)
        timer.daemon = True
        timer.start()
        try:
            log = self.logs / LOGS / f"{LOG}{file}.txt"
            fault = workers.do(str(words), name, log)
        finally:
            timer.cancel()
        if fault and not self._is_time():
            allowed = LATEST * self.minutes + STARTING / 60
            fault = f"not at its end after {allowed:.0f} minutes in all; give more --minutes ({fault})"
        at_work = self._read(out)
        if fault and at_work:
            self.failed[at_work] = fault
        return fault

    def _read(self, out: Path) -> str | None:
        """Take what a process has measured; the stage that it had begun then, if any.

        A last line without its end was being written when the process died.
        """
        begun: list[str] = []
        *lines, _ = out.read_text(encoding="utf-8").split("\n") if out.exists() else [""]
        for line in lines:
            values = json.loads(line)
            if "begun" in values:
                begun = values["begun"]
            else:
                measured = Measured.of_dict(values)
                self.measured[measured.stage] = measured
        return next((name for name in begun if name not in self.measured), None)
