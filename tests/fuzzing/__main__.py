"""Give the readers many damaged inputs: `python -m tests.fuzzing --inputs 1000000`; exit code 1 on a failure."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from tests.fuzzing.runner import Result, run_target
from tests.fuzzing.targets import TARGETS

KEEP = Path("fuzz-failures")


def main(arguments: Sequence[str] | None = None) -> int:
    """Share the inputs out over the targets, a process a target; a row a target, then what failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzzing", description=__doc__)
    parser.add_argument("--inputs", type=int, default=1_000_000, help="over all targets")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2, help="targets at a time")
    parser.add_argument("targets", nargs="*", help="names of targets (default: all)")
    given = parser.parse_args(arguments)
    chosen = [t for t in TARGETS if not given.targets or t.name in given.targets]
    whole = sum(target.share for target in chosen)
    shares = [(target.name, -int(-given.inputs * target.share // whole)) for target in chosen]
    results, spawn = [], multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(given.jobs, spawn, max_tasks_per_child=1) as pool:
        for future in as_completed([pool.submit(_run, *share, given.seed) for share in shares]):
            results.append(future.result())
            _show(results[-1])
    failures = sum(len(result.failures) for result in results)
    sys.stdout.write(f"{sum(r.inputs for r in results):,} inputs, {failures} failures\n")
    return 1 if failures else 0


def _run(name: str, inputs: int, seed: int) -> Result:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())  # libjpeg warns of every photo
    target = next(target for target in TARGETS if target.name == name)
    with tempfile.TemporaryDirectory(dir=_fast()) as folder:
        return run_target(target, inputs, seed, Path(folder), KEEP)


def _fast() -> Path | None:
    """A file system in memory, where there is one."""
    memory = Path("/dev/shm")
    return memory if memory.is_dir() else None


def _show(result: Result) -> None:
    sys.stdout.write(
        f"{result.target:24} {result.inputs:9,} inputs: {result.taken:9,} taken, {result.refused:9,} refused, "
        f"{result.seconds:6.0f} s, {result.peak:5.0f} MB more\n"
    )
    for name, failure in result.failures:
        sys.stdout.write(f"  {name}: {failure}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
