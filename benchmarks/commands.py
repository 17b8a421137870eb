"""Processor time of `kit train all --dry-run` on the mini challenge's configuration, as a ratio to `kit --help`."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile

from benchmarks.measure import table

COMMANDS = {"kit --help": ["--help"], "kit train all --dry-run": ["train", "all", "--dry-run"]}
RUNS = 7


def main() -> None:
    """Measure, in turn, and print."""
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(RUNS + 1):  # the first run of each warms the caches
            for name, words in COMMANDS.items():
                seconds[name].append(_processor_seconds(words, folder))
    median = {name: statistics.median(values[1:]) for name, values in seconds.items()}
    least = min(median.values())
    rows = [(f"`{name}`", f"{value:.2f} s", f"{value / least:.1f}") for name, value in median.items()]
    table("Processor time of commands", ("command", "median", "ratio"), rows)


def _processor_seconds(words: list[str], folder: str) -> float:
    before = os.times()
    command = [sys.executable, "-m", "kit", *words, *(["--run", folder] if "train" in words else [])]
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system
