"""Processor time of `kit train all --dry-run` as a ratio to `kit --help`: of a run to do, and of a finished one.

Python's compiled modules are kept, as they are where kit is installed: without them (PYTHONDONTWRITEBYTECODE) a
start is mostly the compiling of the libraries' sources.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from benchmarks.measure import table

SMALL = (  # a run that is finished in seconds
    "data.mini={train: 60, stack: 20, val: 20, test: 20, source: 0, side: 64}",
    "detector.models={}",
    "attribute.models=[]",
    "relation.spatial.rounds=20",
    "relation.stack.rounds=20",
)
SET = [word for setting in SMALL for word in ("--set", setting)]
DRY_RUN = ["train", "all", "--dry-run", "--run"]
COMMANDS = {
    "kit --help": ["--help"],
    "kit train all --dry-run, all to do": [*DRY_RUN, "none"],
    "kit train all --dry-run, all finished": [*DRY_RUN, "run", *SET],
}
RUNS = 9


def main() -> None:
    """Measure, in turn, and print."""
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    with tempfile.TemporaryDirectory() as folder:
        code = Path(__file__).parents[1]
        environment = {**os.environ, "PYTHONPATH": str(code), "PYTHONPYCACHEPREFIX": f"{folder}/compiled"}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        for words in (["download", *SET], ["train", "all", "--run", "run", *SET]):
            _kit(words, folder, environment).check_returncode()
        for _ in range(RUNS + 1):  # the first run of each warms the caches
            for name, words in COMMANDS.items():
                seconds[name].append(_processor_seconds(words, folder, environment))
    median = {name: statistics.median(values[1:]) for name, values in seconds.items()}
    least = min(median.values())
    rows = [(f"`{name}`", f"{value:.2f} s", f"{value / least:.1f}") for name, value in median.items()]
    table("Processor time of commands", ("command", "median", "ratio"), rows)


def _kit(words: list[str], folder: str, environment: Mapping[str, str]) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "kit", *words], cwd=folder, env=environment, capture_output=True, check=False
    )


def _processor_seconds(words: list[str], folder: str, environment: Mapping[str, str]) -> float:
    before = os.times()
    _kit(words, folder, environment)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system
