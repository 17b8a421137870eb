"""Boosting under a limit of memory, a process each: `python -m tests.boosting_under_limit FOLDER`.

Prints of every training whether it ended, and the average precision of its model on rows that none saw.
"""

import json
import os
import resource
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from kit.config import Spatial
from kit.relation.boosting import TrainingRows, fit
from kit.relation.feature_tables import StoredFeatures
from kit.relation.features import Features
from kit.relation.held_out import held_out_ap

# RLIMIT_DATA counts heaps and stacks, and no page of a file. Tried by hand, in steps of 4 MB: 50,000 rows in memory
# want 60 MB beside what is loaded, 60,000 want 64, 70,000 want 72; 280,000 from disk want 52. So the limit holds
# fewer than 70,000, and leaves a quarter more than four times as many want from disk.
LIMIT = 66 << 20
FITS, TOO_MANY, ON_DISK = 50_000, 80_000, 4 * 70_000  # rows
COLUMNS, FILE = 64, 10_000
NAMES = tuple(f"f{i}" for i in range(COLUMNS))


def drawn(number: int) -> tuple[np.ndarray, np.ndarray]:
    """The values (FILE, COLUMNS) and labels of a file's rows."""
    rng = np.random.default_rng(number)
    values = rng.normal(size=(FILE, COLUMNS)).astype(np.float32)
    return values, values[:, 0] + values[:, 1] * values[:, 2] + rng.normal(size=FILE) > 1.5


def stored(folder: Path, rows: int) -> tuple[StoredFeatures, np.ndarray]:
    """So many rows in files, which are written where they are not there, and their labels."""
    labels, files = [], []
    for i in range(rows // FILE):
        values, label = drawn(i)
        labels.append(label)
        files.append(folder / f"{i}.parquet")
        if not files[-1].exists():
            pq.write_table(pa.table(dict(zip(NAMES, values.T, strict=True))), files[-1])
    return StoredFeatures(NAMES, tuple(files), np.arange(0, rows + 1, FILE)), np.concatenate(labels)


def train(folder: Path, rows: int, on_disk: bool, limited: bool) -> float:
    """The average precision of a model of so many rows, on a file's more."""
    table, label = stored(folder.parent, rows)
    if limited:
        limit = _data() + LIMIT
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    features = table if on_disk else Features(NAMES, table.take(np.arange(rows)))
    image = np.arange(rows)
    data = TrainingRows(features, label, image, image % 10, scratch=folder if on_disk else None)
    settings = Spatial(folds=1, rounds=4, early_stopping_interval=2, max_depth=3, max_bin=32, threads=1)
    model = fit(data, settings, 0, folder=folder).model
    assert model is not None
    values, positive = drawn(10_000)
    return held_out_ap([(model.predict(Features(NAMES, values)), positive)])


def _data() -> int:
    status = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in status if line.startswith("VmData")).split()[1]) * 1024


def ended(folder: Path, rows: int, on_disk: bool, limited: bool) -> dict[str, object]:
    """Train in a fork: the average precision, or what it died of."""
    folder.mkdir()
    told, child = folder / "told.json", os.fork()
    if not child:
        try:
            result: dict[str, object] = {"ap": train(folder, rows, on_disk, limited)}
        except BaseException as error:
            result = {"died": f"{type(error).__name__}: {error}"[:200]}
        told.write_text(json.dumps(result))
        os._exit(0)
    os.waitpid(child, 0)
    return json.loads(told.read_text()) if told.exists() else {"died": "killed"}


if __name__ == "__main__":
    given = Path(sys.argv[1])
    tries = {
        "fits": (FITS, False, True),
        "too many": (TOO_MANY, False, True),
        "disk": (ON_DISK, True, True),
        "free": (ON_DISK, False, False),
    }
    sys.stdout.write(json.dumps({name: ended(given / name, *how) for name, how in tries.items()}))
