"""What one process on a node does: a whole stage, or a task of one; it writes into the run, which all nodes see."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kit.base.errors import KitError
from kit.base.log import logger, verbosity
from kit.pipeline.crew import Crew
from kit.pipeline.engine.cluster import Share, check_room, elsewhere, nodes
from kit.pipeline.engine.lost import lost
from kit.pipeline.engine.node import Place
from kit.pipeline.run import Run, begun_file
from kit.pipeline.tasks import CLUSTER, NO_CLUSTER, NODE, VERBOSITY, Mode

LOOK = 1.0  # seconds between two looks at a log
PAUSE = 3.0  # seconds between two tries at a lock
HELD = 150.0  # seconds after which nothing that is left of a process that died has a lock, on NFS either
BUSY = ": another kit is at work on "  # of the line of a lock that is held


@dataclass(frozen=True)
class NodeTask:
    """A stage to be done in some mode, or in the mode "task" one of its tasks."""

    stage: str
    mode: Mode
    task: str = ""

    def __str__(self) -> str:
        return f"{self.stage}, {self.task}" if self.task else self.stage

    @property
    def words(self) -> list[str]:
        """What the process is told."""
        return [self.mode, self.stage, *([self.task] if self.task else [])]


@dataclass(frozen=True)
class End:
    """How it ended. node: its host, with the start of the node's id; "" where it never began.

    fault: what went wrong; killed: whether its process, or the worker of Ray that had it, was ended by force.
    """

    fault: str | None
    node: str = ""
    node_id: str = ""
    killed: bool = False


def on_a_node(run: Run, todo: NodeTask, share: Share, log: Path, over: threading.Event) -> End:
    """Do it on a node, again on another where its process died there.

    share: what it takes of the node; log: gets what it says, which the user is told too; over: ends it when it is
    set. Raises KitError where this machine alone has no room for it.
    """
    avoided, before = set[str](), _began(run.path, todo.stage)
    retries = run.config.engine.retries
    end = _once(run, todo, share, log, over, avoided)
    for _ in range(retries):
        if not end.killed or over.is_set():
            break
        avoided |= {end.node_id} - {""}
        logger.warning(f"{todo}: {end.fault}; it goes on elsewhere")
        if todo.mode == "redo" and _began(run.path, todo.stage) != before:
            todo = replace(todo, mode="resume")
        end = _patiently(run, todo, share, log, over, avoided)
    if over.is_set() and (end.killed or BUSY in (end.fault or "")):
        return replace(end, fault=f"{todo}: stopped", killed=False)
    if end.killed:
        return replace(end, fault=f"{todo}: {end.fault}, {retries + 1} time{'s' * (retries > 0)}")
    return end


def _patiently(
    run: Run, todo: NodeTask, share: Share, log: Path, over: threading.Event, avoided: set[str]
) -> End:
    """Do it where another process has died at it: what is left of that may have the stage's lock for a while."""
    until, told = time.monotonic() + HELD, False
    while True:
        end = _once(run, todo, share, log, over, avoided, BUSY)
        if BUSY not in (end.fault or "") or time.monotonic() > until or over.is_set():
            return end
        if not told:
            logger.warning(f"{todo}: waits, up to {HELD:.0f} s, until what died has let go of it")
        told = True
        over.wait(PAUSE)


def _once(
    run: Run,
    todo: NodeTask,
    share: Share,
    log: Path,
    over: threading.Event,
    avoided: set[str],
    untold: str | None = None,
) -> End:
    """Do it on a node, away from some; the fault of one that was killed has no name of what was to be done.

    untold: what the lines have in them that the user is not told.
    """
    import ray

    there, where = nodes(), _node_file(log)
    check_room(run.config.engine, share, there, str(todo))
    for path in (log, where):
        path.unlink(missing_ok=True)
    work: Any = ray.remote(do_here)
    task = work.options(
        num_cpus=share.cpus,
        num_gpus=share.gpus,
        max_retries=0,
        scheduling_strategy=elsewhere(there, avoided, share),
    ).remote(Place.of(run, share.cpus), todo, log, verbosity())
    try:
        for line in _said(task, log, over):
            if untold is None or untold not in line:
                logger.warning(line)
        if over.is_set():
            ray.cancel(task, force=True)
            return End(f"{todo}: stopped")
        end: End = ray.get(task)
    except ray.exceptions.RayError as error:
        node_id = ""
        with suppress(OSError, ValueError):
            node_id = where.read_text(encoding="ascii")
        gone = lost(error, next((node for node in there if node.id == node_id), None), nodes())
        if gone.final:
            return End(str(KitError(f"{todo}: {gone.text}", gone.hint)))
        return End(f"its worker died ({gone.text})", node_id=node_id, killed=True)
    finally:
        where.unlink(missing_ok=True)
    if end.killed:
        return replace(end, fault=f"its process on node {end.node_id[:8]} was killed: out of memory?")
    return end


def _node_file(log: Path) -> Path:
    """Where the id of the node stands that has begun."""
    return log.with_suffix(".node")


def _began(run: Path, name: str) -> int | None:
    """When the folder that a stage is made in was begun anew; None where there is none."""
    with suppress(OSError):
        return begun_file(run, name).stat().st_mtime_ns
    return None


def _said(task: Any, log: Path, over: threading.Event) -> Iterator[str]:
    """Yield the lines of a log, as they come, until its task is done or all is over."""
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


def do_here(place: Place, todo: NodeTask, log: Path, loud: int) -> End:
    """On a node: do it by a process of its own; how it ended."""
    import ray

    node_id = str(ray.get_runtime_context().get_node_id())
    node = f"{os.uname().nodename} {node_id[:8]}"
    with suppress(OSError):
        _node_file(log).write_text(node_id, encoding="ascii")
    try:
        run = place.enter()
    except KitError as error:
        return End(f"{todo}: node {node_id[:8]}: {error}", node, node_id)
    with Crew(1, run.config.cpu_threads) as crew:
        crew.environment |= {CLUSTER: NO_CLUSTER, NODE: node, VERBOSITY: str(loud)}
        process = crew.start("kit.pipeline.worker", [str(place.config), str(run.path), *todo.words])
        assert process is not None
        fault = crew.follow(process, str(todo), log)
    return End(fault, node, node_id, process.returncode == -signal.SIGKILL)
