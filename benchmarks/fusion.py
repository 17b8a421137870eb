"""Weighted boxes fusion of 8 sources × 100 boxes, beside ensemble-boxes; and streaming 100,000 images."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
from ensemble_boxes import weighted_boxes_fusion

from benchmarks.measure import run, table
from benchmarks.synthetic import image_ids, random_boxes
from kit.base.parallel import ordered_map
from kit.base.threads import cpu_count
from kit.config import Fusion
from kit.fusion.wbf import fuse_detections
from kit.pipeline.stages.fused_detections import fuse_shard, fuse_views
from kit.tables.schema import Detections, ViewDetections
from kit.tables.shards import count_rows, shard_path, write_shard

SOURCES, BOXES, SHARD, IMAGES, PUBLISHED_IMAGES = 8, 100, 500, 4_000, 40
CLASSES = 57
MODELS, IMAGES, DISTINCT = ("one", "two"), 100_000, 8  # DISTINCT shards, each on disk many times


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
    with tempfile.TemporaryDirectory() as folder:
        write_sources(Path(folder))
        seconds, memory = run(["-c", f"from benchmarks.fusion import stream; stream({folder!r})"])
    each = seconds / IMAGES
    rows.append(["kit, shards on disk", "2", f"{IMAGES:,}", f"{each * 1000:.3f}", f"{published / each:,.0f}"])
    table(
        f"Weighted boxes fusion of {SOURCES} sources × {BOXES} boxes",
        ("by", "workers", "images", "ms an image", "times"),
        rows,
    )
    print(f"\n{IMAGES:,} images from shards to shards: {seconds:.0f} s, {memory:,.0f} MB at the peak")


def write_sources(folder: Path) -> None:
    """Shards of two models with four views each; the same few shards stand for all."""
    views = SOURCES // len(MODELS)
    for i in range(DISTINCT):
        found = sources(image_ids(SHARD), i)
        for m, model in enumerate(MODELS):
            own = found[m * views : (m + 1) * views]
            tables = [of_view(t, model, f"view{v}") for v, t in enumerate(own)]
            write_shard(folder / model, i, ViewDetections.concat(tables))
    for model in MODELS:
        for i in range(DISTINCT, IMAGES // SHARD):
            os.link(shard_path(folder / model, i % DISTINCT), shard_path(folder / model, i))


def stream(folder: str) -> None:
    """Fuse the shards below a folder."""
    views = [f"view{v}" for v in range(SOURCES // len(MODELS))]
    fuse = partial(fuse_views, views=views, weights=dict.fromkeys(MODELS, 1.0), settings=Fusion())

    def one(i: int) -> int:
        paths = {model: shard_path(Path(folder) / model, i) for model in MODELS}
        return write_shard(Path(folder) / "fused", i, fuse_shard(paths, fuse))

    for _ in ordered_map(one, range(IMAGES // SHARD), cpu_count()):
        pass
    sys.stdout.write(f"{count_rows(Path(folder) / 'fused')} boxes\n")


def of_view(found: Detections, model: str, view: str) -> ViewDetections:
    """Detections of a model and a view."""
    columns = {name: getattr(found, name) for name in ("image", *Detections.COLUMNS)}
    source = {"model": np.full(len(found), model), "view": np.full(len(found), view)}
    return ViewDetections(images=found.images, **columns, **source)


def sources(ids: tuple[str, ...], seed: int, count: int = SOURCES, boxes: int = BOXES) -> list[Detections]:
    """Detections of the same twenty objects an image by every source, and as many others."""
    rng = np.random.default_rng(seed)
    objects, n = 20, len(ids) * boxes
    box = random_boxes(rng, len(ids) * objects).reshape(len(ids), objects, 4)
    label = rng.integers(0, CLASSES, (len(ids), objects))
    image = np.repeat(np.arange(len(ids)), boxes)
    out = []
    for _ in range(count):
        which = rng.integers(0, objects, n)
        own = rng.random(n) < 0.6
        near = np.sort(
            (box[image, which] + rng.normal(0, 0.02, (n, 4))).clip(0, 1).reshape(-1, 2, 2), axis=1
        ).reshape(-1, 4)
        at = np.where(own[:, None], near, random_boxes(rng, n))
        labels = np.where(own, label[image, which], rng.integers(0, CLASSES, n))
        out.append(Detections(ids, image, labels, rng.random(n), at))
    return out


def _published(tables: list[Detections]) -> float:
    start = time.perf_counter()
    for i in range(PUBLISHED_IMAGES):
        mine = [t.take(t.image == i) for t in tables]
        weighted_boxes_fusion([t.box for t in mine], [t.score for t in mine], [t.label for t in mine])
    return (time.perf_counter() - start) / PUBLISHED_IMAGES
