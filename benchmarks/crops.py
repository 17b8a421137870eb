"""Crops for the visual model on one core: from the store beside out of the photos."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from benchmarks.measure import table
from kit.config import Decoding
from kit.relation.crop_store import shard_path, write_crops
from kit.relation.visual_data import Crops, Pair

PHOTOS, PAIRS, SIZE = 40, 12, 224  # pairs of each photo, in training drawn in any order


def main() -> None:
    """Print the table."""
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = [file for file in write_photos(folder, PHOTOS) for _ in range(PAIRS)]
        boxes = np.sort(np.random.default_rng(1).random((len(files), 2, 2, 2)), axis=2)
        subject, object_ = boxes.reshape(-1, 2, 4).astype(np.float32).transpose(1, 0, 2)
        start = time.perf_counter()
        wanted = np.arange(len(files))
        places = write_crops(folder / "crops", files, subject, object_, wanted, SIZE, Decoding(), 1)
        written = time.perf_counter() - start
        each = sum(p.stat().st_size for p in folder.glob("crops/*")) / len(files)
        assert shard_path(folder / "crops", 0).exists()
        data = Crops(SIZE, folder / "crops", folder / "skipped.csv", Decoding())
        order = np.random.default_rng(2).permutation(len(files))
        none = np.zeros(1, bool)

        def pairs(stored: bool) -> list[Pair]:
            place = [places[i].tolist() if stored else None for i in order]
            rows = zip(order, place, strict=True)
            return [Pair(files[i], subject[i], object_[i], none, none, False, at) for i, at in rows]

        slow, fast = (_rate(lambda p: data[p] is not None, pairs(stored)) for stored in (False, True))
    rows = [
        ["out of the photos", f"{slow:,.0f}", "1.0", "-"],
        ["the store", f"{fast:,.0f}", f"{fast / slow:.1f}", f"{each / 1000:.1f}"],
        ["writing the store", f"{len(files) / written:,.0f}", f"{len(files) / written / slow:.1f}", ""],
    ]
    title = f"{len(files):,} crops of {SIZE} px, {PAIRS} of each of {PHOTOS} photos of 1024 px, one core"
    table(title, ("crops", "crops/s", "times as fast", "KB each"), rows)


def _rate(read: Callable[[Pair], bool], pairs: Sequence[Pair]) -> float:
    start = time.perf_counter()
    assert all(read(pair) for pair in pairs)
    return len(pairs) / (time.perf_counter() - start)


def write_photos(folder: Path, count: int) -> list[Path]:
    """Photos of about the weight of real ones: smooth structure of several scales and some noise."""
    rng = np.random.default_rng(0)
    files = []
    for i in range(count):
        image = rng.normal(0, 9, (768, 1024, 3))
        for cells, height in ((6, 60), (24, 30), (96, 18), (300, 12)):
            coarse = rng.normal(0, height, (cells * 3 // 4, cells, 3))
            image += cv2.resize(coarse, (1024, 768), interpolation=cv2.INTER_CUBIC)
        files.append(folder / f"{i}.jpg")
        cv2.imwrite(str(files[-1]), np.clip(image + 128, 0, 255), [cv2.IMWRITE_JPEG_QUALITY, 90])
    return files
