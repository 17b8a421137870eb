"""A block of rounds of layer6's booster: as gbtree, as dart without drops is trained, and as XGBoost's dart."""

from __future__ import annotations

import time

import numpy as np

from benchmarks.measure import table
from kit.config import load_config

ROWS, COLUMNS, BLOCK, BLOCKS = 100_000, 61, 50, 3


def main() -> None:
    """Measure block by block, in turn, and print processor seconds and their ratio."""
    import xgboost as xgb

    from kit.relation.boosting_rounds import Growth, parameters

    matrix = xgb.DMatrix(*made_rows(ROWS))
    params = parameters(load_config("layer6").relation.spatial, 0, 0)
    ways = [Growth({**params, "booster": name}, [matrix], None) for name in ("gbtree", "dart")]
    rows = []
    for block in range(1, BLOCKS + 1):
        spent = []
        for growth in ways:
            start = time.process_time()
            growth.grow(block * BLOCK)
            spent.append(time.process_time() - start)
        rows.append((f"{block * BLOCK}", *(f"{s:.1f} s" for s in spent), f"{spent[1] / spent[0]:.1f}"))
    table(f"{BLOCK} rounds, {ROWS:,} rows x {COLUMNS}", ("up to round", "gbtree", "dart", "ratio"), rows)


def made_rows(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Features (count, COLUMNS) and labels to learn from them."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(count, COLUMNS)).astype(np.float32)
    label = (values[:, 0] + values[:, 1] * values[:, 2] + rng.normal(size=count) > 2).astype(np.float32)
    return values, label
