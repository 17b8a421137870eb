"""A plugin of kit: a stage that fuses boxes drawn by number, shard by shard, for `benchmarks.weak_scaling`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from benchmarks.weak_scaling import NAME
from kit.config import Config
from kit.pipeline.engine.sharded import Part, ShardedWork, by_shard
from kit.pipeline.stage import Stage, StageContext
from kit.pipeline.stage_registry import register_stages


@register_stages
def stages(config: Config) -> Iterator[Stage]:
    """One stage. Of `extra`: shards, and images of a shard."""
    work = ShardedWork(lambda c: c.config.extra["shards"], by_shard(_fusing), lambda _, sums: dict(sums))
    yield Stage(NAME, work, settings=dict(config.extra))


def _fusing(context: StageContext) -> Callable[[int], Part]:
    from benchmarks.fusion import sources
    from benchmarks.synthetic import image_ids
    from kit.fusion.wbf import fuse_detections

    images = context.config.extra["images"]
    fuse_detections(sources(image_ids(1), 0))  # compiles

    def part(number: int) -> Part:
        start = time.process_time()
        ids = tuple(f"{number}-{name}" for name in image_ids(images))
        fused = fuse_detections(sources(ids, number))
        return Part(fused, figures={"processor": time.process_time() - start})

    return part
