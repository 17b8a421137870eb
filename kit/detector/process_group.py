"""Several processes at one training (torchrun): who writes, and how they meet."""

from __future__ import annotations

import os
from datetime import timedelta

from kit.config import Detector

TIMEOUT = 7200  # seconds that processes wait for the first one's validation


def is_distributed() -> bool:
    """Whether torchrun started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def process_count() -> int:
    """How many processes train together."""
    return int(os.environ.get("WORLD_SIZE", "1")) if is_distributed() else 1


def is_main_process() -> bool:
    """Whether this process writes files and speaks to the user."""
    return int(os.environ.get("RANK", "0")) == 0 if is_distributed() else True


def first_decides(decision: bool) -> bool:
    """The first process's decision, told to all others; each of them has to ask at the same point."""
    if not is_distributed():
        return decision
    import torch
    from torch import distributed

    device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
    told = torch.tensor(int(decision), device=device)
    distributed.broadcast(told, src=0)
    return bool(told)


def init_process_group(settings: Detector) -> None:
    """Meet the other processes, if there are any."""
    if not is_distributed():
        return
    from kit.detector.device import device_of

    device = device_of(settings.device).type
    import torch
    from torch import distributed

    if not distributed.is_initialized():
        if device == "cuda":
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        backend = "nccl" if device == "cuda" else "gloo"
        distributed.init_process_group(backend, timeout=timedelta(seconds=TIMEOUT))
