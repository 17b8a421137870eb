"""How the workers of a DataLoader start: never as a fork of a process that holds a GPU."""

from __future__ import annotations

import multiprocessing

import torch

PRELOADED = "kit.detector.worker_imports"


def start_method(device: torch.device) -> str | None:
    """The start method of workers beside a device; None is the system's own.

    Beside a GPU they are forks of a server that has imported what they need, and holds no GPU.
    """
    if device.type != "cuda":
        return None
    multiprocessing.set_forkserver_preload([PRELOADED])
    return "forkserver"
