"""Classes of detections in a rehearsal: hardly trained detectors find few, of which few pairs are possible."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from kit.base.split_names import SPLITS
from kit.pipeline.detector_task import OBJECTS
from kit.pipeline.pipeline import Pipeline
from kit.pipeline.splits import split_boxes
from kit.pipeline.stage import Metrics, Stage, StageContext
from kit.tables.schema import Detections
from kit.tables.shards import SHARDS, read_shard, shard_paths, write_shard


class MadeClasses:
    """Draws the classes of fused detections of objects as those of the training split's boxes are spread.

    What follows then has about as many pairs to score as after detectors that were trained to their end.
    seconds: spent on it so far, which is no part of a stage.
    """

    def __init__(self, pipeline: Pipeline, names: Sequence[str]) -> None:
        """Put it behind the fusion of those of some stages that fuse; the pipeline is changed."""
        self.seconds = 0.0
        fusions = {OBJECTS.fuse(split) for split in SPLITS} & set(names)
        if not fusions:
            return
        counts = np.bincount(split_boxes(pipeline.run.config, "train").label)
        self.share = counts / counts.sum()
        for name in fusions:
            stage = pipeline.stages[name]
            pipeline.stages[name] = replace(stage, work=partial(self._fuse, stage))

    def _fuse(self, stage: Stage, context: StageContext) -> Metrics:
        metrics, begun = stage.work(context), time.monotonic()
        for i, path in enumerate(shard_paths(context.path / SHARDS)):
            found = read_shard(path, Detections)
            label = np.random.default_rng(i).choice(len(self.share), len(found), p=self.share)
            write_shard(context.path / SHARDS, i, replace(found, label=label))
        self.seconds += time.monotonic() - begun
        return metrics
