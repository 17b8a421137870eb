"""Stages that all processes of a training (torchrun) do together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kit.detector.processes import is_first, launched
from kit.run import Run, Stage


@contextmanager
def shared_stage(run: Run, name: str, made_from: dict[str, Any], *, force: bool) -> Iterator[Stage | None]:
    """`Run.stage` for all processes: the first one opens and ends it, all get the stage to do, or None."""
    if not launched():
        with run.stage(name, made_from, force=force) as stage:
            yield stage
        return
    from mmengine.dist import barrier

    if is_first():
        with run.stage(name, made_from, force=force) as stage:
            barrier()
            yield stage
    else:
        fresh = not force and (run.finished(name) or {}).get("made_from") == made_from
        barrier()
        yield None if fresh else Stage(name, run.path / f".{name}.part")
    barrier()
