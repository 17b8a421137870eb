"""Four processes that import kit and boost trees at once, against one, on the first two processors."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.measure import table
from kit.base.threads import WAITING

RUNS, ROWS, ROUNDS = 3, 100_000, 20
WORK = f"""
import kit
import numpy as np
import xgboost
values = np.random.default_rng(0).random(({ROWS}, 20), np.float32)
data = xgboost.DMatrix(values, values[:, 0] > 0.5)
xgboost.train({{"max_depth": 8, "tree_method": "hist", "objective": "binary:logistic"}}, data, {ROUNDS})
"""


def main() -> None:
    """Measure in turn, waiting as kit lets threads wait and actively, and print."""
    ways = {"as kit waits": {}, "spinning": {"OMP_WAIT_POLICY": "ACTIVE"}}
    rows = []
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, set(sorted(before)[:2]))
    try:
        with tempfile.TemporaryDirectory() as folder:
            script = Path(folder, "work.py")
            script.write_text(WORK)
            for name, given in ways.items():
                others = {key: value for key, value in os.environ.items() if key not in WAITING}
                environment = {**others, **given}
                _seconds(script, 1, environment)  # warms the caches
                one, four = (
                    statistics.median(_seconds(script, n, environment) for _ in range(RUNS)) for n in (1, 4)
                )
                rows.append((name, f"{one:.2f} s", f"{four:.2f} s", f"{four / one:.1f}"))
    finally:
        os.sched_setaffinity(0, before)
    table("Four at once on two processors", ("threads", "one", "four", "ratio"), rows)


def _seconds(script: Path, count: int, environment: dict[str, str]) -> float:
    start = time.perf_counter()
    processes = [subprocess.Popen([sys.executable, str(script)], env=environment) for _ in range(count)]
    codes = [process.wait() for process in processes]
    if any(codes):
        raise SystemExit(f"{script} failed")
    return time.perf_counter() - start
