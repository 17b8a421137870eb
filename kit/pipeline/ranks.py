"""Processes of this machine that do a stage together with this one, which is the first of them."""

from __future__ import annotations

import json
import shutil
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import mkdtemp

from kit.base import stopping
from kit.base.errors import KitError, first_line
from kit.base.threads import cpu_share, with_threads
from kit.config import Config
from kit.detector.process_group import init_process_group, one_of
from kit.pipeline.crew import Crew, Workers
from kit.pipeline.order import LOGS
from kit.pipeline.run import Run
from kit.pipeline.stage import Stage

MODULE = "kit.pipeline.rank_worker"
PATIENCE = 10.0  # seconds that this process has to end a stage at which another one has failed
MOMENT = 3.0  # seconds in which the end of a process is noticed after its connections are cut
LOOK = 0.02  # seconds between two looks at who has come
_kept: _Ranks | None = None


@dataclass(frozen=True)
class Part:
    """One process's part in a stage. rank: from 0, of `count`; folder: where they meet, of their own."""

    run: str
    config: str
    stage: str
    rank: int
    count: int
    folder: str

    @property
    def meeting(self) -> Path:
        """The file by which they meet."""
        return Path(self.folder) / "meeting"

    @property
    def ready(self) -> Path:
        """The file that says that this process is at the meeting."""
        return Path(self.folder) / f"ready-{self.rank}"

    def remove_folder(self) -> None:
        """Leave nothing: what they met by is asked until the process group has ended."""
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def ranks_kept(as_many_cores: bool = False) -> Iterator[None]:
    """Inside, processes that did a stage together with this one wait for the next: libraries are loaded once.

    as_many_cores: each of them may use as many processors as this one; else they share those of this one.
    """
    global _kept
    if _kept is not None:
        yield
        return
    _kept = _Ranks(as_many_cores)
    try:
        yield
        _kept.close()
    except BaseException:
        _kept.end()
        raise
    finally:
        _kept = None


@contextmanager
def beside(run: Run, stage: Stage) -> Iterator[None]:
    """Inside, the others do the stage too, if it is one of several processes.

    Raises KitError, one line, where one of them fails; all are ended then, as they are after any other error.
    """
    if stage.processes == 1:
        yield
        return
    with ranks_kept():
        assert _kept is not None
        with _kept.at(run, stage):
            yield


class _Ranks:
    """The other processes, once a stage has needed them."""

    def __init__(self, as_many_cores: bool) -> None:
        self.as_many_cores = as_many_cores
        self._crew: Crew | None = None
        self._workers: Workers | None = None

    def end(self) -> None:
        """End all, whatever they do."""
        if self._crew is not None:
            self._crew.end()
        self._crew = self._workers = None

    def close(self) -> None:
        """Let those that wait end."""
        if self._workers is not None:
            self._workers.close()
        self._crew = self._workers = None

    def _standing(self, run: Run, count: int) -> Workers:
        if self._workers is None:
            self._crew = Crew(1 if self.as_many_cores else count, run.config.cpu_threads)
            self._workers = Workers(self._crew, MODULE, aloud=False)
        return self._workers

    def _threads(self, config: Config, count: int) -> AbstractContextManager[None]:
        """Inside, this process computes with its share of the processors, where the config says nothing."""
        if config.cpu_threads or self.as_many_cores:
            return nullcontext()
        return with_threads(cpu_share(count))

    @contextmanager
    def at(self, run: Run, stage: Stage) -> Iterator[None]:
        """Inside, all do a stage. Raises KitError where another one fails."""
        count, config = stage.processes, run.own_config()
        first = Part(str(run.path), str(config), stage.name, 0, count, mkdtemp(prefix="kit-"))
        parts = [replace(first, rank=rank) for rank in range(1, count)]
        stopping.at_end(first.remove_folder)
        others = _Others(self._standing(run, count), run, parts)
        with ThreadPoolExecutor(count - 1) as pool:
            try:
                with one_of(count, 0, first.meeting), self._threads(run.config, count):
                    for part in parts:
                        pool.submit(others.do, part)
                    with others.blamed():
                        others.wait_for_all()
                        init_process_group(stage.device, gpu=stage.device != "cpu")
                        yield
                others.over.set()
                pool.shutdown()
                others.raise_fault()
            except BaseException:
                others.over.set()
                self.end()
                raise
            finally:
                first.remove_folder()


class _Others:
    """The other processes at one stage, and what went wrong with them."""

    def __init__(self, workers: Workers, run: Run, parts: Sequence[Part]) -> None:
        self.workers, self.run, self.parts = workers, run, parts
        self.faults: list[str] = []
        self.failed, self.over = threading.Event(), threading.Event()

    def do(self, part: Part) -> None:
        """Let a process do its part; should it fail and this one not notice, end this one too."""
        number = part.rank + 1
        name, log = f"process {number} of {part.count}", self.run.path / LOGS / f"{part.stage}.{number}.txt"
        try:
            fault = self.workers.do(json.dumps(asdict(part)), name, log)
        except KitError as error:
            fault = error.message
        except Exception as error:  # the system starts no process more, say
            fault = f"{name} failed: {first_line(error)}"
        if fault is None:
            return
        self.faults.append(f"{part.stage}: {fault}")
        self.failed.set()
        if not self.over.wait(PATIENCE):  # it waits in a library's code for what will not come
            sys.stderr.write(f"kit: {self.faults[0]}\n")
            stopping.leave(2)

    def wait_for_all(self) -> None:
        """Wait until all are there. Raises KitError where one fails before."""
        import torch  # noqa: F401  # while they do so, too

        while not all(part.ready.exists() for part in self.parts):
            self.raise_fault()
            time.sleep(LOOK)

    @contextmanager
    def blamed(self) -> Iterator[None]:
        """Raise KitError in place of the error that this process has from another one's end."""
        try:
            yield
        except KitError:
            raise
        except Exception as error:
            if self.failed.wait(MOMENT):
                raise KitError(self.faults[0]) from error
            raise

    def raise_fault(self) -> None:
        """Raise KitError where one has failed."""
        if self.faults:
            raise KitError(self.faults[0])
