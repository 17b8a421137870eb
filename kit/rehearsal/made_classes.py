"""Classes of detections in a rehearsal: hardly trained detectors find few, of which few pairs are possible."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial

from kit.base.split_names import SPLITS
from kit.pipeline.detector_task import OBJECTS
from kit.pipeline.pipeline import Pipeline
from kit.pipeline.splits import given_detections
from kit.pipeline.stage import Metrics, Stage, StageContext
from kit.pipeline.work import at_work


class MadeClasses:
    """Draws the classes of fused detections of objects as those of the training split's boxes are spread.

    What follows then has about as many pairs to score as after detectors that were trained to their end.
    It is no part of a stage: the clock stands still meanwhile.
    """

    def __init__(
        self, pipeline: Pipeline, names: Sequence[str], pause: Callable[[], AbstractContextManager[None]]
    ) -> None:
        """Put it behind the fusion of those of some stages that fuse; the pipeline is changed. pause: the clock."""
        self._pause = pause
        own = [split for split in SPLITS if not given_detections(pipeline.run.config, split)]
        for name in {OBJECTS.fuse(split) for split in own} & set(names):
            stage = pipeline.stages[name]
            pipeline.stages[name] = replace(stage, work=partial(self._fuse, stage))

    def _fuse(self, stage: Stage, context: StageContext) -> Metrics:
        (metrics,) = at_work([replace(context, stage=stage)])
        with self._pause():
            _draw_classes(context)
        return metrics


def _draw_classes(context: StageContext) -> None:
    """Give the detections in a stage's shards other classes."""
    import numpy as np

    from kit.pipeline.splits import split_boxes
    from kit.tables.schema import Detections
    from kit.tables.shards import SHARDS, read_shard, shard_paths, write_shard

    counts = np.bincount(split_boxes(context.config, "train").label)
    share = counts / counts.sum()
    for i, path in enumerate(shard_paths(context.path / SHARDS)):
        found = read_shard(path, Detections)
        label = np.random.default_rng(i).choice(len(share), len(found), p=share)
        write_shard(context.path / SHARDS, i, replace(found, label=label))
