"""What runs on a node of a cluster: a process that makes pieces of one work, what these share loaded once."""

from __future__ import annotations

import logging
import os
import pickle
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from kit.base.errors import KitError
from kit.base.log import logger
from kit.base.threads import SHARE, use_threads
from kit.base.version import __version__
from kit.config import load_config
from kit.pipeline.engine.sharded import DoShards, ShardResult, sharded_work
from kit.pipeline.run import Run
from kit.pipeline.stage import StageContext
from kit.pipeline.stage_registry import declared_stages

R = TypeVar("R")  # what a piece gives


def check_world(version: str, *folders: Path) -> None:
    """Raise KitError where this node has another kit than the run, or does not see what all nodes must see."""
    if version != __version__:
        raise KitError(f"kit {__version__} is installed here, {version} where the run is", "install that")
    for path in folders:
        if not path.is_dir():
            raise KitError(f"{path} is not there", "data and runs must be where all nodes see them")


@dataclass(frozen=True)
class Place:
    """Where a run is, as every node must see it.

    folder: in which paths of the config begin; run: as it was given, so that its config says the same on all nodes;
    config: a file of it that no other kit changes; cpus: of a worker.
    """

    folder: Path
    run: Path
    config: Path
    cpus: int
    version: str = __version__

    @classmethod
    def of(cls, run: Run, cpus: int) -> Place:
        """The place of a run of this process."""
        return cls(Path.cwd(), run.path, run.own_config().absolute(), cpus)

    def enter(self) -> Run:
        """Open the run here, to read it. Raises KitError where this node sees another world."""
        check_world(self.version, self.folder, self.folder / self.run)
        os.chdir(self.folder)
        os.environ[SHARE] = os.environ["OMP_NUM_THREADS"] = str(self.cpus)
        config = load_config(str(self.config))
        use_threads(config.cpu_threads)
        return Run(config, self.run, tend=False)


@dataclass(frozen=True)
class Outcome(Generic[R]):
    """What a worker gives of a piece, or why there is nothing; and what it said to the user."""

    results: tuple[R, ...] = ()
    error: Exception | None = None
    notices: tuple[str, ...] = ()


class NodeWorker(logging.Handler, Generic[R]):
    """Makes pieces of one work; level: of what the user hears."""

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self._notices: list[str] = []
        logger.setLevel(level)
        logger.propagate = False
        logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line for the user."""
        self._notices.append(record.getMessage())

    def node(self) -> str:
        """The id of the node that this process is on."""
        import ray

        return str(ray.get_runtime_context().get_node_id())

    def make(self, *piece: Any) -> Outcome[R]:
        """Make a piece, of which the pool tells what the work needs to know."""
        raise NotImplementedError

    def _outcome(self, make: Callable[[], Iterable[R]]) -> Outcome[R]:
        """What came of making a piece."""
        try:
            outcome = Outcome(tuple(make()), notices=tuple(self._notices))
        except Exception as error:
            outcome = Outcome(error=_portable(error), notices=tuple(self._notices))
        self._notices.clear()
        return outcome


class ShardWorker(NodeWorker[ShardResult]):
    """Makes shards of one work, which several stages of a run can share."""

    def __init__(self, level: int, place: Place, stages: Sequence[str]) -> None:
        super().__init__(level)
        self._place, self._stages = place, stages
        self._do: DoShards | None = None

    def make(self, number: int, names: Sequence[str]) -> Outcome[ShardResult]:
        """Make a shard of some of the stages."""

        def shards() -> Iterable[ShardResult]:
            do = self._do = self._do or self._opened()
            return do([(number, names)])

        return self._outcome(shards)

    def _opened(self) -> DoShards:
        run = self._place.enter()
        stages = {stage.name: stage for stage in declared_stages(run.config)}
        contexts = [StageContext(stages[name], run, run.part_of(name)) for name in self._stages]
        return sharded_work(contexts[0]).open(contexts)


def _portable(error: Exception) -> Exception:
    """The error, as another process can read it."""
    logger.debug("".join(traceback.format_exception(error)))
    try:
        pickle.loads(pickle.dumps(error))
        return error
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
