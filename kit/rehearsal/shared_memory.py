"""Whether the memory that loading processes hand images over in is large enough (containers often give 64 MB)."""

from __future__ import annotations

import shutil
from pathlib import Path

from kit.config import Config, Visual

PLACE = Path("/dev/shm")
PREFETCHED = 2  # batches that a loading process keeps ready
CHANNELS = 3
FLOAT = 4  # bytes of a stored region's value, as it is loaded


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
    views = sum(_image_bytes(view.size) for view in detector.inference.views)
    loads = [(detector.inference.workers, detector.inference.batch_size * views)]
    for training, processes in (
        (detector.training, detector.processes),
        (config.attribute.training, config.attribute_processes),
    ):
        loads.append((processes * training.workers, training.batch_size * _image_bytes(training.size)))
    if config.relation.visual and detector.models:
        loads += [
            (config.relation.visual.workers, load) for load in _visual_loads(config, config.relation.visual)
        ]
    return max(workers * PREFETCHED * load for workers, load in loads)


def _visual_loads(config: Config, visual: Visual) -> list[int]:
    """Bytes that a loading process of the visual model hands over at once: in training, then of an image."""
    crop = _image_bytes((visual.crop_size, visual.crop_size))
    if visual.features == "crops":
        return [visual.batch_size * crop, config.relation.candidate_limits.per_image * crop]
    from kit.pipeline.stages.visual import base_detector
    from kit.relation.regions import SIDE, cell_channels

    architecture = config.detector.models[base_detector(config)].architecture
    cells = FLOAT * cell_channels(architecture) * SIDE**2
    return [visual.batch_size * cells, _image_bytes(visual.image_size)]


def _image_bytes(size: tuple[int, int]) -> int:
    return size[0] * size[1] * CHANNELS
