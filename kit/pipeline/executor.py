"""Make stages by the engine of the config: in this process and others beside it, or on the nodes of a cluster."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.base.errors import KitError
from kit.base.log import logger, verbosity
from kit.pipeline.crew import Crew, Workers
from kit.pipeline.engine.choice import is_on_cluster
from kit.pipeline.engine.node import Place
from kit.pipeline.engine.sharded import ShardedWork
from kit.pipeline.jobs import run_stages, side_by_side
from kit.pipeline.order import LOGS
from kit.pipeline.pipeline import Pipeline
from kit.pipeline.run import Run, begun_file
from kit.pipeline.stage import Stage
from kit.pipeline.tasks import CLUSTER, NO_CLUSTER, NODE, VERBOSITY
from kit.pipeline.worker import Mode

AT_ONCE = 16  # stages that are at work on a cluster or wait for room there
LOOK = 1.0  # seconds between two looks at a stage's log


def make_stages(pipeline: Pipeline, names: Sequence[str], jobs: int, force: Collection[str] = ()) -> None:
    """Make stages that are not fresh, in order or `jobs` at a time; on a cluster, as many as it has room for.

    There, what makes shards is done by this process and its workers on the nodes; any other stage by one process
    on a node, which writes into the run. Raises KitError where one failed.
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
    if jobs == 1 and all(isinstance(stage.work, ShardedWork) for stage in todo):
        run_stages(pipeline, names, 1, force)
    else:
        _make_on_cluster(pipeline, names, jobs, force)


def _make_on_cluster(pipeline: Pipeline, names: Sequence[str], jobs: int, force: Collection[str]) -> None:
    from kit.pipeline.engine.cluster import connect

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
        if isinstance(stage.work, ShardedWork):
            return drivers.do(f"{mode} {name}", name, log)
        try:
            return _on_a_node(run, stage, mode, log.absolute(), crew.over)
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


@dataclass(frozen=True)
class _End:
    """How the process of a stage on a node ended. fault: what went wrong; killed: whether it was ended by force."""

    node: str
    fault: str | None
    killed: bool


def _on_a_node(run: Run, stage: Stage, mode: Mode, log: Path, over: threading.Event) -> str | None:
    """Do a stage on a node, again on another where its process died there; what went wrong, if something did.

    Raises KitError where this machine alone has no room for it.
    """
    import ray

    from kit.pipeline.engine.cluster import check_room, nodes, share_of
    from kit.pipeline.engine.lost import lost
    from kit.pipeline.engine.ray import elsewhere

    settings = run.config.engine
    share = share_of(settings, stage.device, processes=stage.processes)
    place, avoided = Place.of(run, share.cpus), set[str]()
    work: Any = ray.remote(do_stage)
    why, before = "", _began(run.path, stage.name)
    for _ in range(settings.retries + 1):
        there = nodes()
        check_room(settings, share, there, stage.name)
        if why:
            logger.warning(f"{stage.name}: {why}; it goes on elsewhere")
            if mode == "redo" and _began(run.path, stage.name) != before:
                mode = "resume"
        log.unlink(missing_ok=True)
        task = work.options(
            num_cpus=share.cpus,
            num_gpus=share.gpus,
            max_retries=0,
            scheduling_strategy=elsewhere(there, avoided),
        ).remote(place, stage.name, mode, log, verbosity())
        try:
            for line in _said(task, log, over):
                logger.warning(line)
            if over.is_set():
                ray.cancel(task, force=True)
                return f"{stage.name}: stopped"
            end: _End = ray.get(task)
        except ray.exceptions.RayError as error:
            gone = lost(error, None, nodes())
            if gone.final:
                return str(KitError(f"{stage.name}: {gone.text}", gone.hint))
            why = f"its worker died ({gone.text})"
            continue
        if not end.killed:
            return end.fault
        why = f"its process on node {end.node[:8]} was killed: out of memory?"
        avoided.add(end.node)
    return f"{stage.name}: {why}, {settings.retries + 1} times"


def _began(run: Path, name: str) -> int | None:
    """When the folder that a stage is made in was begun anew; None where there is none."""
    with suppress(OSError):
        return begun_file(run, name).stat().st_mtime_ns
    return None


def _said(task: Any, log: Path, over: threading.Event) -> Iterator[str]:
    """Yield the lines of a stage's log, as they come, until it is done or all is over."""
    import ray

    read, done = 0, False
    while not done and not over.is_set():
        done = bool(ray.wait([task], timeout=LOOK)[0])
        with suppress(OSError), log.open("rb") as file:
            file.seek(read)
            text = file.read()
            whole = len(text) if done else text.rfind(b"\n") + 1
            read += whole
            yield from text[:whole].decode(errors="backslashreplace").splitlines()


def do_stage(place: Place, name: str, mode: Mode, log: Path, loud: int) -> _End:
    """On a node: do a stage by a process of its own, which writes into the run; how it ended."""
    import ray

    node = str(ray.get_runtime_context().get_node_id())
    try:
        run = place.enter()
    except KitError as error:
        return _End(node, f"{name}: node {node[:8]}: {error}", False)
    with Crew(1, run.config.cpu_threads) as crew:
        crew.environment |= {
            CLUSTER: NO_CLUSTER,
            NODE: f"{os.uname().nodename} {node[:8]}",
            VERBOSITY: str(loud),
        }
        words = [str(place.config), str(run.path), mode, name]
        process = crew.start("kit.pipeline.worker", words)
        assert process is not None
        fault = crew.follow(process, name, log)
    return _End(node, fault, process.returncode == -signal.SIGKILL)
