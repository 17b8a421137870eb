"""Why a process on a node died, in words for the user."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kit.base.errors import KitError, first_line
from kit.pipeline.engine.cluster import Node

HINT = "give it less to do at once (batch_size, shard, concurrency), more memory, or set engine.retries"


@dataclass(frozen=True)
class Lost:
    """Why a worker is gone, or gave nothing. final: whether no other try mends it."""

    text: str
    hint: str = HINT
    final: bool = False


def lost(error: Exception, node: Node | None, there: Sequence[Node]) -> Lost:
    """What an error of Ray says of a worker that was on a node. there: the nodes that are alive."""
    from ray.exceptions import RayTaskError

    text = str(error)
    not_loaded = "creation task" in text or "ModuleNotFoundError" in text or "ImportError" in text
    if isinstance(error, RayTaskError) and not not_loaded:  # its code raised it: the worker lives
        kind = "" if isinstance(error.cause, KitError) else f"{type(error.cause).__name__}: "
        return Lost(f"{kind}{first_line(error.cause)}", "", final=True)
    if node is not None and all(other.id != node.id for other in there):
        return Lost("its node is gone")
    if "OutOfMemory" in type(error).__name__ or "memory usage threshold" in text or "low on memory" in text:
        return Lost("its node ran out of memory")
    if not_loaded:
        last = [line.strip() for line in text.splitlines() if line.strip()][-1]
        return Lost(last, "install the same kit, with all that the run needs, on every node", final=True)
    return Lost("it was killed: out of memory?")
