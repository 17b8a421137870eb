"""Several processes at one training (torchrun): who writes, and stages that all of them do together."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from kit.config import Detector
from kit.run import Run, Stage

TIMEOUT = 7200  # seconds that processes wait for the first one's validation


def launched() -> bool:
    """Whether torchrun started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def is_first() -> bool:
    """Whether this process writes files and speaks to the user."""
    return int(os.environ.get("RANK", "0")) == 0 if launched() else True


def join(settings: Detector) -> None:
    """Meet the other processes, if there are any."""
    if not launched():
        return
    from kit.detector.inference import device_of

    device = device_of(settings.device).type
    import torch
    from torch import distributed

    if not distributed.is_initialized():
        if device == "cuda":
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        backend = "nccl" if device == "cuda" else "gloo"
        distributed.init_process_group(backend, timeout=timedelta(seconds=TIMEOUT))


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
