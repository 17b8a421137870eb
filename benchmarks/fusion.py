"""Weighted boxes fusion of 8 sources × 100 boxes, beside ensemble-boxes on the same images."""

from __future__ import annotations

import time

import numpy as np
from ensemble_boxes import weighted_boxes_fusion

from benchmarks.measure import table
from benchmarks.synthetic import image_ids, random_boxes
from kit.fusion.wbf import fuse_detections
from kit.parallel import ordered_map
from kit.tables.schema import Detections

SOURCES, BOXES, SHARD, IMAGES, PUBLISHED_IMAGES = 8, 100, 500, 4_000, 40
CLASSES = 57


def main() -> None:
    """Print the table."""
    ids = image_ids(IMAGES)
    parts = [sources(ids[i : i + SHARD], i) for i in range(0, IMAGES, SHARD)]
    fuse_detections([s.of_images(ids[:1]) for s in parts[0]])
    rows = []
    published = _published(parts[0])
    rows.append(["ensemble-boxes", "1", f"{PUBLISHED_IMAGES}", f"{published * 1000:.2f}", "1"])
    for workers in (1, 2):
        start = time.perf_counter()
        for _ in ordered_map(fuse_detections, parts, workers):
            pass
        seconds = (time.perf_counter() - start) / IMAGES
        rows.append(
            ["kit", str(workers), f"{IMAGES:,}", f"{seconds * 1000:.3f}", f"{published / seconds:,.0f}"]
        )
    table(
        f"Weighted boxes fusion of {SOURCES} sources × {BOXES} boxes",
        ("by", "workers", "images", "ms an image", "times"),
        rows,
    )


def sources(ids: tuple[str, ...], seed: int) -> list[Detections]:
    """Detections of the same twenty objects an image by every source, and as many others."""
    rng = np.random.default_rng(seed)
    objects, n = 20, len(ids) * BOXES
    box = random_boxes(rng, len(ids) * objects).reshape(len(ids), objects, 4)
    label = rng.integers(0, CLASSES, (len(ids), objects))
    image = np.repeat(np.arange(len(ids)), BOXES)
    out = []
    for _ in range(SOURCES):
        which = rng.integers(0, objects, n)
        own = rng.random(n) < 0.6
        near = np.sort(
            (box[image, which] + rng.normal(0, 0.02, (n, 4))).clip(0, 1).reshape(-1, 2, 2), axis=1
        ).reshape(-1, 4)
        boxes = np.where(own[:, None], near, random_boxes(rng, n))
        labels = np.where(own, label[image, which], rng.integers(0, CLASSES, n))
        out.append(Detections(ids, image, labels, rng.random(n), boxes))
    return out


def _published(tables: list[Detections]) -> float:
    start = time.perf_counter()
    for i in range(PUBLISHED_IMAGES):
        mine = [t.take(t.image == i) for t in tables]
        weighted_boxes_fusion([t.box for t in mine], [t.score for t in mine], [t.label for t in mine])
    return (time.perf_counter() - start) / PUBLISHED_IMAGES
