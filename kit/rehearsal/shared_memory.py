"""Whether the memory that loading processes hand images over in is large enough (containers often give 64 MB)."""

from __future__ import annotations

import shutil
from pathlib import Path

from kit.config import Config

PLACE = Path("/dev/shm")
PREFETCHED = 2  # batches that a loading process keeps ready
CHANNELS = 3


def shared_memory_fault(config: Config) -> str | None:
    """What is wrong with the shared memory, and what to do; None where it is large enough, or there is none."""
    if not PLACE.is_dir():
        return None
    free, needed = shutil.disk_usage(PLACE).free, needed_shared_memory(config)
    if free >= needed:
        return None
    return (
        f"{PLACE} has {free / 1e6:,.0f} MB free, loading images needs up to {needed / 1e6:,.0f} MB; "
        "give the container more (docker run --shm-size), or lower workers or batch_size"
    )


def needed_shared_memory(config: Config) -> int:
    """Bytes that the loading processes of the hungriest stage hold at once."""
    detector = config.detector
    views = sum(view.size[0] * view.size[1] for view in detector.inference.views)
    loads = [(detector.inference.workers, detector.inference.batch_size, views)]
    for training in (detector.training, config.attribute.training):
        loads.append((training.workers, training.batch_size, training.size[0] * training.size[1]))
    if config.relation.visual:
        visual = config.relation.visual
        loads.append((visual.workers, visual.batch_size, visual.crop_size**2))
    return max(workers * PREFETCHED * batch * pixels * CHANNELS for workers, batch, pixels in loads)
