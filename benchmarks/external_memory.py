"""Boosting in memory beside boosting from disk: memory and processor time of the same rounds on the same rows."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.measure import run, table
from kit.config import Spatial
from kit.relation.boosting import TrainingRows, fit
from kit.relation.external_memory import A_FOLD, HELD
from kit.relation.feature_tables import STORED_BLOCK, StoredFeatures
from kit.relation.features import Features

SIZES, COLUMNS, FOLDS = (60_000, 240_000), 61, (1, 3)
SETTINGS = Spatial(rounds=4, early_stopping_interval=2, max_depth=3, threads=1)


def main() -> None:
    """Print the table, and the bytes a value that `auto` reckons with beside those that were taken."""
    rows = []
    for folds in FOLDS:
        peaks = []
        for count in SIZES:
            with tempfile.TemporaryDirectory() as folder:
                write(Path(folder), count)
                usual, disk = (_measured(folder, count, folds, way) for way in (False, True))
            peaks.append(usual[1])
            ratio = f"{disk[1] / usual[1]:.2f}, {disk[0] / usual[0]:.1f}"
            rows.append((f"{count:,}", f"{folds}", *_shown(*usual), *_shown(*disk), ratio))
        taken = (peaks[1] - peaks[0]) * 2**20 / (SIZES[1] - SIZES[0]) / COLUMNS
        print(
            f"{folds} folds: {taken:.1f} bytes more a value in memory; auto reckons {HELD + A_FOLD * folds}"
        )
    header = ("rows", "folds", "in memory", "processor", "from disk", "processor", "memory, time as ratios")
    table(f"{SETTINGS.rounds} rounds, {COLUMNS} columns", header, rows)


def write(folder: Path, count: int) -> None:
    """Write features and labels of so many rows."""
    rng, labels = np.random.default_rng(0), []
    for i in range(count // STORED_BLOCK):
        values = rng.normal(size=(STORED_BLOCK, COLUMNS)).astype(np.float32)
        labels.append(values[:, 0] + values[:, 1] * values[:, 2] + rng.normal(size=STORED_BLOCK) > 1.5)
        columns = dict(zip(_names(), values.T, strict=True))
        pq.write_table(pa.table(columns), folder / f"{i:06}.parquet", compression="lz4")
    np.save(folder / "label.npy", np.concatenate(labels))


def train(folder: str, count: int, folds: int, disk: bool) -> None:
    """Train in this process and write down its processor seconds."""
    path = Path(folder)
    stored = StoredFeatures(_names(), tuple(sorted(path.glob("*.parquet"))), _starts(count))
    start = time.process_time()
    rows = np.arange(count)
    features = stored if disk else Features(_names(), stored.take(rows))
    image = rows // 20
    data = TrainingRows(
        features, np.load(path / "label.npy"), image, image % 10, scratch=path if disk else None
    )
    fit(data, SETTINGS.model_copy(update={"folds": folds}), 0)
    (path / "seconds").write_text(f"{time.process_time() - start}")


def _measured(folder: str, count: int, folds: int, disk: bool) -> tuple[float, float]:
    """Processor seconds of a training in a process of its own, and that process's peak megabytes."""
    words = f"from benchmarks.external_memory import train; train({folder!r}, {count}, {folds}, {disk})"
    _, peak = run(["-c", words])
    return float((Path(folder) / "seconds").read_text()), peak


def _shown(seconds: float, peak: float) -> tuple[str, str]:
    return f"{peak:,.0f} MB", f"{seconds:.1f} s"


def _names() -> tuple[str, ...]:
    return tuple(f"f{i}" for i in range(COLUMNS))


def _starts(count: int) -> np.ndarray:
    return np.arange(0, count + 1, STORED_BLOCK)
