"""Suppression among the best boxes against mmcv's among all of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kit.detector.ops import install_ops
from kit.detector.top_nms import settings, top_nms

install_ops()
from mmcv.ops import batched_nms, nms  # noqa: E402


def clustered(n, places, classes, steps, seed=0):
    """Boxes around a few places, their classes, and scores of so many different values."""
    rng = np.random.default_rng(seed)
    centre = rng.uniform(100, 900, (places, 2))[rng.integers(places, size=n)] + rng.normal(0, 8, (n, 2))
    half = rng.uniform(30, 60, (n, 2))
    boxes = np.concatenate([centre - half, centre + half], axis=1).astype(np.float32)
    scores = (rng.integers(1, steps, n) / steps).astype(np.float32)
    return torch.from_numpy(boxes), torch.from_numpy(scores), torch.from_numpy(rng.integers(classes, size=n))


@pytest.mark.parametrize("steps", [40, 10**6])
@pytest.mark.parametrize("n", [1, 7, 300, 4000, 12000])
@pytest.mark.parametrize("places", [1, 50])
def test_the_best_are_those_of_suppression_among_all(n, places, steps):
    boxes, scores, _ = clustered(n, places, 1, steps)
    found, kept = nms(boxes, scores, 0.5)
    best, rows = top_nms(boxes, scores, 0.5, 20)
    assert rows[:20].tolist() == kept[:20].tolist()
    assert torch.equal(best[:20], found[:20])
    assert len(rows) >= min(20, len(kept))


@pytest.mark.parametrize("n", [500, 9000, 15000])  # from 10,000 on mmcv looks at each class by itself
def test_of_many_classes_as_mmcv(n):
    boxes, scores, labels = clustered(n, 40, 57, 10**7)
    scores = torch.from_numpy(np.random.default_rng(1).permutation(n).astype(np.float32) / n)
    found, kept = batched_nms(boxes, scores, labels, {"type": "nms", "iou_threshold": 0.5})
    best, rows = batched_nms(boxes, scores, labels, settings(0.5, 100))
    assert rows[:100].tolist() == kept[:100].tolist()
    assert torch.equal(best[:100], found[:100])


def test_no_box():
    found, rows = top_nms(torch.zeros(0, 4), torch.zeros(0), 0.5, 10)
    assert found.shape == (0, 5)
    assert rows.shape == (0,)
