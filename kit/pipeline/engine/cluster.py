"""The Ray cluster of this process: found or started once, when it is first needed, and quiet."""

from __future__ import annotations

import atexit
import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

from kit.base import stopping
from kit.base.errors import KitError, first_line
from kit.base.log import warn_once
from kit.base.threads import cpu_count
from kit.config import Engine
from kit.pipeline.engine.ray_folder import new_folder
from kit.pipeline.engine.ray_watch import watch
from kit.pipeline.tasks import CLUSTER

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is told to anybody
    "RAY_DISABLE_IMPORT_WARNING": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",  # a worker without a GPU sees none
    "RAY_DEDUP_LOGS": "0",
}
LEAST = 2  # parts of a node's processors: one for each GPU, two where it has fewer
TIMEOUT = 5.0  # seconds for a first word of a cluster's head


@dataclass(frozen=True)
class Node:
    """A machine of the cluster. name: of the host, with the start of the id; two may be one machine."""

    id: str
    name: str
    cpus: int
    gpus: int


@dataclass(frozen=True)
class Share:
    """What a worker takes of its node; most: workers for each node, whatever its size, None for what it holds."""

    cpus: int
    gpus: float = 0.0
    most: int | None = None

    def room(self, node: Node) -> int:
        """How many such workers a node holds."""
        room = node.cpus // self.cpus
        if self.most is not None:
            room = min(room, self.most)
        return min(room, int(node.gpus / self.gpus + 1e-9)) if self.gpus else room

    def __str__(self) -> str:
        cpus = f"{self.cpus} processor{'s' * (self.cpus != 1)}"
        return f"{cpus} and {self.gpus:g} GPU{'s' * (self.gpus > 1)}" if self.gpus else cpus


def check_room(settings: Engine, share: Share, there: Sequence[Node], name: str) -> None:
    """Tell where no node can ever hold a worker, which Ray would let wait without a word.

    name: of what the worker does. Raises KitError on this machine alone; a cluster elsewhere may get other nodes.
    """
    if any(map(share.room, there)):
        return
    if settings.address is None and not there:
        raise KitError(f"{name}: Ray was killed on this machine (out of memory?)", "begin again")
    if settings.address is None:
        hint = "set engine.cpus, engine.gpus, or detector.device and detector.processes"
        raise KitError(f"{name}: this machine has no {share}", hint)
    warn_once(f"{name}: no node of the cluster has {share}: waiting for one")


@cache
def connect(settings: Engine) -> str:
    """Connect this process with the cluster; the address for others. Raises KitError where there is none."""
    os.environ.update({name: value for name, value in QUIET.items() if name not in os.environ})
    import ray

    address = os.environ.get(CLUSTER) or settings.address
    if not ray.is_initialized():
        with _signals_kept():
            _quiet()
            if address is None:
                _start(settings)
            else:
                _join(address)
    return str(ray.get_runtime_context().gcs_address)


def _start(settings: Engine) -> None:
    """Start a cluster of this machine alone, which ends with the process."""
    import ray

    folder = new_folder()
    watch(folder)
    atexit.register(ray.shutdown)  # before that
    try:
        ray.init(
            address="local",
            num_cpus=cpu_count(),
            object_store_memory=settings.object_store << 20,
            include_dashboard=settings.dashboard,
            log_to_driver=False,
            logging_level=logging.ERROR,
            _temp_dir=str(folder),
        )
    except Exception as error:  # it raises nothing more special
        raise KitError(f"Ray does not start on this machine ({first_line(error)})", "try again") from error


def _join(address: str) -> None:
    import ray

    hint = "start one with `ray start --head`, or set engine.address=null for one of this machine"
    try:
        if address != "auto":
            host, _, port = address.rpartition(":")
            socket.create_connection((host, int(port)), TIMEOUT).close()
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, OverflowError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        why = getattr(error, "strerror", None) or first_line(error)
        raise KitError(f"engine.address {address}: no cluster answers ({why})", hint) from None


def _quiet() -> None:
    """Ray prints on stdout what it thinks of nodes and workers that died; kit has its own line for that."""
    from ray._private import worker

    worker.print_to_stdstream = _nothing


def _nothing(*_data: object, **_how: object) -> None:
    """Print nothing."""


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Ray puts a handler of its own in the place of that of SIGTERM: put ours back."""
    main = threading.current_thread() is threading.main_thread()
    before: dict[signal.Signals, Any] = {s: signal.getsignal(s) for s in stopping.NAMES} if main else {}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def nodes() -> list[Node]:
    """The machines that are there now."""
    import ray

    found = []
    for node in ray.nodes():  # type: ignore[no-untyped-call]
        if node["Alive"]:
            name = f"{node['NodeManagerHostname']} {node['NodeID'][:8]}"
            has = node["Resources"]
            found.append(Node(node["NodeID"], name, int(has.get("CPU", 0)), int(has.get("GPU", 0))))
    return found


def share_of(settings: Engine, device: str, *, processes: int = 0) -> Share:
    """What a worker takes of a node. device: what it computes on; processes: of a whole stage, 0 for shards.

    Raises KitError for one GPU by its number: every worker is given its own.
    """
    if ":" in device:
        raise KitError(
            f"engine.kind is ray, but a device is {device}", "set it to cuda: every worker has its own"
        )
    there = nodes()
    with_gpus = [node for node in there if node.gpus]
    if device == "cuda" or (device == "auto" and with_gpus):
        gpus = float(processes) or settings.gpus
        beside = min((int(gpus * node.cpus / max(node.gpus, LEAST)) for node in with_gpus), default=1)
        return Share(settings.cpus or max(1, beside), gpus)
    if device == "auto" and settings.address is not None:
        warn_once(
            "note: no node of the cluster has a GPU now: what can do without one computes on processors; "
            "with detector.device=cuda it waits for one"
        )
    part = min((node.cpus // max(node.gpus, LEAST) for node in there if node.cpus), default=1)
    return Share(settings.cpus or (max(1, part) if processes else 1))


def others_with_room(there: Sequence[Node], avoided: set[str], share: Share) -> list[Node]:
    """The nodes but some that can hold a worker."""
    return [node for node in there if node.id not in avoided and share.room(node)]


def elsewhere(there: Sequence[Node], avoided: set[str], share: Share) -> Any:
    """How Ray chooses a node for a worker: away from some, where others can hold it."""
    others = others_with_room(there, avoided, share)
    if not avoided or not others:
        return "SPREAD"
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return NodeAffinitySchedulingStrategy(others[0].id, soft=True)
