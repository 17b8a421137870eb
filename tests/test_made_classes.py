"""Detections of a rehearsal get the classes of the training boxes; all else stays."""

from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from kit.pipeline.pipeline import Pipeline
from kit.pipeline.splits import split_boxes
from kit.pipeline.stage import Stage
from kit.rehearsal.made_classes import MadeClasses
from kit.tables.schema import Detections
from kit.tables.shards import SHARDS, read_shards, write_shard


def detections(n: int) -> Detections:
    """Boxes of one class alone."""
    rng = np.random.default_rng(n)
    low = rng.random((n, 2)) / 2
    return Detections(
        ("a", "b"), rng.integers(0, 2, n), np.full(n, 3), rng.random(n), np.hstack([low, low + 0.3])
    )


def test_classes_are_spread_as_those_of_the_training_boxes(run):
    found = [detections(n) for n in (0, 1, 4000)]

    def work(context):
        for i, table in enumerate(found):
            write_shard(context.path / SHARDS, i, table)
        return {"fused": 4001}

    others = [Stage("attribute-fuse-val", work), Stage("fuse-test", work)]
    pipeline = Pipeline(run, [Stage("fuse-val", work), *others])
    pauses = []

    @contextmanager
    def pause():
        yield
        pauses.append("over")

    MadeClasses(pipeline, ["fuse-val", "attribute-fuse-val"], pause)
    assert [pipeline.stages[stage.name] for stage in others] == others
    assert pipeline.make(["fuse-val"])["fuse-val"]["metrics"] == {"fused": 4001}
    assert pauses == ["over"]
    tables = list(read_shards(pipeline.folder("fuse-val") / SHARDS, Detections))
    for before, after in zip(found, tables, strict=True):
        whole = replace(after, label=before.label)
        assert all(np.array_equal(getattr(whole, name), getattr(before, name)) for name in Detections.COLUMNS)
    labels = split_boxes(run.config, "train").label
    size = int(labels.max()) + 1
    wanted = np.bincount(labels, minlength=size) / len(labels)
    share = np.bincount(tables[-1].label, minlength=size) / 4000
    assert abs(share - wanted).max() < 0.04  # five standard deviations of the largest share
    assert len(np.unique(tables[-1].label)) > 20
