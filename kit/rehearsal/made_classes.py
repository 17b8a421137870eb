"""Classes of detections in a rehearsal: hardly trained detectors find few, of which few pairs are possible."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from kit.base.split_names import SPLITS
from kit.pipeline.detector_task import OBJECTS
from kit.pipeline.pipeline import Pipeline
from kit.pipeline.splits import split_boxes
from kit.pipeline.stage import Metrics, StageContext
from kit.tables.schema import Detections
from kit.tables.shards import SHARDS, read_shard, shard_paths, write_shard


def with_made_classes(pipeline: Pipeline) -> Pipeline:
    """The pipeline whose fused detections have classes drawn as those of the training split's boxes are spread.

    What follows then has as many pairs to score as after detectors that were trained to their end.
    """
    for name in map(OBJECTS.fuse, SPLITS):
        stage = pipeline.stages.get(name)
        if stage:
            pipeline.stages[name] = replace(stage, work=partial(_fuse, stage.work))
    return pipeline


def _fuse(work: Callable[[StageContext], Metrics], context: StageContext) -> Metrics:
    metrics = work(context)
    labels = split_boxes(context.config, "train").label
    for i, path in enumerate(shard_paths(context.path / SHARDS)):
        found = read_shard(path, Detections)
        drawn = np.random.default_rng(i).choice(labels, len(found))
        write_shard(context.path / SHARDS, i, replace(found, label=drawn))
    return metrics
