"""Make stages by the engine of the config: in this process and others beside it, or on the nodes of a cluster."""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence

from kit.base.errors import KitError
from kit.pipeline.crew import Crew, Workers
from kit.pipeline.engine.choice import is_on_cluster
from kit.pipeline.engine.sharded import ShardedWork
from kit.pipeline.engine.tasked import TaskedWork
from kit.pipeline.jobs import run_stages, side_by_side
from kit.pipeline.order import LOGS
from kit.pipeline.pipeline import Pipeline
from kit.pipeline.tasks import CLUSTER, Mode

AT_ONCE = 16  # stages that are at work on a cluster or wait for room there
SPREAD = (ShardedWork, TaskedWork)  # works that several nodes share


def make_stages(pipeline: Pipeline, names: Sequence[str], jobs: int, force: Collection[str] = ()) -> None:
    """Make stages that are not fresh, in order or `jobs` at a time; on a cluster, as many as it has room for.

    There, what is made of shards or tasks is made by this process and by others on the nodes; any other stage by
    one process on a node, which writes into the run. Raises KitError where one failed.
    """
    if not is_on_cluster(pipeline.run.config):
        run_stages(pipeline, names, jobs, force)
        return
    if pipeline.run.remote:
        raise KitError(
            f"{pipeline.run.remote.store.address}: the nodes of a cluster write into a folder that all of them see",
            "give such a --run, or engine.kind=local",
        )
    todo = [s.stage for s in pipeline.status(names, force, alone=True) if s.state != "finished"]
    if jobs == 1 and all(isinstance(stage.work, SPREAD) for stage in todo):
        run_stages(pipeline, names, 1, force)
    else:
        _make_on_cluster(pipeline, names, jobs, force)


def _make_on_cluster(pipeline: Pipeline, names: Sequence[str], jobs: int, force: Collection[str]) -> None:
    from kit.pipeline.engine.cluster import connect, share_of
    from kit.pipeline.engine.node_process import NodeTask, on_a_node

    pipeline.check_inputs(names, force)
    pipeline.require(names)
    run, settings = pipeline.run, pipeline.run.config.engine
    address = connect(settings)
    run.write_config()
    crew = _Crew(1)
    crew.environment[CLUSTER] = address
    drivers = Workers(crew, "kit.pipeline.worker", [str(run.own_config()), str(run.path)])

    def do(name: str) -> str | None:
        stage, log = pipeline.stages[name], run.path / LOGS / f"{name}.txt"
        mode: Mode = "redo" if name in force else "do"
        if isinstance(stage.work, SPREAD):
            return drivers.do(f"{mode} {name}", name, log)
        try:
            share = share_of(settings, stage.device, processes=stage.processes)
            return on_a_node(run, NodeTask(name, mode), share, log.absolute(), crew.over).fault
        except KitError as error:
            return str(error)

    def is_made(name: str) -> bool:
        return name not in force and pipeline.is_fresh(name)

    with drivers:
        fault = side_by_side(names, pipeline.stages, jobs if jobs > 1 else AT_ONCE, crew, do, is_made)
    if fault:
        raise KitError(fault)


class _Crew(Crew):
    """Processes here, and what is done elsewhere until it is told that all is over."""

    def __init__(self, workers: int) -> None:
        super().__init__(workers)
        self.over = threading.Event()

    def end(self) -> None:
        """End both."""
        self.over.set()
        super().end()
