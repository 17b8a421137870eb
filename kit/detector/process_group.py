"""Several processes at one training (torchrun's, or kit's own): who writes, and how they meet."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from kit.base.errors import KitError
from kit.base.log import logger

TIMEOUT = 7200  # seconds that processes wait for the first one's validation
MEETING = "KIT_MEETING"  # environment: the file by which processes that kit has started meet
RANK, LOCAL_RANK, WORLD_SIZE = "RANK", "LOCAL_RANK", "WORLD_SIZE"  # environment: as torchrun sets them
LOCAL_WORLD_SIZE = "LOCAL_WORLD_SIZE"


def is_distributed() -> bool:
    """Whether this process is one of several at a training."""
    return "TORCHELASTIC_RUN_ID" in os.environ or MEETING in os.environ


def process_count() -> int:
    """How many processes train together."""
    return int(os.environ.get(WORLD_SIZE, "1")) if is_distributed() else 1


def process_rank() -> int:
    """The number of this process among those that train together, from 0."""
    return int(os.environ.get(RANK, "0")) if is_distributed() else 0


def is_main_process() -> bool:
    """Whether this process writes files and speaks to the user."""
    return process_rank() == 0


def is_of_one_machine() -> bool:
    """Whether kit has started the processes, on this machine alone."""
    return MEETING in os.environ


def local_count() -> int:
    """How many of the processes that train together are of this machine."""
    return int(os.environ.get(LOCAL_WORLD_SIZE, "1")) if _by_torchrun() else process_count()


def own_gpu(device: str) -> str:
    """The device of a setting, of several processes at a training each one's own GPU."""
    return f"cuda:{os.environ[LOCAL_RANK]}" if device == "cuda" and process_count() > 1 else device


def _by_torchrun() -> bool:
    return is_distributed() and MEETING not in os.environ


@contextmanager
def one_of(count: int, rank: int, meeting: Path) -> Iterator[None]:
    """Inside, this process is one of several of this machine at a training. meeting: a file of their own."""
    own = {MEETING: str(meeting), RANK: str(rank), LOCAL_RANK: str(rank), WORLD_SIZE: str(count)}
    before = {name: os.environ.pop(name, None) for name in own}
    os.environ.update(own)
    try:
        yield
    finally:
        _leave_process_group()
        for name, value in before.items():
            del os.environ[name]
            if value is not None:
                os.environ[name] = value


def init_process_group(device: str, *, gpu: bool = True) -> None:
    """Meet the other processes, if there are any. Raises KitError where torchrun starts more than there are GPUs.

    device: as a setting says; gpu: whether it is needed now, and not later alone. Processes of kit share the GPUs
    where these are fewer: over gloo, as nccl refuses two on one.
    """
    if not is_distributed():
        return
    from torch import distributed

    from kit.detector.device import device_of

    if not distributed.is_initialized():
        wanted = (gpu or _by_torchrun()) and device_of(device).type == "cuda"
        backend = "nccl" if wanted and _take_gpu(gpu) else "gloo"
        meeting = os.environ.get(MEETING)
        distributed.init_process_group(
            backend,
            init_method=f"file://{meeting}" if meeting else None,
            rank=int(os.environ.get(RANK, "-1")),
            world_size=int(os.environ.get(WORLD_SIZE, "-1")),
            timeout=timedelta(seconds=TIMEOUT),
        )
        distributed.barrier()


def _take_gpu(needed: bool) -> bool:
    """Compute on one of the GPUs; whether no other process does. needed: raise where there is none for this one."""
    import torch

    number, gpus, count = int(os.environ[LOCAL_RANK]), torch.cuda.device_count(), process_count()
    shared = MEETING in os.environ and count > gpus
    if shared:
        if is_main_process():
            logger.info(f"{count} processes share {gpus} GPU{'s' * (gpus != 1)}")
        number %= gpus
        os.environ[LOCAL_RANK] = str(number)  # by which mmengine takes a GPU
    if number >= gpus and not needed:
        return False
    if number >= gpus:
        text = f"process {number + 1} of {count} at a training: this machine has {gpus} GPU"
        raise KitError(f"{text}{'s' * (gpus != 1)}, and each needs one", "lower torchrun's --nproc-per-node")
    torch.cuda.set_device(number)
    return not shared


def _leave_process_group() -> None:
    torch = sys.modules.get("torch")
    if torch is not None and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
