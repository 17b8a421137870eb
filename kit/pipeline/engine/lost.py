"""Why a process on a node died, in words for the user."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kit.pipeline.engine.cluster import Node

HINT = "give it less to do at once (batch_size, shard), more memory, or set engine.retries"


@dataclass(frozen=True)
class Lost:
    """Why a worker is gone. code: whether its code could not be loaded, which no other try mends."""

    text: str
    hint: str = HINT
    code: bool = False


def lost(error: Exception, node: Node | None, there: Sequence[Node]) -> Lost:
    """What an error of Ray says of a worker that was on a node. there: the nodes that are alive."""
    text = str(error)
    if node is not None and all(other.id != node.id for other in there):
        return Lost("its node is gone")
    if "OutOfMemory" in type(error).__name__ or "memory usage threshold" in text or "low on memory" in text:
        return Lost("its node ran out of memory")
    if "creation task" in text or "ModuleNotFoundError" in text or "ImportError" in text:
        last = [line.strip() for line in text.splitlines() if line.strip()][-1]
        return Lost(last, "install the same kit, with all that the run needs, on every node", code=True)
    return Lost("it was killed: out of memory?")
